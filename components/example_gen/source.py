"""Which data set a pipeline reads, as plain data that is stored in TFX's metadata."""

import dataclasses
import glob
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from mptrec_tf.data.sets import registry
from mptrec_tf.data.sources import tfds_rows
from mptrec_tf.data.sources.block import Source
from mptrec_tf.data.sources.split_rows import FILES, SplitRows
from mptrec_tf.data.sources.split_rule import SplitRule
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.sources.tabular import Tabular, list_shards
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError
from mptrec_tf.storage.arrow_file_systems import find_file_system
from mptrec_tf.storage.file_systems import explain_failure
from mptrec_tf.storage.plain import from_plain, to_plain

# TFX fingerprints this in place of files where a data set has none.
_NO_FILE = "no-file"
# What TFX fills in.
_SPAN = re.compile(r"\{(?:SPAN|VERSION|YYYY|MM|DD)\b[^}]*\}")


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """A data set: a built-in one, or a user's own spec and files.

    Attributes:
      dataset: Optional str. The name of one that the registry knows.
      tasks: With `dataset`: names of the tasks, known ones and those to come. Empty for the data
        set's own.
      options: With `dataset`: its options by name, as `rows` or `data_dir`.
      spec: Optional. A user's own data: what the columns are.
      files: A user's own data: a path, glob or folder by split; a remote folder ends in /. `{SPAN}`
        or `{YYYY}-{MM}-{DD}` in each takes the newest, as TFX's example generation does; a folder
        named by these ends in /, too, and stands for the files directly in it.
        "tfds:NAME#SPLIT" is read by TensorFlow Datasets, see `mptrec_tf.data.sources.tfds_rows`.
      split: Optional. Splits the rows of one path or glob, `files["files"]`.

    Example:
      >>> SourceConfig(dataset="synthetic", tasks=("click", "like")).make_spec().task_names
      ('click', 'like')
    """

    dataset: str | None = None
    tasks: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    spec: DatasetSpec | None = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    split: SplitRule | None = None

    def __post_init__(self) -> None:
        if bool(self.dataset) == bool(self.spec):
            raise InputError("give either a built-in data set or a spec of your own data.")
        needed = [FILES] if self.split else list(SPLITS)
        if self.spec and self.files.keys() != set(needed):
            one = "one set of files to split" if self.split else f"files for {', '.join(SPLITS)}"
            raise InputError(
                f"your own data need {one}; received {', '.join(self.files) or 'none'}."
            )
        for problem in self.split.problems() if self.split else ():
            raise InputError(f"the rule that splits the rows: {problem}.")

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

        Splits that a rule makes have one path.

        Raises:
          InputError: for a folder whose files are not as deep in it as one another, which no one
            glob matches, or for what `tfds_rows.find_directory` rejects.
        """
        if self.spec:
            files = dict.fromkeys(SPLITS, self.files[FILES]) if self.split else self.files
            paths = {split: _path_on_disk(path) for split, path in files.items()}
            common = os.path.commonprefix(list(paths.values()))  # noqa: RUF071 (cut at a "/")
            fixed = re.match(r"[^*?\[{]*", common)[0]
            base = fixed[: fixed.rfind("/") + 1]
            return base or ".", {split: p.removeprefix(base) for split, p in paths.items()}
        read = registry.DATASETS.get(self.dataset).files(self.options)
        directory, files = read or (_NO_FILE, dict.fromkeys(SPLITS, _NO_FILE))
        return glob.escape(directory), files

    def open(self, patterns: Mapping[str, str]) -> Source:
        """Opens the data set.

        Args:
          patterns: A user's own data: a path or glob by split, spans filled in.

        Raises:
          InputError: for a folder of which TFX has not fingerprinted all files, or for what
            `registry.open_source` or `Tabular` reject.
        """
        if not self.spec:
            return registry.open_source(self.dataset, tasks=self.tasks or None, **self.options)
        first = patterns[SPLITS[0]]
        paths = {
            name: [_fill(path, patterns.get(name, first))] for name, path in self.files.items()
        }
        rows = Tabular(self.spec, paths)
        return SplitRows(rows, self.split) if self.split else rows

    def to_json(self) -> str:
        """Returns the configuration as JSON, which `from_json` reads."""
        plain = to_plain(self)
        if self.split is None:
            del plain["split"]  # as versions before wrote it: TFX compares the text
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> "SourceConfig":
        """Reads what `to_json` wrote."""
        return from_plain(cls, json.loads(text))


def _is_folder(path: str) -> bool:
    """Whether a path names a folder.

    A remote folder ends in /: a pipeline is compiled where there may be no network.
    """
    return path.endswith("/") or os.path.isdir(path)


def _path_on_disk(path: str) -> str:
    """Returns the glob of the files that TFX fingerprints for a path."""
    if tfds_rows.is_tfds(path):
        return f"{glob.escape(tfds_rows.find_directory(path))}/*"
    if _SPAN.search(path):
        return f"{path}*" if path.endswith("/") else path
    if _is_folder(path):
        return _path_in_folder(path)
    return glob.escape(path) if os.path.isfile(path) else path


def _path_in_folder(path: str) -> str:
    folder = path.rstrip("/")
    depths = {file.removeprefix(folder).count("/"): file for file in list_shards([folder])}
    if len(depths) > 1:
        one, other, *_ = depths.values()
        raise InputError(
            f"{path} holds files at several depths, {one} and {other}; put all as deep in the "
            "folder as one another, or give a glob of some."
        )
    return glob.escape(folder) + "/*" * min(depths)


def _fill(path: str, filled: str) -> str:
    """Returns what is read of a path, which TFX fingerprints: it filled in spans."""
    if tfds_rows.is_tfds(path):
        return path  # its reader knows which files to read
    if _SPAN.search(path):
        path = filled
    elif _is_folder(path):
        _path_in_folder(path)  # files may have been added
        return path
    with explain_failure(f"cannot look for {path!r}"):
        if find_file_system(path).isdir(path):
            raise InputError(f"{path} is a folder; end its path in /.")
    return path
