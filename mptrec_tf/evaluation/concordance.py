"""Concordance: the share of pairs of rows with different labels that are predicted in their order.

    C = sum over pairs with y_i > y_j of [p_i > p_j] + [p_i = p_j] / 2, over their number

0.5 for predictions that know nothing and 1 for a perfect order, whatever the labels' scale is. Of
two classes it is the area under the ROC curve, so that scores of binary tasks and of tasks of any
ordered label are comparable. Harrell et al., *Evaluating the Yield of Medical Tests*, JAMA 1982.
"""

import math

import numpy as np


def concordance(
    labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """Returns the concordance; NaN if all labels with a weight above 0 are the same.

    Args:
      labels: [n].
      predictions: [n].
      weight: Optional [n]. A pair counts the product of its rows' weights.

    Example:
      >>> concordance(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.3, 0.2]))
      0.6666666666666666
    """
    if not len(labels):
        return math.nan
    right, pairs = _count_below(labels, predictions, weight)
    weight = np.ones(len(labels)) if weight is None else weight
    total = float(weight @ pairs)
    return float(weight @ right) / total if total else math.nan


def concordance_difference(
    labels: np.ndarray,
    predictions: np.ndarray,
    others: np.ndarray,
    weight: np.ndarray | None = None,
) -> tuple[float, float]:
    """Returns the difference of two concordances on the same rows, and its standard error.

    The error is that of a U-statistic, from each row's own share of the pairs; of two classes it
    is DeLong's but for terms of the order of 1 / n.

    Args:
      labels: [n]; at least two different ones.
      predictions: [n].
      others: [n]. Predictions to compare with.
      weight: Optional [n]. A pair counts the product of its rows' weights.
    """
    gains, pairs = np.zeros(len(labels)), np.zeros(len(labels))
    for sign in (1, -1):  # pairs with a smaller label, then with a larger one
        right, count = _count_below(sign * labels, sign * predictions, weight)
        wrong, _ = _count_below(sign * labels, sign * others, weight)
        gains += right - wrong
        pairs += count
    if weight is not None:
        gains, pairs = gains * weight, pairs * weight
    total = pairs.sum()
    difference = float(gains.sum() / total)
    return difference, 2 * float(np.linalg.norm(gains - difference * pairs)) / float(total)


def _count_below(
    labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each row the weight of rows with a smaller label: those in order, and all.

    A tied prediction counts one half. O(n log^2 n), without a table of pairs.
    """
    rows = len(labels)
    weight = np.ones(rows) if weight is None else np.asarray(weight, np.float64)
    labels = np.unique(labels, return_inverse=True)[1]
    ranks = np.unique(predictions, return_inverse=True)[1]
    # Within a label, falling predictions: no earlier row of it has a smaller one.
    order = np.lexsort((-ranks, labels))
    labels, ranks, ordered = labels[order], ranks[order], weight[order]
    right = np.zeros(rows)
    size = 1
    while size < rows:
        right += _count_left(ranks, ordered, size)
        size *= 2
    # Earlier rows of the same label and prediction were counted as ties.
    right -= _sum_before(labels * rows + ranks, ordered) / 2
    total = np.concatenate([[0.0], np.cumsum(ordered)])
    smaller = total[np.searchsorted(labels, labels)]
    result = np.empty((2, rows))
    result[:, order] = right, smaller
    return result[0], result[1]


def _count_left(ranks: np.ndarray, weight: np.ndarray, size: int) -> np.ndarray:
    """Returns for each row of a right block the weight of smaller ranks in the block left of it.

    Blocks of `size` rows stand in pairs; equal ranks count one half.
    """
    rows = len(ranks)
    place = np.arange(rows)
    pair, is_left = place // (2 * size), place // size % 2 == 0
    key = pair * rows + ranks
    order = np.argsort(key, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(np.where(is_left, weight, 0.0)[order])])
    ordered = key[order]
    below = sums[np.searchsorted(ordered, key)] - sums[np.searchsorted(ordered, pair * rows)]
    up_to = sums[np.searchsorted(ordered, key, side="right")]
    tied = up_to - sums[np.searchsorted(ordered, key)]
    return np.where(is_left, 0.0, below + tied / 2)


def _sum_before(groups: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Returns the weight of earlier rows of the same group; a group's rows stand together."""
    total = np.concatenate([[0.0], np.cumsum(weight)])[:-1]
    first = np.concatenate([[True], groups[1:] != groups[:-1]])
    return total - total[np.flatnonzero(first)[np.cumsum(first) - 1]]
