"""How the values of a column are distributed, and how far two distributions are from each other.

The distances are those of TensorFlow Data Validation's comparators, as the pipelines' data gate
takes them: the largest difference of any value's share (L-infinity norm) of ids, the
Jensen-Shannon divergence (with the logarithm to base 2) of numbers. Both lie in [0, 1].
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from mptrec_tf.storage.plain import from_plain, to_plain

# Values with a smaller share are not listed, so that a column of many values stays small; drift is
# known to within this.
SMALLEST_SHARE = 0.001
# Bins of numbers, of equally many training rows.
_BINS = 20


@dataclasses.dataclass(frozen=True)
class Shares:
    """The shares of ids.

    Attributes:
      count: int. How many values there are.
      shares: The share of each id, in [`SMALLEST_SHARE`, 1]; rarer ones are left out.
      unknown: Optional float. The share of values that the vocabulary does not hold; None without
        a vocabulary.
    """

    count: int
    shares: Mapping[str, float]  # JSON's keys are texts
    unknown: float | None = None


@dataclasses.dataclass(frozen=True)
class Histogram:
    """The shares of numbers by bins.

    Attributes:
      count: int. How many numbers there are.
      edges: The edges of the bins, ascending. A bin begins with its edge; one more is below all
        edges, and the last one has no end.
      shares: [edges + 1].
      mean: float. Of those that are not missing.
      missing: float. The share of NaN, beside the bins.
    """

    count: int
    edges: tuple[float, ...]
    shares: tuple[float, ...]
    mean: float
    missing: float = 0.0


Distribution = Shares | Histogram


def count_ids(values: np.ndarray, first: int, ids: int, unknown: int) -> Shares:
    """Returns the shares of ids [n].

    Args:
      values: [n] int.
      first: The column's first id.
      ids: How many ids it has.
      unknown: How many of the last ones stand for unknown values.

    Example:
      >>> count_ids(np.array([5, 5, 6, 7]), first=5, ids=3, unknown=1)
      Shares(count=4, shares={'0': 0.5, '1': 0.25, '2': 0.25}, unknown=0.25)
    """
    found, counts = np.unique(values, return_counts=True)
    found, shares = found - first, counts / max(1, len(values))
    of_unknown = float(shares[found >= ids - unknown].sum()) if unknown else None
    listed = shares >= SMALLEST_SHARE
    pairs = zip(found[listed].tolist(), shares[listed].tolist(), strict=True)
    return Shares(len(values), {str(value): share for value, share in pairs}, of_unknown)


def make_edges(values: np.ndarray) -> tuple[float, ...]:
    """Returns the edges of bins of equally many numbers, of numbers [n] or NaN."""
    known = values[~np.isnan(values)]
    if not len(known):
        return ()
    quantiles = np.quantile(known, np.linspace(0, 1, _BINS + 1), method="lower")
    return tuple(np.unique(quantiles).astype(float).tolist())


def count_numbers(values: np.ndarray, edges: tuple[float, ...]) -> Histogram:
    """Returns the shares of numbers [n] in bins.

    Example:
      >>> count_numbers(np.array([0.0, 1.0, 1.5, 3.0]), (1.0, 2.0)).shares
      (0.25, 0.5, 0.25)
    """
    missing = np.isnan(values)
    known = values[~missing]
    counts = np.bincount(np.searchsorted(edges, known, side="right"), minlength=len(edges) + 1)
    return Histogram(
        len(values),
        edges,
        tuple((counts / max(1, len(known))).tolist()),
        float(known.mean(dtype=np.float64)) if len(known) else 0.0,
        float(missing.mean()) if len(values) else 0.0,
    )


def measure_drift(one: Distribution, other: Distribution) -> float:
    """Returns the distance of two distributions of one column, in [0, 1].

    Of ids to within `SMALLEST_SHARE`. Where shares of missing numbers differ by more, that is the
    distance of numbers, as in the data gate.

    Example:
      >>> measure_drift(Shares(4, {"0": 0.75, "1": 0.25}), Shares(4, {"0": 0.25, "1": 0.75}))
      0.5
    """
    if isinstance(one, Histogram) and isinstance(other, Histogram):
        missing = abs(one.missing - other.missing)
        return max(jensen_shannon(np.array(one.shares), np.array(other.shares)), missing)
    moved = find_moved(one, other)
    return abs(moved[2] - moved[1]) if moved else 0.0


def find_moved(one: Shares, other: Shares) -> tuple[str, float, float] | None:
    """Returns the id whose share differs most, and its share in both; None if none is listed."""

    def pair(value: str) -> tuple[str, float, float]:
        # A value that one side does not list has at most the smallest share there.
        mine, theirs = one.shares.get(value), other.shares.get(value)
        mine = min(SMALLEST_SHARE, theirs or 0.0) if mine is None else mine
        theirs = min(SMALLEST_SHARE, mine) if theirs is None else theirs
        return value, mine, theirs

    pairs = [pair(value) for value in dict.fromkeys([*one.shares, *other.shares])]
    return max(pairs, key=lambda of: abs(of[2] - of[1]), default=None)


def jensen_shannon(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the Jensen-Shannon divergence of shares [n] that sum to 1, to base 2.

    Example:
      >>> jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
      1.0
    """
    middle = (one + other) / 2

    def divergence(shares: np.ndarray) -> float:
        there = shares > 0
        return float((shares[there] * np.log2(shares[there] / middle[there])).sum())

    return max(0.0, (divergence(one) + divergence(other)) / 2)


def distribution_to_plain(distribution: Distribution) -> dict[str, Any]:
    """Returns a distribution as plain data."""
    return to_plain(distribution)


def distribution_from_plain(plain: Mapping[str, Any]) -> Distribution:
    """Returns what `distribution_to_plain` was given."""
    return from_plain(Histogram if "edges" in plain else Shares, plain)
