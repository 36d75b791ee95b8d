"""A user's own data: files or TFDS data sets, and a spec that describes their columns."""

import os
from collections.abc import Iterator, Mapping, Sequence

from mptrec_tf.data.sources import files, tfds_rows
from mptrec_tf.data.sources.bad_rows import OnBadRow
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError


class Tabular:
    """Rows of files, or of TFDS data sets.

    A path that begins with "tfds:" is read by TensorFlow Datasets, see `tfds_rows`; the format of
    others is detected, see `formats`.

    Args:
      spec: Describes the columns and the format of text files.
      patterns: Paths, globs or folders by split.

    Attributes:
      given: All patterns.
      empty: Files without rows, by split; they are skipped.

    Raises:
      InputError: for a pattern that matches no file, a split all of whose files are empty, or as
        `tfds_rows.list_shards` does.

    Example:
      source = Tabular(spec_yaml.load("spec.yaml"), {"train": ["rows-*.csv"]})
      for block in read_split(source, "train"):
          print(len(block))
    """

    def __init__(self, spec: DatasetSpec, patterns: Mapping[str, Sequence[str]]):
        self.spec = spec
        self.given = [path for paths in patterns.values() for path in paths]
        self._files: dict[str, list[str]] = {}
        self.empty: dict[str, list[str]] = {}
        for split, given in patterns.items():
            if given:
                paths = list_shards(given)
                self.empty[split] = [p for p in paths if not has_rows(p, spec.text_format)]
                self._files[split] = [p for p in paths if p not in set(self.empty[split])]
                if not self._files[split]:
                    what = "is" if len(paths) == 1 else f"and {len(paths) - 1} more are"
                    raise InputError(f"no {split} rows: {paths[0]} {what} empty.")

    def shards(self, split: str) -> Sequence[str]:
        """Returns the files of a split that have rows, or runs of records of a TFDS data set."""
        return self._files.get(split, [])

    def read(self, shard: str) -> Iterator[Block]:
        """Yields the rows of a file."""
        spec = self.spec
        return read_file(shard, spec.text_format, lists=spec.list_columns, given=self.given)

    def estimated_rows(self, split: str) -> int:
        """Returns an estimate of a split's rows."""
        return sum(estimate_file_rows(path) for path in self.shards(split))


def list_shards(patterns: Sequence[str]) -> list[str]:
    """Returns the files, or runs of records of TFDS data sets, that match paths or globs.

    Raises:
      InputError: for a pattern that matches no file, or as `tfds_rows.list_shards` does.
    """
    paths: dict[str, None] = {}  # ordered; what two patterns match comes once
    for pattern in patterns:
        if tfds_rows.is_tfds(pattern):
            matches = tfds_rows.list_shards(pattern)
        elif os.path.exists(pattern) and not os.path.isdir(pattern):
            matches = [pattern]  # a file name may contain characters of globs
        else:
            matches = files.find_files([pattern])
        paths |= dict.fromkeys(matches)
    return list(paths)


def read_file(
    path: str,
    text_format: TextFormat,
    on_bad_row: OnBadRow | None = None,
    needed: Sequence[str] = (),
    lists: Sequence[str] = (),
    optional: Sequence[str] = (),
    given: Sequence[str] = (),
) -> Iterator[Block]:
    """Yields the rows of one file or "tfds:" path.

    Args:
      path: The file.
      text_format: How text files are written.
      on_bad_row: Called with each row that cannot be read, instead of raising an error.
      needed: With `on_bad_row`, the columns that are used; a tf.Example must have them.
      lists: Columns that may hold any number of values in a row; rows are lists of them, in
        sources other than text files.
      optional: With `on_bad_row`, the columns that a tf.Example may have.
      given: The paths, globs and folders that files were looked for in: folders below these whose
        names are like `day=1` make columns.
    """
    if tfds_rows.is_tfds(path):
        return tfds_rows.read_rows(path, on_bad_row, lists)
    return files.read_file(path, text_format, on_bad_row, needed, lists, optional, given)


def has_rows(path: str, text_format: TextFormat) -> bool:
    """Whether a file has rows, see `files.has_rows`."""
    return tfds_rows.is_tfds(path) or files.has_rows(path, text_format)


def estimate_file_rows(path: str) -> int:
    """Returns an estimate of a file's rows; 0: unknown."""
    return tfds_rows.count_rows(path) if tfds_rows.is_tfds(path) else files.estimate_rows(path)
