"""The days of times, in UTC."""

from collections.abc import Iterator

import numpy as np

_SECONDS = 86_400


class Days:
    """The days of some rows.

    Args:
      times: [n] float64. Seconds since 1970; NaN for none.

    Attributes:
      names: The days that have rows, ascending, as "2026-11-29".
      of: [n] int. The place of each row's day among them; -1 without a time.

    Example:
      >>> days = Days(np.array([86400.0, 0.0, np.nan]))
      >>> days.names, days.of.tolist()
      (['1970-01-01', '1970-01-02'], [1, 0, -1])
    """

    def __init__(self, times: np.ndarray):
        known = ~np.isnan(times)
        numbers = np.full(len(times), -1, np.int64)
        numbers[known] = times[known] // _SECONDS
        distinct, places = np.unique(numbers[known], return_inverse=True)
        self.names = [name_day(number) for number in distinct.tolist()]
        self.of = np.full(len(times), -1, np.int64)
        self.of[known] = places

    def numbered(self) -> Iterator[tuple[int, str]]:
        """Yields the place and the name of each day."""
        yield from enumerate(self.names)


def name_day(number: int) -> str:
    """Returns the name of a day, of its number since 1970."""
    return str(np.datetime64(number, "D"))
