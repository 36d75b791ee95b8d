"""KuaiRand-Pure: logs joined with their users and videos, read in their original format.

Gao et al., *KuaiRand*, CIKM 2022, https://arxiv.org/abs/2208.08696. The logs are split by the date
of each row: a model learns from two weeks, is chosen on the next, and tested on what follows; and
tested again on videos that were shown at random in those last days.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow.compute as pc

from mptrec_tf.data.sets.kuairand.spec import (
    DATE,
    DEFAULT_TASKS,
    ORIGIN,
    RANDOM,
    RANDOM_TEST,
    STANDARD_1,
    STANDARD_2,
    USER,
    USER_COLUMNS,
    USERS,
    VIDEO,
    VIDEO_COLUMNS,
    VIDEOS,
    find_folder,
    make_spec,
)
from mptrec_tf.data.sets.original_files import find_data_dir, find_original
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.csv_rows import read_csv
from mptrec_tf.data.sources.lookup import LookupTable, read_text
from mptrec_tf.data.sources.size import estimate_rows
from mptrec_tf.data.text_format import OriginalFormat
from mptrec_tf.errors import InputError

Shard = tuple[str, str, str]  # a file, and the first and the last date
_DAY_PATTERN = "^[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$"
# By split: the files that may have rows of it, the first and the last date, and about what share
# of the first file that is. Dates are those of the rows, whatever the names of the files say.
_BEGIN, _END = "00000000", "99999999"
_SPLITS = {
    "train": ((STANDARD_1, STANDARD_2), _BEGIN, "20220421", 1.0),
    "validation": ((STANDARD_2, STANDARD_1), "20220422", "20220428", 7 / 17),
    "test": ((STANDARD_2, STANDARD_1), "20220429", _END, 10 / 17),
    RANDOM_TEST: ((RANDOM,), "20220429", _END, 10 / 17),
}


class KuaiRand:
    """Rows of the original logs.

    Args:
      data_dir: Directory of the original files, plain or .gz, or of a folder `data` that holds
        them. By default they are downloaded from Zenodo, which needs a network.
      tasks: Names of the tasks, those to pre-train on and those to add.

    Raises:
      InputError: if the files are missing, or cannot be downloaded.
    """

    def __init__(self, data_dir: str | None = None, tasks: Sequence[str] = DEFAULT_TASKS):
        self.spec = make_spec(tasks)
        folder = find_folder(find_data_dir(ORIGIN, self.spec.name, data_dir))
        names = (STANDARD_1, STANDARD_2, RANDOM, USERS, VIDEOS)
        self._paths = {name: find_original(ORIGIN, folder, name) for name in names}
        self._tables: tuple[tuple[LookupTable, str], ...] = ()

    def __getstate__(self) -> dict:
        """Leaves out the tables, which each worker reads itself."""
        return self.__dict__ | {"_tables": ()}

    def shards(self, split: str) -> Sequence[Shard]:
        """Returns the logs that may have rows of a split, with its dates."""
        if split not in _SPLITS:
            return []
        names, first, last, _ = _SPLITS[split]
        return [(self._paths[name], first, last) for name in names]

    def read(self, shard: Shard) -> Iterator[Block]:
        """Yields the rows of a log from a first to a last date, with their users and videos.

        Raises:
          InputError: for a malformed row, a date that is none, or a user or a video that its
            table lacks or has twice, with file and line.
        """
        path, first, last = shard
        if not self._tables:
            self._tables = self._read_tables()
        for block in filter(len, read_csv(path, OriginalFormat(delimiter=","))):
            chosen = _find_dates(block, first, last)
            if not chosen.any():
                continue
            joined = block if chosen.all() else block.rows(chosen)
            for table, key in self._tables:
                joined = table.join(joined, key)
            yield joined

    def _read_tables(self) -> tuple[tuple[LookupTable, str], ...]:
        """Reads users and videos."""
        return tuple(
            (
                LookupTable(
                    self._read_checked(self._paths[name], columns),
                    key,
                    {column: column for column in columns},
                    self._paths[name],
                ),
                key,
            )
            for name, key, columns in (
                (USERS, USER, USER_COLUMNS),
                (VIDEOS, VIDEO, VIDEO_COLUMNS),
            )
        )

    def _read_checked(self, path: str, columns: Sequence[str]) -> Iterator[Block]:
        """Yields rows of a table; what is wrong in them is said here, where their lines are known.

        Raises:
          InputError: for a value that the spec does not allow, with file and line.
        """
        features = [feature for feature in self.spec.features if feature.name in columns]
        for block in filter(len, read_csv(path, OriginalFormat(delimiter=","))):
            for feature in features:
                feature.read(self.spec, block)
            yield block

    def estimated_rows(self, split: str) -> int:
        """Returns an estimate of a split's rows."""
        if split not in _SPLITS:
            return 0
        names, _, _, share = _SPLITS[split]
        return round(share * estimate_rows(self._paths[names[0]]))


def _find_dates(block: Block, first: str, last: str) -> np.ndarray:
    """Returns which rows are from a first to a last date, [n] bool.

    Raises:
      InputError: for what is not the eight digits of a date, with its place.
    """
    dates = pc.utf8_trim_whitespace(read_text(block, DATE))
    good = pc.match_substring_regex(dates, _DAY_PATTERN).to_numpy(zero_copy_only=False)
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        raise InputError(
            f"{block.where(bad)}, column {DATE!r}: {dates[bad].as_py()!r} is not a date such as "
            "20220408; get the file again if it is cut off."
        )
    inside = pc.and_(pc.greater_equal(dates, first), pc.less_equal(dates, last))
    return inside.to_numpy(zero_copy_only=False)
