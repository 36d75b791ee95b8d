"""Features that tell positives from negatives alone, which no feature should."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

# Where a single feature has this AUC, it knows the label.
_SEPARATES = 0.995
# With fewer orders of the labels than so many for each feature, one may be perfect by chance.
_ORDERS = 1e3


def find_separating_features(
    bins: Iterable[tuple[str, np.ndarray, np.ndarray]],
    features: int,
    train: np.ndarray,
    validation: np.ndarray,
) -> Iterator[tuple[str, float]]:
    """Yields features that separate the labels alone, and their AUC on the validation rows.

    Args:
      bins: Name, values [n] of the training rows and [m] of the validation rows of each feature,
        as small whole numbers.
      features: How many features there are.
      train: [n]. Labels, each 0 or 1.
      validation: [m]. Likewise.
    """
    positive = validation > 0.5
    if _orders(len(positive), int(positive.sum())) < _ORDERS * features:
        return
    for name, fitted, judged in bins:
        value = _alone(fitted, train, judged, positive)
        if value >= _SEPARATES:
            yield name, value


def _orders(rows: int, positives: int) -> float:
    """How many orders of the labels there are; infinite where a float cannot say it."""
    log = math.lgamma(rows + 1) - math.lgamma(positives + 1) - math.lgamma(rows - positives + 1)
    return math.exp(log) if log < 700 else math.inf


def _alone(
    fitted: np.ndarray, labels: np.ndarray, judged: np.ndarray, positive: np.ndarray
) -> float:
    """AUC on some rows of each value's share of positives among others, ties counting one half.

    Args:
      fitted: [n] int. Values of the rows that the shares come from.
      labels: [n].
      judged: [m] int. Values of the rows to be told apart.
      positive: [m] bool. Their labels.
    """
    size = int(max(fitted.max(), judged.max())) + 1
    rows = np.bincount(fitted, minlength=size)
    prior = labels.mean()
    # A value that was seen a few times only is believed a little.
    shares = (np.bincount(fitted, labels, size) + prior) / (rows + 1)
    positives = np.bincount(judged, positive, size)
    negatives = np.bincount(judged, ~positive, size)
    _, place = np.unique(shares, return_inverse=True)
    positives, negatives = (np.bincount(place, n) for n in (positives, negatives))
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / positives.sum() / negatives.sum())
