"""Raw rows in memory, and the sources that yield them."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from mptrec_tf.data import canonical
from mptrec_tf.data.sources import text_columns
from mptrec_tf.data.sources.columns import Columns
from mptrec_tf.data.sources.decimal_comma import have_points
from mptrec_tf.data.sources.number_text import format_mixed, format_numbers
from mptrec_tf.data.sources.text_columns import TextRows
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError, did_you_mean

BLOCK_ROWS = 2000
_LISTS = (list, tuple, np.ndarray)


@dataclasses.dataclass(frozen=True)
class Block:
    """n raw rows, column by column.

    A reader that has text in Arrow gives it as `arrow` too, and makes `columns` of it on first use
    (`from_arrow`): numbers, bytes and distinct values are then made without an object per value.

    Attributes:
      columns: Arrays [n] by column name: text as object arrays of str, numbers with the type of
        the source, and object arrays of both if tf.Examples mix them in one column.
      source: str. The rows' file, for messages.
      lines: [n] int. Each row's place in the source, counted from 1.
      unit: str. What `lines` counts: "line" in text files, "record" or a kind of row elsewhere.
      repeated: Names that several columns of the source have.
      note: str. A hint for messages about a missing column: what the source seems to be.
      is_examples: bool. Whether the rows are tf.Examples, whose columns have types.
      sparse: Where columns have types, returns a column [n] that rows may lack: None, or NaN among
        numbers, where they do.
      values: For a text file, each row's values, including those of unnamed columns.
      delimiter: str. The delimiter of `values`.
      arrow: Some columns of text [n], by name, as string or large_string arrays without nulls.
      lists: Some columns of lists [n], by name, as large_list arrays of numbers or of text, without
        missing lists.
      written: For text whose numbers have a decimal comma, its columns [n] as they are written, by
        name; in other attributes these numbers have a point.

    Example:
      >>> block = Block({"city": np.array(["Bern", "Thun"], object)}, "a.csv", np.array([2, 3]))
      >>> block.text("city").tolist(), block.where(1)
      (['Bern', 'Thun'], 'a.csv, line 3')
    """

    columns: Mapping[str, np.ndarray]
    source: str
    lines: np.ndarray
    unit: str = "line"
    repeated: frozenset[str] = frozenset()
    note: str = ""
    is_examples: bool = False
    sparse: Callable[[str], np.ndarray] | None = None
    values: TextRows | tuple[()] = ()
    delimiter: str = ","
    arrow: Mapping[str, pa.Array] = dataclasses.field(default_factory=dict)
    lists: Mapping[str, pa.Array] = dataclasses.field(default_factory=dict)
    written: Mapping[str, pa.Array] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    @classmethod
    def from_arrow(
        cls, arrow: Mapping[str, pa.Array], source: str, lines: np.ndarray, **others: Any
    ) -> "Block":
        """Returns a block all of whose columns are text in Arrow.

        Args:
          arrow: See the attribute.
          source: See the attribute.
          lines: See the attribute.
          **others: Other attributes.
        """
        columns = Columns(arrow, lambda name: text_columns.to_objects(arrow[name]))
        return cls(columns, source, lines, arrow=arrow, **others)

    def with_text(self, columns: Mapping[str, pa.Array]) -> "Block":
        """Returns a block with more columns of text [n], in Arrow; they replace those it has."""
        names = dict.fromkeys((*self.columns, *columns))
        may_have = getattr(self.columns, "may_have", None)

        def make(name: str) -> np.ndarray:
            return text_columns.to_objects(columns[name]) if name in columns else self.columns[name]

        return dataclasses.replace(
            self, columns=Columns(names, make, may_have), arrow={**self.arrow, **columns}
        )

    def where(self, row: int) -> str:
        """Returns the place of a row of this block, for messages."""
        return f"{self.source}, {self.unit} {self.lines[row]}"

    def check_column(self, name: str) -> None:
        """Checks that there is a column of that name.

        Raises:
          InputError: if the source lacks it, or has several columns of that name.
        """
        if name not in self.columns:
            near = did_you_mean(name, self.columns) if not self.note else "."
            hint = near if near != "." else f"; {self.note or 'add it to the source'}."
            raise InputError(
                f"{self.source} has no column {name!r}; it has {', '.join(self.columns)}{hint}"
            )
        if name in self.repeated:
            raise InputError(
                f"the header of {self.source} names column {name!r} twice; rename one of them."
            )

    def check_single(self, name: str) -> None:
        """Checks that there is a column of that name, with one value in each row.

        Raises:
          InputError: as `check_column` does, or for a list, with its place.
        """
        self.check_column(name)
        if name in self.arrow or (column := self.columns[name]).dtype != object:
            return
        lists = {kind for kind in set(map(type, column)) if issubclass(kind, _LISTS)}
        for row, value in enumerate(column) if lists else ():
            if type(value) in lists:
                raise InputError(
                    f"{self.where(row)}, column {name!r}: {value!r} is a list, where each row "
                    "needs one value; a feature that has several is listed under bags, for example."
                )

    def column(self, name: str) -> np.ndarray:
        """Returns a raw column [n].

        Raises:
          InputError: as `check_column` does.
        """
        self.check_column(name)
        return self.columns[name]

    def raw(self, name: str) -> np.ndarray:
        """Returns a column [n] as it is written, with decimal commas."""
        column = self.column(name)
        return text_columns.to_objects(self.written[name]) if name in self.written else column

    def text(self, name: str) -> np.ndarray:
        """Returns a column as text, [n] object array of str; lists stay lists."""
        column = self.column(name)
        if column.dtype != object:
            return format_numbers(column)
        is_mixed = self.is_examples and name not in self.arrow
        return format_mixed(column) if is_mixed else column

    def encoded(self, name: str) -> pa.Array:
        """Returns a column as UTF-8 bytes, [n] large_binary.

        Raises:
          InputError: as `check_single` does.
        """
        self.check_single(name)
        if name in self.arrow:
            return text_columns.encode(self.arrow[name])
        return text_columns.encode(pa.array(self.text(name), pa.string()))

    def distinct(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns the distinct texts of a column, in any order, and each row's place among them.

        Returns:
          Text [k], and [n] int.

        Raises:
          InputError: as `check_single` does.
        """
        self.check_single(name)
        if name in self.arrow:
            return text_columns.find_distinct(self.arrow[name])
        return np.unique(self.text(name).astype(str), return_inverse=True)

    def count_values(self, name: str) -> list[tuple[str, int]]:
        """Returns the distinct texts of a column, as they come first, and the rows of each.

        Raises:
          InputError: as `check_single` does.
        """
        self.check_single(name)
        if name in self.arrow:
            values, codes = text_columns.find_distinct(self.arrow[name])
            return list(zip(values, np.bincount(codes).tolist(), strict=True))
        return count_texts(self.text(name))

    def canonical_text(self, name: str) -> np.ndarray:
        """Returns a column as text in canonical form, [n] object array of str.

        Raises:
          InputError: as `check_single` does.
        """
        values, codes = self.distinct(name)
        return np.array([canonical.canonicalize(v) for v in values], object)[codes]

    def numbers(
        self, name: str, missing_values: Sequence[str] | None = None, hint: str = ""
    ) -> np.ndarray:
        """Returns a column as numbers, [n] float32.

        Args:
          name: The column.
          missing_values: Optional. The texts that count as missing: such a value, one that a
            tf.Example lacks, and NaN become NaN. None: every row needs a number.
          hint: Optional. The end of the message about a value that is not a number.

        Raises:
          InputError: for a value that is not a finite float32, with file and line.
        """
        numbers = self._finite(name, missing_values)
        if numbers is None:
            column, bad = self.column(name), self.not_numbers(name, missing_values)
            what = "number; every row needs one there" + hint
            if missing_values is not None:
                what = "number, and not in `missing_values` of the spec"
            if self._have_points(name)[bad[0]]:
                what = "number with a decimal comma and without marks between thousands"
            raise InputError(
                f"{self.where(bad[0])}, column {name!r}: {str(column[bad[0]])!r} is not a finite "
                f"{what}."
            )
        return numbers

    def not_numbers(self, name: str, missing_values: Sequence[str] | None = None) -> np.ndarray:
        """Returns the rows, ascending, whose value in a column is not a finite float32.

        With `missing_values` those that are missing are left out, see `numbers`.
        """
        if self._finite(name, missing_values) is not None:
            return np.array([], int)
        column = self._sparse_column(name, missing_values)
        wrong = self._have_points(name)
        return np.array(
            [
                i
                for i, value in enumerate(column)
                if (wrong[i] or not _is_finite(value))
                and (missing_values is None or not _is_missing(value, missing_values))
            ]
        )

    def _have_points(self, name: str) -> np.ndarray:
        """Returns which values [n] are numbers with a point where they should have a comma."""
        if name not in self.written:
            return np.zeros(len(self), bool)
        return have_points(self.written[name])

    def _sparse_column(self, name: str, missing_values: Sequence[str] | None) -> np.ndarray:
        """Returns a column; None for values that tf.Examples lack, where they may."""
        if missing_values is not None and self.sparse is not None:
            return self.sparse(name)
        return self.column(name)

    def _finite(self, name: str, missing_values: Sequence[str] | None = None) -> np.ndarray | None:
        """Returns a column as finite numbers, NaN for missing ones; None if others are there."""
        self.check_column(name)
        numbers = None
        if name in self.arrow:
            numbers = text_columns.to_numbers(self.arrow[name], missing_values)
        if numbers is None:
            column = self._sparse_column(name, missing_values)
            numbers = _convert_objects(column, missing_values)
            if numbers is None or np.isinf(numbers).any():
                return None
            if missing_values is None and np.isnan(numbers).any():
                return None
        for code in canonical.missing_numbers(tuple(missing_values or ())):
            numbers[numbers == np.float32(code)] = np.nan
        if name in self.written and (self._have_points(name) & ~np.isnan(numbers)).any():
            return None
        return numbers

    def rows(self, selected: np.ndarray | slice) -> "Block":
        """Returns a block of some of its rows, by index, a mask or a slice."""
        may_have = getattr(self.columns, "may_have", None)
        columns = Columns(self.columns, lambda name: self.columns[name][selected], may_have)
        places = np.arange(len(self))[selected]
        take = lambda of: Columns(of, lambda name: of[name].take(pa.array(places)))  # noqa: E731
        arrow = take(self.arrow)
        if self.arrow:
            columns = Columns(
                self.columns,
                lambda name: (
                    text_columns.to_objects(arrow[name])
                    if name in arrow
                    else self.columns[name][selected]
                ),
                may_have,
            )
        sparse = self.sparse
        if sparse is not None:
            every = sparse
            sparse = lambda name: every(name)[selected]  # noqa: E731
        return dataclasses.replace(
            self,
            columns=columns,
            lines=self.lines[selected],
            values=self.values.select(selected) if self.values else (),
            sparse=sparse,
            arrow=arrow,
            lists=take(self.lists),
            written=take(self.written),
        )


