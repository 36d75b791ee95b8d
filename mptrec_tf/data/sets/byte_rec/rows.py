"""Byte-Rec, read in its original format: one file of tab-separated rows without a header.

ByteDance, *Short Video Understanding Challenge*, track 2, ICME 2019.
"""

from collections.abc import Iterator, Sequence

from mptrec_tf.data.sets.byte_rec.spec import (
    COLUMNS,
    DEFAULT_TASKS,
    FILE,
    ORIGIN,
    SPLIT,
    make_spec,
)
from mptrec_tf.data.sets.original_files import find_data_dir, find_original
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.csv_rows import read_csv
from mptrec_tf.data.sources.size import estimate_rows
from mptrec_tf.data.sources.split_rows import FILES, SplitRows
from mptrec_tf.data.text_format import OriginalFormat

_FORMAT = OriginalFormat(delimiter="tab", header=COLUMNS, quote="none")


def open_byte_rec(data_dir: str | None, tasks: Sequence[str] = DEFAULT_TASKS) -> SplitRows:
    """Returns the rows of the original file, split 8:1:1 by a hash of user and video.

    Args:
      data_dir: Directory of the original file, plain or .gz.
      tasks: Names of the tasks, those to pre-train on and those to add.

    Raises:
      InputError: if the file is missing.
    """
    return SplitRows(OriginalFile(data_dir, tasks), SPLIT)


class OriginalFile:
    """All rows of the original file, as one split; see `open_byte_rec`."""

    def __init__(self, data_dir: str | None, tasks: Sequence[str] = DEFAULT_TASKS):
        self.spec = make_spec(tasks)
        directory = find_data_dir(ORIGIN, self.spec.name, data_dir)
        self._path = find_original(ORIGIN, directory, FILE)

    def shards(self, split: str) -> Sequence[str]:
        """Returns the file."""
        return [self._path] if split == FILES else []

    def read(self, shard: str) -> Iterator[Block]:
        """Yields the rows of the file, in order.

        Raises:
          InputError: for a row with another number of columns, with file and line.
        """
        return read_csv(shard, _FORMAT)

    def estimated_rows(self, split: str) -> int:
        """Returns an estimate of the rows."""
        return sum(estimate_rows(path) for path in self.shards(split))
