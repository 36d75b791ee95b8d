"""Lists of values in the raw columns of rows, and as one text.

A row of a column with several values holds, by the kind of source:

    text files        one text, values separated by the feature's `separator`: "a|b|c"
    other sources     a list (tf.Examples with repeated values, lists of Parquet and JSON, ragged
                      columns of TFDS), whose values may hold the separator
    requests          one text, likewise; or `join_list` of a list, whose values may then hold the
                      separator: each value follows a unit separator, U+001F

Blank values are no values: "a||b" has two, and "" has none. Imports no TensorFlow.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mptrec_tf.data.sources import text_columns, typed_columns
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.number_text import format_numbers
from mptrec_tf.errors import InputError

# Precedes each value of a list in a text. Neither files nor keyboards have it.
UNIT = "\x1f"


@dataclasses.dataclass(frozen=True)
class Lists:
    """The values of n rows.

    Attributes:
      values: [N] object array of str, those of all rows in order.
      lengths: [n] int64. How many of them each row has.
    """

    values: np.ndarray
    lengths: np.ndarray

    def row_of(self, value: int) -> int:
        """Returns the row of a value."""
        return int(np.searchsorted(np.cumsum(self.lengths), value, side="right"))

    def to_arrow(self) -> pa.LargeListArray:
        """Returns the lists [n], as UTF-8 bytes."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)
        values = pa.array(self.values, pa.string()).cast(pa.large_binary())
        return pa.LargeListArray.from_arrays(pa.array(offsets), values)

    def join(self) -> np.ndarray:
        """Returns each row as one text, [n] object array of str, see `join_list`."""
        texts = np.full(len(self.lengths), "", object)
        ends = np.cumsum(self.lengths)
        for row in np.flatnonzero(self.lengths):
            texts[row] = join_list(self.values[ends[row] - self.lengths[row] : ends[row]])
        return texts


@dataclasses.dataclass(frozen=True)
class ListSurvey:
    """What a survey counts of a raw column with several values in a row.

    Attributes:
      values: [N] object array of str. The values whose distinct ones are counted.
      missing: int. Rows without a value.
      counts: Other numbers to add up over all rows, by name.
    """

    values: np.ndarray
    missing: int
    counts: Mapping[str, int]


def join_list(values: Iterable[str]) -> str:
    r"""Returns a list as one text that splits into the same values, whatever they hold.

    Example:
      >>> join_list(["a", "b|c"])
      '\x1fa\x1fb|c'
    """
    return "".join(UNIT + value for value in values)


def read_lists(block: Block, name: str, separator: str) -> Lists:
    """Reads a raw column.

    Args:
      block: n raw rows.
      name: The column.
      separator: What separates the values in a text.

    Raises:
      InputError: for a column that is missing, or a value that is neither text nor a number, with
        its place.
    """
    block.check_column(name)
    if name in block.lists:
        lists = block.lists[name]
        values = text_columns.to_objects(typed_columns.to_text(lists.flatten()))
        return _drop_blank(values, lists.value_lengths().to_numpy())
    column = block.raw(name)
    if column.dtype != object:
        return Lists(block.text(name), np.ones(len(block), np.int64))
    try:
        lists = pa.array(column, pa.string())
        lists = pc.split_pattern(lists, separator)
        lengths = np.nan_to_num(pc.list_value_length(lists).to_numpy(zero_copy_only=False))
        values = lists.flatten().to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # some are no text
        rows = [_to_texts(block, name, row, value, separator) for row, value in enumerate(column)]
        lengths = np.array([len(row) for row in rows])
        values = np.array([value for row in rows for value in row] or [""], object)[: sum(lengths)]
    return _drop_blank(values, lengths.astype(np.int64))


def _drop_blank(values: np.ndarray, lengths: np.ndarray) -> Lists:
    given = np.array([bool(value) and not value.isspace() for value in values], bool)
    if given.all():
        return Lists(values, lengths)
    rows = np.repeat(np.arange(len(lengths)), lengths)[given]
    return Lists(values[given], np.bincount(rows, minlength=len(lengths)).astype(np.int64))


def _to_texts(block: Block, name: str, row: int, value: Any, separator: str) -> Sequence[str]:
    """Returns the values of a row, of which a text is split."""
    if isinstance(value, str):
        return value.split(separator)
    if isinstance(value, np.ndarray):
        if value.ndim == 1 and value.dtype.kind in "iuf":
            return list(format_numbers(value))
        value = value.tolist()
    items = value if isinstance(value, list | tuple) else [value]
    if set(map(type, items)) == {float}:
        # tf.Examples have float32.
        numbers = np.array(items, np.float32 if block.is_examples else np.float64)
        return list(format_numbers(numbers[~np.isnan(numbers)]))
    return [_to_text(block, name, row, item) for item in items]


def _to_text(block: Block, name: str, row: int, item: Any) -> str:
    if item is None or item != item:
        return ""
    if isinstance(item, str):
        return item
    if isinstance(item, bytes):
        try:
            return item.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{block.where(row)}, column {name!r}: not UTF-8 text ({error.reason})."
            ) from error
    if isinstance(item, bool | int | float | np.generic):
        return str(item)
    raise InputError(
        f"{block.where(row)}, column {name!r}: {item!r} is not a single value; give a list of "
        "texts or numbers."
    )