def _convert_objects(column: np.ndarray, missing_values: Sequence[str] | None) -> np.ndarray | None:
    """Returns a column as numbers, NaN for missing ones; None if others are there."""
    try:
        with np.errstate(over="ignore"):
            return column.astype(np.float32)
    except (ValueError, TypeError):
        if missing_values is None:
            return None
    present = np.array([not _is_missing(value, missing_values) for value in column], bool)
    numbers = np.full(len(column), np.nan, np.float32)
    try:
        with np.errstate(over="ignore"):
            numbers[present] = column[present].astype(np.float32)
    except (ValueError, TypeError):
        return None
    return numbers


def count_texts(values: np.ndarray) -> list[tuple[str, int]]:
    """Returns the distinct texts [n], as they come first, and the rows of each."""
    codes, distinct = pd.factorize(values)
    counts = np.bincount(codes, minlength=len(distinct))
    return list(zip(distinct, counts.tolist(), strict=True))


def _is_missing(value: Any, missing_values: Sequence[str]) -> bool:
    if isinstance(value, str):
        return canonical.is_missing(canonical.canonicalize(value), missing_values)
    return value is None or bool(value != value)


def _is_finite(value: Any) -> bool:
    try:
        with np.errstate(over="ignore"):
            return np.ndim(value) == 0 and bool(np.isfinite(np.float32(value)))
    except (ValueError, TypeError):
        return False


