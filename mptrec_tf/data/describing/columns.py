"""Measures a column: distinct and missing values, numbers, times, bags.

All measures are of the distinct values and their counts, so that a column of 100,000 rows takes
milliseconds.
"""

import collections
import dataclasses
import functools
import re
from collections.abc import Sequence

import numpy as np

from mptrec_tf.data.describing.text_guess import NUMBER, count_missing
from mptrec_tf.data.sources.decimal_comma import COMMA
from mptrec_tf.data.sources.row_times import DATES, parse_times

_INTEGER = re.compile(r"[+-]?\d+")
_LEADING_ZERO = re.compile(r"0\d+")
_DECIMAL_COMMA = re.compile(COMMA, re.ASCII)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?|[+-]?\d{1,3}(?:\.\d{3})+,\d+")
_WITH_UNIT = re.compile(rf"[$€£]\s?[\d.,]+|[\d.,]+\s?[%$€£]|{_THOUSANDS.pattern}")
_OTHER_DATE = re.compile(r"\d{1,2}[/.]\d{1,2}[/.]\d{2,4}(?: .*)?|\d{4}/\d{1,2}/\d{1,2}(?: .*)?")
_SEPARATORS = ("|", ";", ",", " ")
_NEARLY_ALL = 0.95
# Distinct values from which a column is judged.
_MOST_VALUES = 2000


@dataclasses.dataclass(frozen=True)
class Bag:
    """Several values in one text.

    Attributes:
      separator: What is between the values.
      distinct: Distinct single values.
      mean: Values per text.
      weighted: Whether the values have weights, as in a:0.3|b:1.
    """

    separator: str
    distinct: int
    mean: float
    weighted: bool


