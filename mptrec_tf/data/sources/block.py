"""Raw rows in memory, and the sources that yield them."""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mptrec_tf.data import canonical
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError

SPLITS = ("train", "validation", "test")
BLOCK_ROWS = 2000


class Columns(Mapping[str, np.ndarray]):
    """Columns by name, each made on first use.

    Args:
      names: Names of all columns.
      make: Returns the column [n] of a name.
    """

    def __init__(self, names: Iterable[str], make: Callable[[str], np.ndarray]):
        self._names = dict.fromkeys(names)
        self._make = make
        self._made: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclasses.dataclass(frozen=True)
class Block:
    """n raw rows, column by column.

    Attributes:
      columns: Arrays [n] by column name: text as object arrays of str, numbers with the type of
        the source, and object arrays of both if tf.Examples mix them in one column.
      source: str. The rows' file, for messages.
      lines: [n] int. Each row's place in the source, counted from 1.
      unit: str. What `lines` counts: "line" in text files, "record" elsewhere.
      repeated: Names that several columns of the source have.
      note: str. A hint for messages about a missing column: what the source seems to be.
      is_examples: bool. Whether the rows are tf.Examples, whose columns have types.
      values: For a text file, each row's values, including those of unnamed columns.
      delimiter: str. The delimiter of `values`.

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
    values: Sequence[Sequence[str]] = ()
    delimiter: str = ","

    def __len__(self) -> int:
        return len(self.lines)

    def where(self, row: int) -> str:
        """Returns the place of a row of this block, for messages."""
        return f"{self.source}, {self.unit} {self.lines[row]}"

    def column(self, name: str) -> np.ndarray:
        """Returns a raw column [n].

        Raises:
          InputError: if the source lacks it, or has several columns of that name.
        """
        if name not in self.columns:
            close = difflib.get_close_matches(name, self.columns, 1)
            hint = self.note or (close and f"did you mean {close[0]!r}?") or "add it to the source"
            raise InputError(
                f"{self.source} has no column {name!r}; it has {', '.join(self.columns)}; {hint}."
            )
        if name in self.repeated:
            raise InputError(
                f"the header of {self.source} names column {name!r} twice; rename one of them."
            )
        return self.columns[name]

    def text(self, name: str) -> np.ndarray:
        """Returns a column as text, [n] object array of str."""
        column = self.column(name)
        if column.dtype != object:
            return format_numbers(column)
        return _mixed_text(column) if self.is_examples else column

    def canonical_text(self, name: str) -> np.ndarray:
        """Returns a column as text in canonical form, [n] object array of str."""
        values, inverse = np.unique(self.text(name).astype(str), return_inverse=True)
        return np.array([canonical.canonicalize(v) for v in values], object)[inverse]

    def numbers(self, name: str) -> np.ndarray:
        """Returns a column as numbers, [n] float32.

        Raises:
          InputError: for a value that is not a finite float32, with file and line.
        """
        numbers = self._finite(name)
        if numbers is None:
            column, bad = self.column(name), self.not_numbers(name)
            raise InputError(
                f"{self.where(bad[0])}, column {name!r}: {str(column[bad[0]])!r} is not a finite "
                "number; every row needs one there."
            )
        return numbers

    def not_numbers(self, name: str) -> np.ndarray:
        """Returns the rows, ascending, whose value in a column is not a finite float32."""
        if self._finite(name) is not None:
            return np.array([], int)
        return np.array([i for i, value in enumerate(self.column(name)) if not _is_finite(value)])

    def _finite(self, name: str) -> np.ndarray | None:
        try:
            with np.errstate(over="ignore"):
                numbers = self.column(name).astype(np.float32)
        except ValueError:
            return None
        return numbers if np.isfinite(numbers).all() else None

    def rows(self, selected: np.ndarray) -> "Block":
        """Returns a block of some of its rows, by index or by a mask."""
        columns = Columns(self.columns, lambda name: self.columns[name][selected])
        lines, values = self.lines[selected], self.values
        if values:
            values = [values[row] for row in np.arange(len(self))[selected]]
        return dataclasses.replace(self, columns=columns, lines=lines, values=values)


def _mixed_text(values: np.ndarray) -> np.ndarray:
    """Returns values [n], each text or a number of a tf.Example, as text."""
    text = values.copy()
    for row, value in enumerate(values):
        if isinstance(value, float):
            text[row] = format_numbers(np.array([value], np.float32))[0]
        elif not isinstance(value, str):
            text[row] = str(value)
    return text


def format_numbers(values: np.ndarray) -> np.ndarray:
    """Returns numbers [n] as their shortest text in canonical form, [n] object array of str.

    `canonical_graph.format_numbers` gives the same for float32.
    """
    if values.dtype.kind != "f":
        return values.astype(str).astype(object)
    text = values.astype(np.float64).astype(str).astype(object)
    if values.dtype == np.float32:
        inexact = np.ones(len(values), bool)
        for digits in (6, 7, 8, 9):
            rows = np.flatnonzero(inexact)
            text[rows] = [f"{value:.{digits}g}" for value in values[rows].tolist()]
            inexact[rows] = text[rows].astype(np.float32) != values[rows]
    with np.errstate(invalid="ignore"):
        whole = (values == np.floor(values)) & (np.abs(values) < canonical.LARGEST)
    text[whole] = values[whole].astype(np.int64).astype(str)
    return text


def _is_finite(value: Any) -> bool:
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.float32(value)))
    except ValueError:
        return False


class Source(Protocol):
    """Raw rows of a data set, in splits of shards that can be read on different machines.

    A source and its shards can be pickled.

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
