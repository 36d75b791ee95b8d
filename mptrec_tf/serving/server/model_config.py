"""What to serve: models, versions and labels, in TF Serving's own configuration files."""

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.config import file_system_storage_path_source_pb2 as path_source
from tensorflow_serving.config import model_server_config_pb2

from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import check_base_path

_Message = TypeVar("_Message", bound=Message)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Attributes:
      name: str. Its name in requests.
      base_path: str. The directory of its numbered versions.
      newest: int. How many of the newest versions to serve; 0 for all of them.
      specific: Versions to serve instead of the newest.
      labels: Version by label, as "stable".
      logged: bool. Whether TF Serving is asked to log its requests.
    """

    name: str
    base_path: str
    newest: int = 1
    specific: tuple[int, ...] = ()
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    logged: bool = False

    def choose_versions(self, versions: list[int]) -> list[int]:
        """Returns the versions to serve, of those that exist (ascending)."""
        if self.specific:
            return [version for version in versions if version in self.specific]
        return versions[-self.newest :]


def read_model_config(path: str) -> list[ModelConfig]:
    """Reads a model_config_file.

    Raises:
      InputError: if the file is invalid, or a base path is a version.
    """
    content = read_text_proto(path, model_server_config_pb2.ModelServerConfig())
    configs = [_read_model(path, config) for config in content.model_config_list.config]
    if not configs:
        raise InputError(f"{path} has no model_config_list with a config; name a model there.")
    names = [config.name for config in configs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{path} names model {twice[0]!r} twice; give each a name of its own.")
    return configs


def _read_model(path: str, config: model_server_config_pb2.ModelConfig) -> ModelConfig:
    if not config.name or not config.base_path:
        raise InputError(f"{path}: every config needs a name and a base_path.")
    try:
        check_base_path(config.base_path)
    except InputError as error:
        raise InputError(f"{path}, model {config.name!r}: {error}") from error
    policy: path_source.FileSystemStoragePathSourceConfig.ServableVersionPolicy = (
        config.model_version_policy
    )
    chosen = policy.WhichOneof("policy_choice")
    specific = tuple(policy.specific.versions)
    if chosen == "specific" and not specific:
        raise InputError(f"{path}: the policy of {config.name!r} is specific, without versions.")
    newest = 0 if chosen == "all" else (policy.latest.num_versions or 1)
    labels = dict(config.version_labels)
    logged = config.HasField("logging_config")
    return ModelConfig(config.name, config.base_path, newest, specific, labels, logged)


def read_text_proto(path: str, message: _Message, *, secret: bool = False) -> _Message:
    """Fills a message from a file in text format.

    Args:
      path: The file.
      message: The message to fill.
      secret: Whether errors leave out the file's content.

    Raises:
      InputError: if the file cannot be read or parsed.
    """
    try:
        with tf.io.gfile.GFile(path) as file:
            return text_format.Parse(file.read(), message)
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path} ({error}).") from error
    except text_format.ParseError as error:
        what = f"see line {error.GetLine()}" if secret else error
        raise InputError(
            f"{path} is not a valid {type(message).__name__} in text format: {what}."
        ) from error
