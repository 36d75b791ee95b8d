"""Parses dates and times in graphs: text in, the calendar and seconds out, without a loop.

These are times:

    2024-01-05                      a day; its time is midnight
    2024-01-05T17:03                also with a space, seconds, fractions of them, or slashes
    2024-01-05T17:03:20.5+01:00     with Z or an offset from UTC; else in UTC
    20240105                        a day
    1704474200                      seconds since 1970 in UTC; with more than 11 digits
                                    milliseconds, 14 microseconds, 17 nanoseconds

Hours and days are those that are written, whatever the offset: 17:03 is in the afternoon of the one
who wrote it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from mptrec_tf.data.canonical import MISSING
from mptrec_tf.data.transform.canonical_graph import canonicalize_text

_DAY = 86_400
# Year, month and day; hour, minute, second and its fraction; the offset from UTC.
_WRITTEN = (
    r"^([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})"
    r"(?:[Tt ]([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9})[0-9]*)?)?"
    r" ?(?:[Zz]|UTC|([+-][0-9]{2}(?::?[0-9]{2})?))?)?$"
)
_COMPACT = r"^((?:1[6-9]|2[0-9])[0-9]{2})([0-9]{2})([0-9]{2})$"
_EPOCH = r"^[+-]?[0-9]{1,19}(?:\.[0-9]*)?$"
# The parts of 1970-01-01, for what is no written time.
_NO_PARTS = "1970,1,1,,,,0,"


class Times(NamedTuple):
    """Parsed times.

    Attributes:
      valid: Whether it is a time; where it is not, the others are of 1970.
      seconds: float64. Since 1970, in UTC.
      hour: int64. 0 to 23.
      day: int64. Of the month, 0 to 30.
      weekday: int64. 0 is Monday, 6 is Sunday.
      month: int64. 0 to 11.
    """

    valid: tf.Tensor
    seconds: tf.Tensor
    hour: tf.Tensor
    day: tf.Tensor
    weekday: tf.Tensor
    month: tf.Tensor


def parse_times(values: tf.Tensor, missing_values: Sequence[str]) -> tuple[Times, tf.Tensor]:
    """Parses texts.

    Args:
      values: [...] string.
      missing_values: What counts as missing.

    Returns:
      The times [...], and whether a text is missing, which is no time either.
    """
    shape = tf.shape(values)
    text = canonicalize_text(tf.reshape(values, [-1]), missing_values)
    times = _parse(text)
    return Times(*(tf.reshape(of, shape) for of in times)), tf.reshape(text == MISSING, shape)


def _parse(text: tf.Tensor) -> Times:
    is_compact = tf.strings.regex_full_match(text, _COMPACT)
    text = tf.where(is_compact, tf.strings.regex_replace(text, _COMPACT, r"\1-\2-\3"), text)
    is_written = tf.strings.regex_full_match(text, _WRITTEN)
    is_epoch = tf.strings.regex_full_match(text, _EPOCH)
    groups = ",".join(rf"\{number}" for number in range(1, 7))
    parts = tf.strings.regex_replace(text, _WRITTEN, rf"{groups},0.\7,\8")
    integer, number = tf.constant([0], tf.int64), tf.constant([0.0], tf.float64)
    year, month, day, hour, minute, second, fraction, offset = tf.io.decode_csv(
        tf.where(is_written, parts, _NO_PARTS),
        [integer] * 6 + [number, tf.constant([""])],
        use_quote_delim=False,
    )
    offset_hours, offset_minutes = _parse_offset(offset)
    fits = (
        (month >= 1)
        & (month <= 12)
        & (day >= 1)
        & (day <= _days_of(year, tf.clip_by_value(month, 1, 12)))
        & (hour <= 23)
        & (minute <= 59)
        & (second <= 60)
        & (tf.abs(offset_hours) <= 18)
        & (tf.abs(offset_minutes) <= 59)
    )
    days = _days_since_1970(year, month, day)
    of_day = hour * 3600 + minute * 60 + second
    local = tf.cast(days * _DAY + of_day, tf.float64) + fraction
    written = local - tf.cast(offset_hours * 3600 + offset_minutes * 60, tf.float64)
    epoch = _scale_epoch(tf.where(is_epoch, text, "0"))
    valid = (is_written & fits) | (is_epoch & (tf.abs(epoch) < 1e11))
    # The calendar of what is written, or of UTC; of 1970 where there is no time.
    seconds = tf.where(valid, tf.where(is_epoch, epoch, written), 0.0)
    shown = tf.cast(tf.floor(tf.where(is_epoch, seconds, tf.where(valid, local, 0.0))), tf.int64)
    day_number = shown // _DAY
    month, day = _find_month_and_day(day_number)
    hour = (shown - day_number * _DAY) // 3600
    return Times(valid, seconds, hour, day, (day_number + 3) % 7, month)


def _parse_offset(text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns hours and minutes of offsets as +01:00, +0100 and +01; 0 for empty text."""
    sign = tf.where(tf.strings.regex_full_match(text, "-.*"), tf.constant(-1, tf.int64), 1)
    digits = tf.strings.regex_replace(text, "[^0-9]", "")
    # Zeros behind make all four digits long.
    number = tf.strings.to_number(tf.strings.substr(digits + "0000", 0, 4), tf.int64)
    return sign * (number // 100), sign * (number % 100)


def _scale_epoch(text: tf.Tensor) -> tf.Tensor:
    """Returns seconds for a number of seconds, milli-, micro- or nanoseconds."""
    number = tf.strings.to_number(text, tf.float64)
    size = tf.abs(number)
    unit = tf.where(size < 1e14, 1e3, tf.where(size < 1e17, 1e6, 1e9))
    return number / tf.cast(tf.where(size < 1e11, 1.0, unit), tf.float64)


def _days_since_1970(year: tf.Tensor, month: tf.Tensor, day: tf.Tensor) -> tf.Tensor:
    """Returns the number of a day of the Gregorian calendar.

    Years are counted from March, so that a leap day is a year's last.
    """
    year = year - tf.cast(month <= 2, year.dtype)
    month = (month + 9) % 12  # 0 is March
    of_year = (153 * month + 2) // 5 + day - 1
    # 719,468 days from 1 March of the year 0 to 1970.
    return 365 * year + year // 4 - year // 100 + year // 400 + of_year - 719_468


def _days_of(year: tf.Tensor, month: tf.Tensor) -> tf.Tensor:
    """Returns the number of days of a month."""
    leap = ((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)
    days = tf.constant([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], tf.int64)
    return tf.gather(days, month - 1) + tf.cast(leap & (month == 2), tf.int64)


def _find_month_and_day(days: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns month and day, from 0, of a number of days since 1970."""
    days = days + 719_468
    era = days // 146_097  # 400 years
    of_era = days - era * 146_097
    years = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * years + years // 4 - years // 100)
    month = (5 * of_year + 2) // 153
    return (month + 2) % 12, of_year - (153 * month + 2) // 5
