"""The bootstrap by user: how much sums over users vary from one sample of users to another.

A replicate counts each user as often as a Poisson number of mean 1 says, which is the multinomial
of Efron's bootstrap without its fixed total (Hanley & MacGibbon, *Creating Non-parametric Bootstrap
Samples using Poisson Frequencies*, Comput. Methods Programs Biomed. 83, 2006). All rows of a user
count together, since they are alike. Two models that are compared are resampled together.
"""

import math

import numpy as np

REPLICATES = 500
# With more users, these are counted in so many groups, each of which is one unit of the bootstrap:
# groups of independent users are independent too, and the time no longer grows.
_MOST_UNITS = 1 << 17
_AT_ONCE = 1 << 11  # units
_SEED = 1
# The smallest Poisson number whose probability up to it reaches a 16-bit number's share.
_POISSON = np.searchsorted(
    np.cumsum([math.exp(-1) / math.factorial(k) for k in range(10)]),
    np.arange(0.5, 1 << 16) / 65536,
).astype(np.float32)


def sum_by_unit(units: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Returns the sums of columns by unit, [U, C], which `resample` takes.

    Args:
      units: [n] int. Each row's user, counted from 0.
      columns: [C, n].
    """
    units = units % _MOST_UNITS
    count = int(units.max(initial=-1)) + 1
    return np.stack([np.bincount(units, column, count) for column in columns], axis=1)


def resample(sums: np.ndarray, replicates: int = REPLICATES) -> np.ndarray:
    """Returns the sums over resampled units, [replicates, C]; the same ones in every run.

    Args:
      sums: [U, C]. Sums by unit.
      replicates: How many samples.
    """
    random = np.random.default_rng(_SEED)
    total = np.zeros((replicates, sums.shape[1]))
    for first in range(0, len(sums), _AT_ONCE):
        some = sums[first : first + _AT_ONCE].astype(np.float32)
        draws = random.integers(1 << 64, size=-(-replicates * len(some) // 4), dtype=np.uint64)
        draws = draws.view(np.uint16)[: replicates * len(some)]
        total += _POISSON.take(draws).reshape(replicates, -1) @ some
    return total
