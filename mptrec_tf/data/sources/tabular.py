"""A user's own data: files or TFDS data sets, and a spec that describes their columns."""

import os
from collections.abc import Iterator, Mapping, Sequence

from mptrec_tf.data.sources import files, tfds_rows
from mptrec_tf.data.sources.bad_rows import OnBadRow
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.size import estimate_rows
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError


class Tabular:
    """Rows of text files (CSV), of TFRecord files of tf.Examples, or of TFDS data sets.

    A path that begins with "tfds:" is read by TensorFlow Datasets, see `tfds_rows`; the format of
    others is detected, see `files`.

    Args:
      spec: Describes the columns and the format of text files.
      patterns: Paths or globs by split.

    Attributes:
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
        return read_file(shard, self.spec.text_format)

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
) -> Iterator[Block]:
    """Yields the rows of one text or TFRecord file, or "tfds:" path.

    Args:
      path: The file.
      text_format: How text files are written.
      on_bad_row: Called with each row that cannot be read, instead of raising an error.
      needed: With `on_bad_row`, the columns that a tf.Example must have.
    """
    if tfds_rows.is_tfds(path):
        return tfds_rows.read_rows(path, on_bad_row)
    return files.read_file(path, text_format, on_bad_row, needed)


def has_rows(path: str, text_format: TextFormat) -> bool:
    """Whether a file has rows, see `files.has_rows`."""
    return tfds_rows.is_tfds(path) or files.has_rows(path, text_format)


def estimate_file_rows(path: str) -> int:
    """Returns an estimate of a file's rows; 0: unknown."""
    return tfds_rows.count_rows(path) if tfds_rows.is_tfds(path) else estimate_rows(path)
