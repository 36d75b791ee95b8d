"""Counts of numbers, in bounded memory and the same in whatever order they come.

Of few different values, each is counted. Of more, neighbours are counted together: numbers lose
their last digits, one binary digit after the other, until there are few enough. How many digits
are left depends on the numbers alone, not on who counted which of them first.
"""

import numpy as np

# So many different numbers are counted at most; of a smooth distribution, each then stands for some
# 1e-4 of the rows or less.
MOST_VALUES = 1 << 16
_SIGN = np.uint32(1 << 31)


class ValueCounts:
    """Counts float32 numbers.

    Example:
      >>> counts = ValueCounts()
      >>> counts.add(np.float32([3, 1, 3, np.nan, 3]))
      >>> counts.quantiles(4).tolist()
      [1.0, 3.0, 3.0, 3.0]
    """

    def __init__(self) -> None:
        # Numbers as integers of the same order, ascending, without their `_dropped` last bits.
        self._keys = np.zeros(0, np.uint32)
        self._counts = np.zeros(0, np.int64)
        self._dropped = 0
        self._waiting: list[np.ndarray] = []
        self._rows = 0

    def add(self, values: np.ndarray) -> None:
        """Counts numbers [n]; NaN is passed over."""
        values = np.asarray(values, np.float32)
        self._waiting.append(values[~np.isnan(values)])
        self._rows += len(values)
        if self._rows >= MOST_VALUES:
            self.compact()

    def merge(self, other: "ValueCounts") -> None:
        """Adds what another one counted."""
        other.compact()
        self.compact()
        dropped = max(self._dropped, other._dropped)
        self._join(
            np.concatenate(
                [self._keys >> (dropped - self._dropped), other._keys >> (dropped - other._dropped)]
            ),
            np.concatenate([self._counts, other._counts]),
            dropped,
        )

    def compact(self) -> None:
        """Counts the numbers that wait for it: a few large steps are faster than many small."""
        if self._waiting:
            keys, counts = np.unique(
                _to_keys(np.concatenate(self._waiting)) >> self._dropped, return_counts=True
            )
            self._waiting, self._rows = [], 0
            self._join(
                np.concatenate([self._keys, keys]),
                np.concatenate([self._counts, counts]),
                self._dropped,
            )

    def _join(self, keys: np.ndarray, counts: np.ndarray, dropped: int) -> None:
        keys, counts = _add_equal(keys, counts)
        while len(keys) > MOST_VALUES:
            keys, counts, dropped = *_add_equal(keys >> 1, counts), dropped + 1
        self._keys, self._counts, self._dropped = keys, counts, dropped

    def quantiles(self, points: int) -> np.ndarray:
        """Returns numbers at equal distances in rank, [points] ascending; none of no numbers."""
        self.compact()
        if not len(self._keys):
            return np.zeros(0, np.float32)
        ends = np.cumsum(self._counts)
        ranks = np.round(np.linspace(0, ends[-1] - 1, points))
        keys = self._keys[np.searchsorted(ends, ranks, side="right")]
        return _to_numbers(keys << np.uint32(self._dropped))


def _add_equal(keys: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the different keys, ascending, and the sums of their counts."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else []
    return keys[starts], np.add.reduceat(counts[order], starts) if len(keys) else counts


def _to_keys(values: np.ndarray) -> np.ndarray:
    """Returns float32 numbers [n] as integers of the same order, uint32."""
    bits = (values + np.float32(0)).view(np.uint32)  # -0 becomes 0
    return np.where(bits & _SIGN, ~bits, bits | _SIGN)


def _to_numbers(keys: np.ndarray) -> np.ndarray:
    """Returns the numbers of `_to_keys`."""
    return np.where(keys & _SIGN, keys & ~_SIGN, ~keys).astype(np.uint32).view(np.float32)
