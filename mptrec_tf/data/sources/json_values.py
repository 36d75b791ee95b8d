"""Values of JSON lines one by one: what is wrong where, and columns of several types.

`json_rows` reads most lines at once, and asks here for all others.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mptrec_tf.data.sources.bad_rows import GIVE_ENCODING, NOT_JSON, NOT_UTF8, BadRow, OnBadRow
from mptrec_tf.data.sources.number_text import format_numbers
from mptrec_tf.errors import InputError


def is_value(line: bytes) -> bool:
    """Whether a line is JSON."""
    try:
        json.loads(line)
    except ValueError:
        return False
    except RecursionError:
        pass  # it is JSON so far
    return True


def parse_lines(
    path: str, lines: Sequence[tuple[int, bytes]], on_bad_row: OnBadRow | None
) -> tuple[list[int], list[dict[str, Any]]]:
    """Returns the numbers and the objects of lines.

    Args:
      path: Their file, for messages.
      lines: Numbers and lines.
      on_bad_row: Called with each line that is no JSON object, instead of raising an error.

    Raises:
      InputError: for a line that is no JSON object.
    """
    numbers, rows = [], []
    for number, line in lines:
        kind, reason, row = _parse_line(line)
        if not kind:
            numbers.append(number)
            rows.append(row)
        elif on_bad_row is None:
            hint = f"; {GIVE_ENCODING}" if kind == NOT_UTF8 else ""
            if line.startswith(b"[") or line in (b"{", b"}"):
                hint = "; write one object in each line, without a list around them"
            raise InputError(f"{path}, line {number}: {reason}{hint}.")
        else:
            text = line.decode("utf-8", "backslashreplace")
            on_bad_row(BadRow(path, number, kind, reason, text))
    return numbers, rows


def _parse_line(line: bytes) -> tuple[str, str, dict[str, Any]]:
    """Returns the kind of error, the error, and the object."""
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return NOT_UTF8, f"{NOT_UTF8} ({error.reason})", {}
    except ValueError as error:
        return NOT_JSON, f"{NOT_JSON} ({error})", {}
    except RecursionError:
        return NOT_JSON, f"{NOT_JSON} (too many levels)", {}
    if not isinstance(row, dict):
        return NOT_JSON, NOT_JSON, {}
    return "", "", row


def to_array(values: list[Any]) -> pa.Array:
    """Returns a column; values of several types as text, or `typed_columns.TEXTS_AND_LISTS`."""
    if any(isinstance(value, dict) for value in values):
        return pa.array([{}] * len(values))  # rejected where it is used
    is_list = np.array([isinstance(value, list) for value in values])
    lists = [value for value in values if isinstance(value, list)]
    if any(isinstance(item, list | dict) for of in lists for item in of):
        return pa.array([[[]]] * len(values))  # likewise
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeError):
        pass  # several types, or numbers that no type holds
    texts = pa.array([_to_text(of) for of in values if not isinstance(of, list)], pa.string())
    if not lists:
        return texts
    lists = pa.array([[_to_text(item) for item in of] for of in lists], pa.list_(pa.string()))
    places = np.where(is_list, np.cumsum(is_list), np.cumsum(~is_list)) - 1
    return pa.UnionArray.from_dense(
        pa.array(is_list.astype(np.int8)), pa.array(places.astype(np.int32)), [texts, lists]
    )


def _to_text(value: str | bool | int | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return format_numbers(np.array([value]))[0] if value == value else ""
    return str(value).encode("utf-8", "replace").decode()  # half a surrogate pair is no character
