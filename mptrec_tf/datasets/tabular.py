"""A user's own data: CSV or TFRecord files, and a spec that says what their columns are."""

from collections.abc import Iterator, Mapping, Sequence

from mptrec_tf.datasets import files
from mptrec_tf.datasets.block import Block
from mptrec_tf.datasets.size import estimate_rows
from mptrec_tf.spec import DatasetSpec


class Tabular:
    """Rows of CSV files with a header, or of TFRecord files of tf.Examples.

    A file is read as CSV if its name ends in .csv or .txt (or these with .gz, in any case),
    otherwise as TFRecord.

    Args:
      spec: What the columns are.
      patterns: Paths or globs by split.

    Raises:
      InputError: for a pattern that matches no file.
    """

    def __init__(self, spec: DatasetSpec, patterns: Mapping[str, Sequence[str]]):
        self.spec = spec
        self._files = {split: files.matching(p) for split, p in patterns.items() if p}

    def shards(self, split: str) -> Sequence[str]:
        """Returns the files of a split."""
        return self._files.get(split, [])

    def read(self, shard: str) -> Iterator[Block]:
        """Yields the rows of a file."""
        return read_file(shard)

    def estimated_rows(self, split: str) -> int:
        """Returns about how many rows a split has."""
        return sum(estimated_rows(path) for path in self.shards(split))


def read_file(path: str) -> Iterator[Block]:
    """Yields the rows of one CSV (with header) or TFRecord file, told apart by its name."""
    return files.read_csv(path) if _is_csv(path) else files.read_tfrecord(path)


def estimated_rows(path: str) -> int:
    """Returns about how many rows a file has; 0 if that is not known."""
    return estimate_rows(path, _is_csv(path))


def _is_csv(path: str) -> bool:
    return path.lower().removesuffix(".gz").endswith((".csv", ".txt"))
