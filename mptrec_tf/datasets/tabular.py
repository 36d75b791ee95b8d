"""A user's own data: files or TFDS data sets, and a spec that says what their columns are."""

import os
from collections.abc import Iterator, Mapping, Sequence

from mptrec_tf.datasets import files, tfds_rows
from mptrec_tf.datasets.bad_rows import OnBadRow
from mptrec_tf.datasets.block import Block
from mptrec_tf.datasets.size import estimate_rows
from mptrec_tf.spec import DatasetSpec


class Tabular:
    """Rows of CSV files with a header, of TFRecord files of tf.Examples, or of TFDS data sets.

    A path that begins with "tfds:" is read by TensorFlow Datasets, see `tfds_rows`. Of the others,
    a file is read as CSV if its name ends in .csv or .txt (or these with .gz, in any case),
    otherwise as TFRecord.

    Args:
      spec: What the columns are.
      patterns: Paths or globs by split.

    Raises:
      InputError: for a pattern that matches no file, or what `tfds_rows.shards` refuses.
    """

    def __init__(self, spec: DatasetSpec, patterns: Mapping[str, Sequence[str]]):
        self.spec = spec
        self._files = {split: _shards(p) for split, p in patterns.items() if p}

    def shards(self, split: str) -> Sequence[str]:
        """Returns the files of a split, or runs of records of a TFDS data set."""
        return self._files.get(split, [])

    def read(self, shard: str) -> Iterator[Block]:
        """Yields the rows of a file."""
        return read_file(shard)

    def estimated_rows(self, split: str) -> int:
        """Returns about how many rows a split has."""
        return sum(estimated_rows(path) for path in self.shards(split))


def _shards(patterns: Sequence[str]) -> list[str]:
    paths: dict[str, None] = {}  # keeps the order; what two patterns name comes once
    for pattern in patterns:
        if tfds_rows.is_tfds(pattern):
            found = tfds_rows.shards(pattern)
        elif os.path.exists(pattern) and not os.path.isdir(pattern):
            found = [pattern]  # its name may hold what a glob reads in another way
        else:
            found = files.matching([pattern])
        paths |= dict.fromkeys(found)
    return list(paths)


def read_file(path: str, on_bad_row: OnBadRow | None = None) -> Iterator[Block]:
    """Yields the rows of one CSV (with header) or TFRecord file or "tfds:" path, by its name.

    Args:
      path: The file.
      on_bad_row: Called with each row that cannot be read, instead of an error.
    """
    if tfds_rows.is_tfds(path):
        return tfds_rows.read(path, on_bad_row)
    read = files.read_csv if _is_csv(path) else files.read_tfrecord
    return read(path, on_bad_row=on_bad_row)


def estimated_rows(path: str) -> int:
    """Returns about how many rows a file has; 0 if that is not known."""
    if tfds_rows.is_tfds(path):
        return tfds_rows.count_rows(path)
    return estimate_rows(path, _is_csv(path))


def _is_csv(path: str) -> bool:
    return path.lower().removesuffix(".gz").endswith((".csv", ".txt"))
