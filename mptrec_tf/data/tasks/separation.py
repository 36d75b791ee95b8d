"""Finds features that separate positives from negatives alone: a sign of a leaked label."""

import math
from collections.abc import Iterable, Iterator

import numpy as np

# A single feature with this AUC reveals the label.
_SEPARATES = 0.995
# With fewer orders of the labels per feature than this, one may be perfect by chance.
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
      features: Number of features.
      train: [n]. Labels, each 0 or 1.
      validation: [m]. Likewise.
    """
    positive = validation > 0.5
    if _count_orders(len(positive), int(positive.sum())) < _ORDERS * features:
        return
    for name, fitted, other in bins:
        value = _feature_auc(fitted, train, other, positive)
        if value >= _SEPARATES:
            yield name, value


def _count_orders(rows: int, positives: int) -> float:
    """Returns the number of orders of the labels; infinite if a float cannot hold it."""
    log = math.lgamma(rows + 1) - math.lgamma(positives + 1) - math.lgamma(rows - positives + 1)
    return math.exp(log) if log < 700 else math.inf


def _feature_auc(
    fitted: np.ndarray, labels: np.ndarray, other: np.ndarray, positive: np.ndarray
) -> float:
    """Returns the AUC on some rows of each value's share of positives in others; ties count half.

    Args:
      fitted: [n] int. Values of the rows that the shares are computed from.
      labels: [n].
      other: [m] int. Values of the rows that the AUC is computed on.
      positive: [m] bool. Their labels.
    """
    size = int(max(fitted.max(), other.max())) + 1
    rows = np.bincount(fitted, minlength=size)
    prior = labels.mean()
    # Shrinks the shares of rare values towards the mean.
    shares = (np.bincount(fitted, labels, size) + prior) / (rows + 1)
    positives = np.bincount(other, positive, size)
    negatives = np.bincount(other, ~positive, size)
    _, place = np.unique(shares, return_inverse=True)
    positives, negatives = (np.bincount(place, n) for n in (positives, negatives))
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum() / positives.sum() / negatives.sum())
