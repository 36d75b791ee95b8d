"""The time of each row, from a column of numbers or of ISO 8601 dates and times.

Imports no TensorFlow.
"""

import datetime
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Block

NUMBERS, DATES = "numbers", "dates"
_ISO = re.compile(
    r"(\d{4})-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?)?"
    r" ?(?:(Z|UTC|z)|([+-])(\d\d):?(\d\d)?)?"
)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_MICROSECOND = datetime.timedelta(microseconds=1)
_PER_SECOND = 1_000_000


def read_times(block: "Block", name: str, kind: str | None = None) -> tuple[np.ndarray, str]:
    """Returns the time of each row, and the kind of the column.

    Args:
      block: n rows.
      name: The column: numbers (of any unit, as seconds since 1970), or dates and times as
        2024-01-31, 2024-01-31 12:30, 2024-01-31T12:30:00.5+01:00; without a zone they are UTC.
      kind: NUMBERS or DATES, if rows before were of this kind.

    Returns:
      [n] float64, numbers as they are and dates as seconds since 1970; and NUMBERS or DATES.

    Raises:
      InputError: for a value that is no time, or of another kind, with its place.
    """
    column = block.column(name)
    if column.dtype.kind == "M":
        times, found = column.astype("datetime64[us]"), DATES
        times = np.where(np.isnat(times), np.nan, times.astype(np.int64) / _PER_SECOND)
    elif column.dtype.kind in "iuf":
        times, found = column.astype(np.float64), NUMBERS
    else:
        texts = [str(value).strip() for value in column]
        times = _parse_numbers(texts)
        found = NUMBERS if kind == NUMBERS or np.isfinite(times).any() else DATES
        if found == DATES:
            times = _parse_dates(texts)
    bad = np.flatnonzero(~np.isfinite(times))
    if len(bad):
        raise InputError(
            f"{block.where(bad[0])}, column {name!r}: {str(column[bad[0]])!r} is not a time; every "
            f"row needs {_describe(kind or found)} there."
        )
    if kind is not None and found != kind:
        raise InputError(
            f"{block.where(0)}, column {name!r}: {str(column[0])!r} is one of {found}, but rows "
            f"before have {kind}; every row needs {_describe(kind)} there."
        )
    return times + 0.0, found  # + 0.0: -0.0 is the same time as 0.0


def _describe(kind: str) -> str:
    return (
        "a number" if kind == NUMBERS else "a date or time such as 2024-01-31 or 2024-01-31T12:30"
    )


def format_time(time: float, kind: str) -> str:
    """Returns a time that `read_times` returned as text, for people.

    Example:
      >>> format_time(1704067200.0, DATES), format_time(5.0, NUMBERS)
      ('2024-01-01T00:00:00Z', '5')
    """
    if kind == NUMBERS:
        return f"{time:.17g}" if time != int(time) else str(int(time))
    moment = _EPOCH.replace(tzinfo=None) + round(time * _PER_SECOND) * _MICROSECOND
    return f"{moment.isoformat()}Z"


def parse_times(texts: Sequence[str]) -> tuple[np.ndarray, str]:
    """Returns the times of texts [n] as `read_times` does; NaN for one that is no time."""
    times = _parse_numbers(texts)
    if np.isfinite(times).any():
        return times, NUMBERS
    return _parse_dates(texts), DATES


def _parse_numbers(texts: Sequence[str]) -> np.ndarray:
    """Returns texts [n] as numbers; NaN for others."""
    try:
        return np.array(texts, object).astype(np.float64)
    except ValueError:
        return np.array([_parse_number(text) for text in texts], np.float64)


def _parse_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def _parse_dates(texts: Sequence[str]) -> np.ndarray:
    """Returns texts [n] as seconds since 1970; NaN for others."""
    # NumPy is fast, but takes no zones, and takes words such as "now".
    if all(len(text) >= 10 and text[-1].isdigit() and not _has_zone(text) for text in texts):
        try:
            times = np.array(texts, object).astype("datetime64[us]")
            return times.astype(np.int64) / _PER_SECOND
        except ValueError:
            pass  # one of them is no time: below, which one
    return np.array([_parse_date(text) for text in texts], np.float64)


def _has_zone(text: str) -> bool:
    return "+" in text or "-" in text[10:]


def _parse_date(text: str) -> float:
    match = _ISO.fullmatch(text)
    if not match:
        return np.nan
    *parts, fraction, _, sign, hours, minutes = match.groups()
    year, month, day, hour, minute, second = (int(part or 0) for part in parts)
    try:
        moment = datetime.datetime(
            *(year, month, day or 1, hour, minute, second),
            tzinfo=datetime.timezone.utc,
        )
        offset = datetime.timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    except ValueError:
        return np.nan
    since = (moment - _EPOCH) - (-offset if sign == "-" else offset)
    since += int((fraction or "0")[:6].ljust(6, "0")) * _MICROSECOND
    return (since // _MICROSECOND) / _PER_SECOND
