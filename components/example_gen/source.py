"""Which data set a pipeline reads, as plain data that is stored in TFX's metadata."""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from mptrec_tf.data.sources import registry, tfds_rows
from mptrec_tf.data.sources.block import SPLITS, Source
from mptrec_tf.data.sources.tabular import Tabular
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError
from mptrec_tf.storage.plain import from_plain, to_plain

# TFX fingerprints this in place of files where a data set has none.
_NO_FILE = "no-file"


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """A data set: a built-in one, or a user's own spec and files.

    Attributes:
      dataset: Optional str. The name of one that the registry knows.
      tasks: With `dataset`: names of the tasks, known ones and those to come. Empty for the data
        set's own.
      options: With `dataset`: its options by name, as `rows` or `data_dir`.
      spec: Optional. A user's own data: what the columns are.
      files: A user's own data: a path or glob by split. `{SPAN}` or `{YYYY}-{MM}-{DD}` in each
        takes the newest, as TFX's example generation does. "tfds:NAME#SPLIT" is read by TensorFlow
        Datasets, see `mptrec_tf.data.sources.tfds_rows`.

    Example:
      >>> SourceConfig(dataset="synthetic", tasks=("click", "like")).make_spec().task_names
      ('click', 'like')
    """

    dataset: str | None = None
    tasks: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    spec: DatasetSpec | None = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.dataset) == bool(self.spec):
            raise InputError("give either a built-in data set or a spec of your own data.")
        if self.spec and self.files.keys() != set(SPLITS):
            raise InputError(
                f"your own data need files for {', '.join(SPLITS)}; "
                f"received {', '.join(self.files) or 'none'}."
            )

    def make_spec(self) -> DatasetSpec:
        """Returns the spec of the columns, without reading files.

        Raises:
          InputError: for an unknown data set or task.
        """
        if self.spec:
            return self.spec
        return registry.make_built_in_spec(self.dataset, self.tasks or None)

    def patterns(self) -> tuple[str, dict[str, str]]:
        """Returns the directory of the files, and a path or glob below it by split.

        Raises:
          InputError: for what `tfds_rows.find_directory` rejects.
        """
        if self.spec:
            paths = {split: _path_on_disk(path) for split, path in self.files.items()}
            common = os.path.commonprefix(list(paths.values()))  # noqa: RUF071 (cut at a "/")
            fixed = re.match(r"[^*?\[{]*", common)[0]
            base = fixed[: fixed.rfind("/") + 1]
            return base or ".", {split: p.removeprefix(base) for split, p in paths.items()}
        read = registry.DATASETS.get(self.dataset).files(self.options)
        return read or (_NO_FILE, dict.fromkeys(SPLITS, _NO_FILE))

    def open(self, patterns: Mapping[str, str]) -> Source:
        """Opens the data set.

        Args:
          patterns: A user's own data: a path or glob by split, spans filled in.

        Raises:
          InputError: for what `registry.open_source` or `Tabular` reject.
        """
        if self.spec:
            # TFX fingerprints the files of a TFDS data set, and TFDS reads them.
            tfds = {s: path for s, path in self.files.items() if tfds_rows.is_tfds(path)}
            return Tabular(self.spec, {s: [path] for s, path in {**patterns, **tfds}.items()})
        return registry.open_source(self.dataset, tasks=self.tasks or None, **self.options)

    def to_json(self) -> str:
        """Returns the configuration as JSON, which `from_json` reads."""
        return json.dumps(to_plain(self))

    @classmethod
    def from_json(cls, text: str) -> "SourceConfig":
        """Reads what `to_json` wrote."""
        return from_plain(cls, json.loads(text))


def _path_on_disk(path: str) -> str:
    return f"{tfds_rows.find_directory(path)}/*" if tfds_rows.is_tfds(path) else path
