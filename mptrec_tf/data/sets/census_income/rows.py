"""Census-Income (KDD), UCI 117: the data set of the paper, read in its original format.

White, R. (2000), UCI Machine Learning Repository, licensed CC BY 4.0.
"""

from collections.abc import Iterator, Sequence

from mptrec_tf.data.sets.census_income.spec import COLUMNS, DEFAULT_TASKS, ORIGIN, make_spec
from mptrec_tf.data.sets.original_files import find_data_dir, find_original
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.csv_rows import read_csv
from mptrec_tf.data.sources.size import estimate_rows
from mptrec_tf.data.text_format import OriginalFormat

_FILES = {"train": "census-income.data", "test": "census-income.test"}


def read_original(path: str) -> Iterator[Block]:
    """Yields the rows of an original file: no header, 42 columns.

    Raises:
      InputError: for a row with another number of columns, with file and line.
    """
    return read_csv(path, OriginalFormat(header=COLUMNS))


class CensusIncome:
    """Rows of the original files; as in the paper, half of the test file is for validation.

    Args:
      data_dir: Directory of the original files, plain or .gz. By default they are downloaded
        from UCI, which needs a network.
      tasks: Names of the tasks, those to pre-train on and those to add.

    Raises:
      InputError: if the files are missing, or cannot be downloaded.
    """

    def __init__(self, data_dir: str | None = None, tasks: Sequence[str] = DEFAULT_TASKS):
        self.spec = make_spec(tasks)
        data_dir = find_data_dir(ORIGIN, self.spec.name, data_dir)
        self._files = {
            split: find_original(ORIGIN, data_dir, name) for split, name in _FILES.items()
        }
        self._half: int | None = None

    def shards(self, split: str) -> Sequence[tuple[str, int | None, int | None]]:
        """Returns one shard: a file, and the range of its rows (end excluded)."""
        if split == "train":
            return [(self._files["train"], None, None)]
        if self._half is None:
            self._half = sum(map(len, read_original(self._files["test"]))) // 2
        bounds = {"validation": (None, self._half), "test": (self._half, None)}
        return [(self._files["test"], *bounds[split])] if split in bounds else []

    def read(self, shard: tuple[str, int | None, int | None]) -> Iterator[Block]:
        """Yields the rows of a shard."""
        path, start, stop = shard
        return _select_rows(read_original(path), start or 0, stop)

    def estimated_rows(self, split: str) -> int:
        """Returns an estimate of a split's rows."""
        if split == "train":
            return estimate_rows(self._files["train"])
        return estimate_rows(self._files["test"]) // 2


def _select_rows(blocks: Iterator[Block], start: int, stop: int | None) -> Iterator[Block]:
    first = 0
    for block in blocks:
        rows = slice(max(start - first, 0), None if stop is None else max(stop - first, 0))
        first += len(block)
        part = block.rows(rows)
        if len(part):
            yield part
        if stop is not None and first >= stop:
            return