class Source(Protocol):
    """Raw rows of a data set, in splits of shards that can be read on different machines.

    A source and its shards can be pickled. A source that splits rows itself has a method
    `describe_split`, see `split_rows`; one whose rows are joined on Beam before they are read has
    a method `join`, see `joining`.

    Example:
      class Ratings:
          spec = DatasetSpec("ratings", (Categorical("item"),), (BinaryTask("like", "liked", "1"),))

          def shards(self, split):
              return [f"{split}.csv"]

          def read(self, shard):
              return read_csv(shard, self.spec.text_format)

          def estimated_rows(self, split):
              return 0
    """

    spec: DatasetSpec

    def shards(self, split: str) -> Sequence[Any]:
        """Returns the shards of a split; empty if the source has no such split."""

    def read(self, shard: Any) -> Iterator[Block]:
        """Yields the rows of a shard, in order."""

    def estimated_rows(self, split: str) -> int:
        """Returns an estimate of a split's rows, for progress bars; 0: unknown."""


def read_split(source: Source, split: str) -> Iterator[Block]:
    """Yields all rows of a split, in order.

    Raises:
      InputError: if the source has no such split.
    """
    shards = source.shards(split)
    if not shards:
        raise InputError(f"data set {source.spec.name!r} has no {split} rows.")
    for shard in shards:
        yield from source.read(shard)
