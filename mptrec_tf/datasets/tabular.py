"""A user's own data: files or TFDS data sets, and a spec that says what their columns are."""

from collections.abc import Iterator, Mapping, Sequence

from mptrec_tf.datasets import files, tfds_rows
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
    paths = files.matching([p for p in patterns if not tfds_rows.is_tfds(p)])
    for pattern in filter(tfds_rows.is_tfds, patterns):
        paths += tfds_rows.shards(pattern)
    return paths


def read_file(path: str) -> Iterator[Block]:
    """Yields the rows of one CSV (with header) or TFRecord file or "tfds:" path, by its name."""
    if tfds_rows.is_tfds(path):
        return tfds_rows.read(path)
    return files.read_csv(path) if _is_csv(path) else files.read_tfrecord(path)


def estimated_rows(path: str) -> int:
    """Returns about how many rows a file has; 0 if that is not known."""
    if tfds_rows.is_tfds(path):
        return tfds_rows.count_rows(path)
    return estimate_rows(path, _is_csv(path))


def _is_csv(path: str) -> bool:
    return path.lower().removesuffix(".gz").endswith((".csv", ".txt"))
