"""Blocks of typed Arrow columns: what Parquet, Arrow files and JSON lines have in common."""

import dataclasses
import os
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mptrec_tf.data.sources import typed_columns
from mptrec_tf.data.sources.bad_rows import NOT_UTF8, BadRow, OnBadRow
from mptrec_tf.data.sources.block import BLOCK_ROWS, Block
from mptrec_tf.data.sources.columns import Columns
from mptrec_tf.data.sources.typed_columns import NoColumnError, NotUtf8Error
from mptrec_tf.errors import InputError

_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclasses.dataclass(frozen=True)
class TypedRows:
    """n rows of a file.

    Attributes:
      types: The types of the columns, by name.
      arrays: The columns [n], by name; a mapping that reads them when they are used.
      source: str. The file, for messages.
      lines: [n] int. Each row's place, see `Block`.
      unit: str. What `lines` counts.
      repeated: Names that several columns have.
      may_have: Optional. Whether `arrays` has a column that is not in `types`, too.
    """

    types: Mapping[str, pa.DataType]
    arrays: Mapping[str, pa.Array]
    source: str
    lines: np.ndarray
    unit: str
    repeated: frozenset[str] = frozenset()
    may_have: Callable[[str], bool] | None = None

    def make_block(self) -> Block:
        """Returns the rows as a block; its columns are made when they are used."""
        columns = self._convert(typed_columns.to_column, lambda kind: True, self.may_have)

        def sparse(name: str) -> np.ndarray:
            if name in self.types and typed_columns.is_number(self.types[name]):
                return self.arrays[name].to_numpy(zero_copy_only=False)
            return columns[name]

        return Block(
            columns,
            self.source,
            self.lines,
            self.unit,
            repeated=self.repeated,
            sparse=sparse,
            arrow=self._convert(
                typed_columns.to_text,
                lambda kind: typed_columns.is_single(kind) and not typed_columns.is_number(kind),
            ),
            lists=self._convert(typed_columns.to_lists, typed_columns.is_list),
        )

    def _convert(
        self,
        convert: Callable[[pa.Array], Any],
        fits: Callable[[pa.DataType], bool],
        may_have: Callable[[str], bool] | None = None,
    ) -> Columns:
        """Returns the columns whose types fit, converted when they are used."""

        def make(name: str) -> Any:
            try:
                return convert(self.arrays[name])
            except NotUtf8Error as error:
                raise InputError(
                    f"{self.source}, {self.unit} {self.lines[min(error.rows)]}, column {name!r}: "
                    f"{error}; write the text as UTF-8."
                ) from error
            except NoColumnError as error:
                raise InputError(
                    f"{self.source}, column {name!r}: {error}; give columns of single values, or "
                    "of lists of them."
                ) from error

        return Columns([name for name, kind in self.types.items() if fits(kind)], make, may_have)

    def make_good_block(self, used: Sequence[str], on_bad_row: OnBadRow) -> Block:
        """Returns the used columns of the rows whose text there is UTF-8; reports other rows.

        Raises:
          InputError: for a column that is missing, or holds no raw values.
        """
        every = self.make_block()
        for name in used:
            every.check_column(name)
        rows = self._select(used)
        block = rows.make_block()
        bad: dict[int, str] = {}
        for name in used:
            columns = (block.arrow, block.lists, block.columns)
            try:
                next(of for of in columns if name in of)[name]  # it stays made
            except InputError as error:
                if not isinstance(error.__cause__, NotUtf8Error):
                    raise
                for row, reason in error.__cause__.rows.items():
                    bad.setdefault(row, f"column {name!r} is {NOT_UTF8} ({reason})")
        if not bad:
            return block
        for row, reason in bad.items():
            on_bad_row(BadRow(self.source, int(self.lines[row]), NOT_UTF8, reason))
        return rows._take(np.delete(np.arange(len(self.lines)), list(bad))).make_block()

    def _select(self, names: Iterable[str]) -> "TypedRows":
        types = {name: self.types.get(name, pa.null()) for name in names}
        arrays = Columns(types, lambda name: self.arrays[name])
        return dataclasses.replace(self, types=types, arrays=arrays, may_have=None)

    def _take(self, rows: np.ndarray) -> "TypedRows":
        arrays = Columns(self.types, lambda name: self.arrays[name].take(pa.array(rows)))
        return dataclasses.replace(self, arrays=arrays, lines=self.lines[rows])


def make_blocks(
    tables: Iterator[TypedRows],
    used: Sequence[str],
    on_bad_row: OnBadRow | None,
    given: Sequence[str] = (),
) -> Iterator[Block]:
    """Yields blocks of rows, with the columns that the names of their folders give.

    Args:
      tables: The rows.
      used: With `on_bad_row`, the columns that are used.
      on_bad_row: Called with each row whose text is not UTF-8, instead of raising an error.
      given: The paths that were given, see `find_partitions`.
    """
    for rows in tables:
        rows = _add_partitions(rows, given)
        yield rows.make_good_block(used, on_bad_row) if on_bad_row else rows.make_block()


def cut_blocks(rows: int) -> Iterator[slice]:
    """Yields the parts of so many rows that become blocks."""
    for start in range(0, rows, BLOCK_ROWS):
        yield slice(start, min(start + BLOCK_ROWS, rows))


def find_partitions(path: str, given: Sequence[str] = ()) -> dict[str, str | None]:
    """Returns the columns that folders name, as Hive does.

    Args:
      path: A file.
      given: The paths that were given. Of a folder among them, only those below it name columns.

    Example:
      >>> find_partitions("try=2/rows/country=CH/day=2024-01-31/part-0.parquet", ["try=2/rows"])
      {'country': 'CH', 'day': '2024-01-31'}
    """
    above = next((of for of in given if path.startswith(f"{of.rstrip('/')}/")), "")
    folders = os.path.dirname(path[len(above) :]).split("/")
    pairs = (folder.partition("=") for folder in folders)
    unquote = urllib.parse.unquote
    values = {unquote(key): unquote(value) for key, mark, value in pairs if key and mark}
    return {key: None if value == _HIVE_NULL else value for key, value in values.items()}


def _add_partitions(rows: TypedRows, given: Sequence[str]) -> TypedRows:
    partitions = find_partitions(rows.source, given)
    if not partitions:
        return rows

    def get(name: str) -> pa.Array:
        if name not in partitions:
            return rows.arrays[name]
        if name in rows.types:
            raise InputError(
                f"{rows.source} has a column {name!r}, and so has its folder "
                f"({name}={partitions[name]}); rename one of them."
            )
        value = pa.array([partitions[name]], pa.string())
        return value.take(pa.array(np.zeros(len(rows.lines), np.int64)))

    types = {**rows.types, **dict.fromkeys(partitions, pa.string())}
    return dataclasses.replace(rows, types=types, arrays=Columns(types, get, rows.may_have))
