"""Typed columns of Arrow as raw columns: numbers, and the text that a CSV file would have of them.

    integers, floats        numbers; text where a value is missing
    truth values            "true", "false"
    text, bytes             UTF-8
    decimals                "12.5", without zeros at the end
    dates, times            ISO 8601: "2024-01-31", "12:30:00"; with a date in UTC, without a zone:
                            "2024-01-31T12:30:00", with a fraction if there is one
    lists of these          lists of their texts
    null, NaN               missing: empty text; in a list, no value

Imports no TensorFlow.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mptrec_tf.data.sources.number_text import format_numbers
from mptrec_tf.data.sources.text_columns import to_objects

# Of some rows a text, of others a list of texts.
TEXTS_AND_LISTS = pa.dense_union([pa.field("0", pa.string()), pa.field("1", pa.list_(pa.string()))])


class NotUtf8Error(ValueError):
    """Text that is not UTF-8.

    Attributes:
      rows: What is wrong, by row.
    """

    def __init__(self, rows: dict[int, str]):
        self.rows = rows
        super().__init__(f"not UTF-8 text ({next(iter(rows.values()))})")


class NoColumnError(ValueError):
    """Values of a type that are no raw column, such as structs."""


def to_column(array: pa.Array) -> np.ndarray:
    """Returns a raw column [n]: numbers, an object array of str, or one of lists of str.

    Raises:
      NotUtf8Error, NoColumnError: if it is none.
    """
    array = _decode_dictionary(array)
    if array.type == TEXTS_AND_LISTS:
        return np.fromiter(array.to_pylist(), object, len(array))
    if is_list(array.type):
        return _to_python_lists(to_lists(array))
    if is_number(array.type) and not array.null_count:
        numbers = array.to_numpy(zero_copy_only=False)
        if numbers.dtype.kind != "f" or not np.isnan(numbers).any():
            return numbers.astype(np.float32) if numbers.dtype == np.float16 else numbers
    return to_objects(to_text(array))


def _to_python_lists(lists: pa.LargeListArray) -> np.ndarray:
    texts = to_objects(to_text(lists.flatten()))
    ends = np.cumsum(lists.value_lengths().to_numpy(zero_copy_only=False))
    column = np.empty(len(lists), object)
    for row, values in enumerate(np.split(texts, ends[:-1]) if len(lists) else ()):
        column[row] = values.tolist()
    return column


def to_lists(array: pa.Array) -> pa.LargeListArray:
    """Returns a column of lists [n] as lists of numbers or of text; a missing list is empty.

    Raises:
      NotUtf8Error, NoColumnError: as `to_column` does.
    """
    present = array.filter(array.is_valid()) if array.null_count else array
    lengths = np.zeros(len(array), np.int64)
    lengths[array.is_valid().to_numpy(zero_copy_only=False)] = pc.list_value_length(
        present
    ).to_numpy(zero_copy_only=False)
    values = _decode_dictionary(present.flatten())
    ends = np.cumsum(lengths)
    try:
        values = values if is_number(values.type) else to_text(values)
    except NotUtf8Error as error:
        rows = np.searchsorted(ends, list(error.rows), side="right").tolist()
        raise NotUtf8Error(dict(zip(rows, error.rows.values(), strict=True))) from error
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int64))
    return pa.LargeListArray.from_arrays(offsets, values)


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists."""
    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text or bytes."""
    types = pa.types
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return True
    return types.is_string(kind) or types.is_large_string(kind)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column holds integers or floats."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def is_single(kind: pa.DataType) -> bool:
    """Whether a column holds values that `to_text` takes."""
    if pa.types.is_dictionary(kind):
        return is_single(kind.value_type)
    return any(matches(kind) for matches, _ in _TO_TEXT)


def to_text(array: pa.Array) -> pa.Array:
    """Returns the text of single values [n] as a string or large_string array without nulls.

    Raises:
      NotUtf8Error, NoColumnError: as `to_column` does.
    """
    array = _decode_dictionary(array)
    for matches, convert in _TO_TEXT:
        if matches(array.type):
            text = convert(array)
            return pc.fill_null(text, "") if text.null_count else text
    raise NoColumnError(f"its type is {array.type}, which is no single value")


def _decode_dictionary(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _cast(array: pa.Array) -> pa.Array:
    return array.cast(pa.string())


def _decode_utf8(array: pa.Array) -> pa.Array:
    large = pa.types.is_large_binary(array.type) or pa.types.is_large_string(array.type)
    raw, text = (pa.large_binary(), pa.large_string()) if large else (pa.binary(), pa.string())
    raw = array.cast(raw)
    try:
        return raw.cast(text)  # checks the encoding; files do not
    except pa.ArrowInvalid as error:
        raise NotUtf8Error(_find_bad_text(raw)) from error


def _find_bad_text(raw: pa.Array) -> dict[int, str]:
    bad = {}
    for row, value in enumerate(raw.to_pylist()):
        try:
            (value or b"").decode()
        except UnicodeDecodeError as error:
            bad[row] = error.reason
    return bad


def _format_floats(array: pa.Array) -> pa.Array:
    numbers = array.to_numpy(zero_copy_only=False)
    if numbers.dtype == np.float16:
        numbers = numbers.astype(np.float32)
    present = ~np.isnan(numbers)
    text = np.full(len(array), None, object)
    text[present] = format_numbers(numbers[present])
    return pa.array(text, pa.string())


def _format_decimals(array: pa.Array) -> pa.Array:
    encoded = array.dictionary_encode()
    texts = [f"{value:f}" for value in encoded.dictionary.to_pylist()]
    texts = [text.rstrip("0").rstrip(".") if "." in text else text for text in texts]
    return pa.array(texts, pa.string()).take(encoded.indices)


def _format_timestamps(array: pa.Array) -> pa.Array:
    unit = array.type.unit
    numbers = pc.fill_null(array.cast(pa.int64()), 0).to_numpy()
    moments = numbers.astype(f"datetime64[{unit}]")
    text = moments.astype("datetime64[s]").astype(str).astype(object)
    rest = np.flatnonzero(moments != moments.astype("datetime64[s]").astype(moments.dtype))
    text[rest] = [moment.rstrip("0") for moment in moments[rest].astype(str)]
    missing = array.is_null().to_numpy(zero_copy_only=False)
    return pa.array(text, pa.string(), mask=missing)


def _format_times(array: pa.Array) -> pa.Array:
    text = pc.replace_substring_regex(array.cast(pa.string()), r"(\.[0-9]*?)0+$", r"\1")
    return pc.replace_substring_regex(text, r"\.$", "")


# What a type's values are as text; the first that matches.
_TO_TEXT: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (is_text, _decode_utf8),
    (pa.types.is_integer, _cast),
    (pa.types.is_floating, _format_floats),
    (pa.types.is_boolean, _cast),
    (pa.types.is_null, _cast),
    (pa.types.is_decimal, _format_decimals),
    (pa.types.is_timestamp, _format_timestamps),
    (pa.types.is_date, _cast),
    (pa.types.is_time, _format_times),
)