class Column:
    """A column of a sample.

    Args:
      name: Its name.
      values: [n] text.
      is_list: Whether the source has lists there; the values are joined by |.
      is_all: Whether these are all rows, and not a sample.
      size: The length of all lists, if the column holds vectors; else 0.

    Attributes:
      counts: Rows by value, without missing values.
      missing: Rows without a value.
      spellings: The spellings of missing values, most frequent first.
    """

    def __init__(
        self,
        name: str,
        values: Sequence[str],
        is_list: bool = False,
        is_all: bool = True,
        size: int = 0,
    ):
        self.name, self.is_list, self.is_all, self.size = name, is_list, is_all, size
        self.values: Sequence[str] = values
        every = collections.Counter(values)
        if any(value != value.strip() for value in every):
            self.values = [value.strip() for value in values]
            every = collections.Counter(self.values)
        missing = {v: n for v, n in every.items() if count_missing(v)}
        self.counts = collections.Counter({v: n for v, n in every.items() if v not in missing})
        self.missing = sum(missing.values())
        self.spellings = sorted(missing, key=missing.get, reverse=True)

    @property
    def rows(self) -> int:
        """All rows."""
        return len(self.values)

    @property
    def known(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def distinct(self) -> int:
        """Distinct values; a missing one does not count."""
        return len(self.counts)

    @property
    def repeats(self) -> float:
        """How many rows a value has on average."""
        return self.known / max(self.distinct, 1)

    @functools.cached_property
    def most_frequent(self) -> tuple[str, float]:
        """The most frequent value and its share of the rows with a value."""
        value, rows = self.counts.most_common(1)[0]
        return value, rows / self.known

    def _share(self, pattern: re.Pattern) -> float:
        rows = sum(n for value, n in self.counts.items() if pattern.fullmatch(value))
        return rows / max(self.known, 1)

    @functools.cached_property
    def is_number(self) -> bool:
        """Whether all values are numbers."""
        return self.known > 0 and self._share(NUMBER) == 1

    @functools.cached_property
    def is_integer(self) -> bool:
        """Whether all values are whole numbers, written without a fraction."""
        return self.known > 0 and self._share(_INTEGER) == 1

    @functools.cached_property
    def has_leading_zeros(self) -> bool:
        """Whether some values are digits that begin with a zero, as postcodes do."""
        return self._share(_LEADING_ZERO) > 0

    @functools.cached_property
    def not_numbers(self) -> list[str]:
        """Values that are no numbers where nearly all are, most frequent first; else none."""
        if not _NEARLY_ALL <= self._share(NUMBER) < 1:
            return []
        return [value for value, _ in self.counts.most_common() if not NUMBER.fullmatch(value)]

    @functools.cached_property
    def has_decimal_comma(self) -> bool:
        """Whether the values are numbers with a comma before their fraction."""
        whole = sum(n for v, n in self.counts.items() if NUMBER.fullmatch(v) and "." not in v)
        commas = self._share(_DECIMAL_COMMA)
        nearly_all = commas * self.known + whole >= _NEARLY_ALL * self.known
        return commas > max(0.1, self._share(_THOUSANDS)) and nearly_all

    @functools.cached_property
    def has_point(self) -> bool:
        """Whether the values are numbers, some with a point before their fraction."""
        return self.is_number and any("." in value for value in self.counts)

    @functools.cached_property
    def has_unit(self) -> bool:
        """Whether the values are numbers with a unit or with marks between thousands."""
        return self.known > 0 and self._share(_WITH_UNIT) >= _NEARLY_ALL

    @functools.cached_property
    def numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """Distinct numbers, ascending, and their rows."""
        pairs = sorted((float(value), n) for value, n in self.counts.items())
        values, rows = zip(*pairs, strict=True)
        return np.array(values), np.array(rows)

    def quantile(self, share: float) -> float:
        """Returns the number below which this share of the rows is."""
        values, rows = self.numbers
        return float(values[np.searchsorted(np.cumsum(rows), share * rows.sum())])

    @functools.cached_property
    def density(self) -> float:
        """Distinct whole numbers by all that are between the smallest and the largest."""
        values, _ = self.numbers
        return len(values) / (values[-1] - values[0] + 1)

    @functools.cached_property
    def is_long_tailed(self) -> bool:
        """Whether numbers are 0 or more, and a few are very large."""
        values, rows = self.numbers
        if values[0] < 0 or values[-1] <= 20:
            return False
        positive = values > 0
        weights = rows[positive]
        median = values[positive][np.searchsorted(np.cumsum(weights), weights.sum() / 2)]
        return bool(
            values[-1] > 20 * max(median, 1e-12)
            or (values[-1] > 100 and 0 in values[:1] and rows[0] > 0.5 * rows.sum())
        )

    @functools.cached_property
    def time_kind(self) -> str | None:
        """What kind of time the values are, if they are times.

        Of texts "dates" or "other dates"; of numbers "seconds", "milliseconds", "microseconds" or
        "yyyymmdd".
        """
        some = [value for value, _ in self.counts.most_common(_MOST_VALUES)]
        if not some:
            return None
        if self.is_integer:
            low, high = self.numbers[0][0], self.numbers[0][-1]
            if low >= 19_000_101 and high <= 21_001_231 and self._share(_YYYYMMDD) == 1:
                return "yyyymmdd"
            for unit, scale in (("seconds", 1), ("milliseconds", 1e3), ("microseconds", 1e6)):
                # 1990 to 2100
                if 6.3e8 * scale <= low and high <= 4.1e9 * scale:
                    return unit
            return None
        if self.is_number:
            return None
        times, kind = parse_times(some)
        if kind == DATES and np.isfinite(times).mean() >= _NEARLY_ALL:
            return "dates"
        return "other dates" if self._share(_OTHER_DATE) >= _NEARLY_ALL else None

    @functools.cached_property
    def is_sorted(self) -> bool:
        """Whether numbers never fall from one row to the next."""
        return (
            self.is_number
            and all(
                float(a) <= float(b) for a, b in zip(self.values, self.values[1:], strict=False)
            )
            if not self.missing
            else False
        )

    @functools.cached_property
    def mean_words(self) -> float:
        """Words per value, over the distinct values."""
        some = [value for value, _ in self.counts.most_common(_MOST_VALUES)]
        return float(np.mean([len(value.split()) for value in some])) if some else 0.0

    @functools.cached_property
    def bag(self) -> Bag | None:
        """Several values in one text, if their separator shows it."""
        some = [value for value, _ in self.counts.most_common(_MOST_VALUES)]
        if self.is_list and some:
            return _measure_bag(some, "|")
        if self.is_number or self.has_decimal_comma or self.time_kind or not self.counts:
            return None
        some = [value.strip("[]") for value in some]
        for separator in _SEPARATORS:
            holding = sum(separator in value for value in some)
            if holding < 0.2 * len(some) or holding < 3:
                continue
            bag = _measure_bag(some, separator)
            # In other words, the values are combined anew again and again.
            if separator in "|;" and bag.distinct < len(some):
                return bag
            if separator == "," and bag.distinct < 0.5 * len(some) and bag.mean >= 1.5:
                return bag
            numeric = [NUMBER.fullmatch(p) is not None for v in some for p in v.split()]
            if separator == " " and bag.distinct < 0.5 * len(some) and np.mean(numeric) > 0.9:
                return bag
        return None


_YYYYMMDD = re.compile(r"(?:19|20|21)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")


def _measure_bag(values: Sequence[str], separator: str) -> Bag:
    parts = [[p.strip() for p in value.split(separator) if p.strip()] for value in values]
    every = [part for row in parts for part in row]
    weights = [re.fullmatch(r".+:\d*\.?\d+", part) is not None for part in every]
    weighted = bool(every) and float(np.mean(weights)) > 0.9
    names = {part.rpartition(":")[0] if weighted else part for part in every}
    return Bag(separator, len(names), len(every) / max(len(values), 1), weighted)


def are_one_to_one(a: Column, b: Column) -> bool:
    """Whether each value of one column comes with one value of the other, and the reverse."""
    if a.distinct != b.distinct or a.distinct < 3:
        return False
    if sorted(a.counts.values()) != sorted(b.counts.values()):
        return False
    return (
        len(set(zip(a.values, b.values, strict=True))) == len(set(a.values)) == len(set(b.values))
    )


def read_commas(values: Sequence[str]) -> list[str]:
    """Returns text in which numbers with a decimal comma have a point."""
    return [_DECIMAL_COMMA.sub(r"\1.\2", value) for value in values]
