"""The generations of a model's backbone, as its versions tell: each renews the one before it.

Imports no TensorFlow.
"""

import dataclasses
import os

from mptrec_tf.errors import InputError
from mptrec_tf.export.version_contents import describe_parts
from mptrec_tf.export.versions import list_version_directories
from mptrec_tf.renewal.plan import RENEWAL
from mptrec_tf.storage.file_systems import get_file_system
from mptrec_tf.storage.json_files import open_description


@dataclasses.dataclass(frozen=True)
class Generation:
    """A backbone, and the versions that have it.

    Attributes:
      backbone: str. Its fingerprint.
      tasks: Names of the tasks that it was pre-trained on.
      versions: The added tasks of each version, by its number, ascending.
      renews: Optional int. The number of the version that it renews.
      retired: Tasks that it left out.
      accepted: Tasks for which it was pushed in spite of their verdicts.
    """

    backbone: str
    tasks: tuple[str, ...]
    versions: dict[int, tuple[str, ...]]
    renews: int | None = None
    retired: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()


def list_generations(version: str) -> list[Generation]:
    """Returns the generations up to a version, the newest first.

    Versions that are gone, or that do not hold their parts, are not known: the list may have gaps.

    Args:
      version: The version's directory in TF Serving's base path.

    Raises:
      InputError: if the record of a renewal is damaged.
    """
    base, name = os.path.split(version.rstrip("/"))
    found: dict[str, Generation] = {}
    if not name.isdigit():
        return []  # a copy that lies elsewhere
    for number, directory in list_version_directories(base).items():
        if number > int(name):
            break
        try:
            backbone, packages = describe_parts(directory)
        except InputError:
            continue
        tasks = tuple(backbone.shape.tasks)
        generation = found.get(backbone.fingerprint) or Generation(backbone.fingerprint, tasks, {})
        generation.versions[number] = tuple(package.task.name for package in packages)
        found[backbone.fingerprint] = dataclasses.replace(generation, **_read_record(directory))
    return sorted(found.values(), key=lambda of: max(of.versions), reverse=True)


def _read_record(version: str) -> dict[str, int | tuple[str, ...]]:
    """Returns what a version says about the one that it renews; nothing if it renews none."""
    path = os.path.join(version, RENEWAL)
    if not get_file_system(path).exists(path):
        return {}
    with open_description(path, f"{path} is missing", "restore it") as record:
        return {
            "renews": record["renews"],
            "retired": tuple(record["retired"]),
            "accepted": tuple(record["accepted"]),
        }
