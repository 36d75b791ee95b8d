"""Columns of text in Arrow: as bytes, objects, distinct values and numbers, without Python's loops.

Unless it says otherwise, a function takes a string or large_string array [n] without nulls.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mptrec_tf.data import canonical


def encode(column: pa.Array) -> pa.Array:
    """Returns the column as UTF-8 bytes, [n] large_binary."""
    return column.cast(pa.large_binary())


def to_objects(column: pa.Array) -> np.ndarray:
    """Returns the column as an object array [n] of str; values that come often are one object."""
    encoded = column.dictionary_encode()
    if 2 * len(encoded.dictionary) > len(column):
        return column.to_numpy(zero_copy_only=False)
    return encoded.dictionary.to_numpy(zero_copy_only=False)[encoded.indices.to_numpy()]


def find_distinct(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct values, an object array of str, and each row's place among them, [n].

    Values are in the order in which they come first.
    """
    encoded = column.dictionary_encode()
    return encoded.dictionary.to_numpy(zero_copy_only=False), encoded.indices.to_numpy()


def canonicalize_values(values: np.ndarray, missing_values: Sequence[str]) -> np.ndarray:
    """Returns the canonical forms of texts, object arrays [n] of str; None for missing values."""
    pattern = f"^{canonical.make_changing_pattern(missing_values)}$"
    changing = pc.match_substring_regex(pa.array(values, pa.large_string()), pattern)
    forms = values.copy()
    for place in np.flatnonzero(changing):  # few: nearly all values are in canonical form
        form = canonical.canonicalize(values[place])
        forms[place] = None if canonical.is_missing(form, missing_values) else form
    return forms


def to_numbers(column: pa.Array, missing_values: Sequence[str] | None = None) -> np.ndarray | None:
    """Returns the column as finite float32 [n], with the bits to which Python's `float` leads.

    Args:
      column: Text.
      missing_values: Optional. Texts that become NaN, beside empty text.

    Returns:
      None if there is any other value. It may still be a number or missing in Python's spelling:
      Arrow takes no white space around a number, no plus before it and no case of another.
    """
    if missing_values is not None:
        missing = pc.is_in(column, value_set=_list_missing(tuple(missing_values)))
        column = pc.if_else(missing, pa.scalar(None, column.type), column)
    try:
        numbers = column.cast(pa.float64()).cast(pa.float32(), safe=False)
    except pa.ArrowInvalid:
        return None
    numbers = np.array(numbers.to_numpy(zero_copy_only=False))  # writable
    # Text such as nan(2) is NaN for Arrow alone.
    return numbers if np.isfinite(numbers).sum() == len(column) - column.null_count else None


@functools.cache
def _list_missing(missing_values: tuple[str, ...]) -> pa.Array:
    """Returns the usual spellings of texts that count as missing, without infinite numbers."""
    spellings = {
        form for value in ("", *missing_values) for form in (value, value.lower(), value.upper())
    }
    return pa.array(sorted(form for form in spellings if not _is_infinite(form)), pa.string())


def _is_infinite(text: str) -> bool:
    try:
        return math.isinf(float(text))
    except ValueError:
        return False


class TextRows(Sequence[list[str]]):
    """The rows of columns of text, each made when it is asked for.

    Args:
      columns: Arrays, all of one length.
      places: [n]. Optional. The rows' places in the columns; all rows by default.
    """

    def __init__(self, columns: Sequence[pa.Array], places: np.ndarray | None = None):
        self._columns = columns
        self._places = np.arange(len(columns[0]) if columns else 0) if places is None else places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, row: int) -> list[str]:
        return [column[int(self._places[row])].as_py() for column in self._columns]

    def select(self, selected: np.ndarray) -> "TextRows":
        """Returns some of the rows, by index or by a mask."""
        return TextRows(self._columns, self._places[selected])
