"""Reads raw rows from Parquet files.

A row's place is its row group and its row in the file, both counted from 1. Only the columns that
are used are read, a row group at a time.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mptrec_tf.data.sources.columns import Columns, find_repeated
from mptrec_tf.data.sources.random_access import explain, open_for_arrow
from mptrec_tf.data.sources.typed_rows import TypedRows, cut_blocks


def count_parquet_rows(path: str) -> int:
    """Returns the number of rows of a Parquet file.

    Raises:
      InputError: for a file that cannot be read.
    """
    return _open(path).metadata.num_rows


def read_parquet(path: str) -> Iterator[TypedRows]:
    """Yields the rows of a Parquet file.

    Raises:
      InputError: for a file that cannot be read.
    """
    file = _open(path)
    schema = file.schema_arrow
    names = schema.names
    types = dict(zip(names, schema.types, strict=True))
    repeated = find_repeated(names)
    used: dict[str, None] = {}
    first = 1
    for index in range(file.num_row_groups):
        group = _RowGroup(path, file, index, used)
        rows = file.metadata.row_group(index).num_rows
        for part in cut_blocks(rows):
            yield TypedRows(
                types,
                Columns(names, lambda name, group=group, part=part: group.read(name, part)),
                path,
                np.arange(first + part.start, first + part.stop),
                f"row group {index + 1}, row",
                repeated,
            )
        first += rows


class _RowGroup:
    """The columns of a row group, read when they are first used.

    Args:
      path: The file, for messages.
      file: The file.
      index: The row group.
      used: The columns that row groups before used, all of which are read at once.
    """

    def __init__(self, path: str, file: pq.ParquetFile, index: int, used: dict[str, None]):
        self._path, self._file, self._index = path, file, index
        self._used = used
        self._columns: dict[str, pa.ChunkedArray] = {}

    def read(self, name: str, part: slice) -> pa.Array:
        """Returns some rows of a column."""
        if name not in self._columns:
            self._used[name] = None
            names = [n for n in self._used if n not in self._columns]
            with explain(self._path, "Parquet"):
                table = self._file.read_row_group(self._index, columns=names)
            self._columns |= {n: table.column(n) for n in names}
        column = self._columns[name].slice(part.start, part.stop - part.start)
        return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _open(path: str) -> pq.ParquetFile:
    with explain(path, "Parquet"):
        return pq.ParquetFile(open_for_arrow(path))
