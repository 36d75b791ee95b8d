"""Metrics of binary tasks, from NumPy arrays of probabilities and labels."""

import math

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score


def auc(labels: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Returns the area under the ROC curve; NaN if only one class has a weight above 0.

    Args:
      labels: [n], each 0 or 1.
      probabilities: [n].
      weight: Optional [n].

    Example:
      >>> auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
      0.75
    """
    weighted = labels if weight is None else labels[weight > 0]
    if len(np.unique(weighted)) < 2:
        return math.nan
    return float(roc_auc_score(labels, probabilities, sample_weight=weight))


def auc_difference(
    labels: np.ndarray,
    probabilities: np.ndarray,
    others: np.ndarray,
    weight: np.ndarray | None = None,
) -> tuple[float, float]:
    """Returns the difference of two AUCs on the same rows, and its standard error.

    DeLong et al., *Comparing the Areas under Two or More Correlated Receiver Operating
    Characteristic Curves*, Biometrics 1988: from the share of the other class that each row is
    ranked correctly against. With weights a row counts in shares and means by its own, and the
    error is that of weighted means.

    Args:
      labels: [n], each 0 or 1; at least one row of each class.
      probabilities: [n].
      others: [n]. Probabilities to compare with.
      weight: Optional [n], above 0.

    Returns:
      The AUC of `probabilities` minus that of `others`, and its standard error, which is infinite
      if a class has a single row, whose variance is unknown.
    """
    positive = np.asarray(labels) > 0.5
    weight = np.ones(len(positive)) if weight is None else np.asarray(weight, np.float64)
    shares = [_compute_shares(np.asarray(p), positive, weight) for p in (probabilities, others)]
    gains, variance = shares[0] - shares[1], 0.0
    for side in (~positive, positive):
        of_side, own, count = gains[side], weight[side], np.count_nonzero(side)
        difference = float(np.average(of_side, weights=own))
        if count < 2:
            variance = math.inf
            continue
        squares = ((own * (of_side - difference)) ** 2).sum() / own.sum() ** 2
        variance += squares * count / (count - 1)
    return difference, math.sqrt(variance)


def _compute_shares(values: np.ndarray, positive: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Returns [n] each positive's share of negatives below it, each negative's of positives above.

    Ties count one half.
    """
    order = np.argsort(values)
    ordered, is_positive, weight = values[order], positive[order], weight[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=np.nan) != 0)
    ties = np.diff(begins, append=len(values))
    positives = np.add.reduceat(weight * is_positive, begins)
    negatives = np.add.reduceat(weight * ~is_positive, begins)
    below = np.repeat(np.cumsum(negatives) - negatives / 2, ties)
    above = np.repeat(positives.sum() - np.cumsum(positives) + positives / 2, ties)
    shares = np.empty(len(values))
    shares[order] = np.where(is_positive, below / negatives.sum(), above / positives.sum())
    return shares


def grouped_auc(groups: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the mean AUC within groups (users), weighted by the groups' rows.

    Groups with one class have no AUC and are left out; NaN if no group has both.
    Zhu et al., *Optimized Cost per Click in Taobao Display Advertising*, KDD 2017.

    Args:
      groups: [n]. Each row's group.
      labels: [n], each 0 or 1.
      probabilities: [n].
    """
    rows, values = auc_by_group(
        pd.factorize(groups, use_na_sentinel=False)[0], labels, probabilities
    )
    return float(np.average(values, weights=rows)) if rows.any() else math.nan


def auc_by_group(
    groups: np.ndarray, labels: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows [G] and the AUC [G] of each group; both are 0 for a group of one class.

    Args:
      groups: [n] int. Each row's group, counted from 0.
      labels: [n], each 0 or 1.
      probabilities: [n].

    Example:
      >>> auc_by_group(np.array([0, 0, 0, 1]), np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0]))
      (array([3, 0]), array([0.5, 0. ]))
    """
    order = np.lexsort((probabilities, groups))
    of, values, positive = (np.asarray(v)[order] for v in (groups, probabilities, labels))
    rows = np.bincount(of)
    positives = np.bincount(of, positive)
    begins = np.flatnonzero(np.diff(of, prepend=-1) | (np.diff(values, prepend=np.nan) != 0))
    ties = np.diff(begins, append=len(of))
    # Ties get their mean rank, so that a tie counts one half in the rank-sum formula.
    ranks = np.repeat(begins + (ties + 1) / 2, ties) - (np.cumsum(rows) - rows)[of]
    sums = np.bincount(of, ranks * positive)
    pairs = positives * (rows - positives)
    areas = np.divide(
        sums - positives * (positives + 1) / 2, pairs, out=np.zeros(len(rows)), where=pairs > 0
    )
    return np.where(pairs > 0, rows, 0), areas


def log_loss(
    labels: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """Returns the mean binary cross entropy, with the natural logarithm."""
    return float(
        sklearn_log_loss(
            labels, np.asarray(probabilities, np.float64), labels=[0, 1], sample_weight=weight
        )
    )


def calibration_ratio(
    labels: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """Returns the mean prediction over the mean label: 1 is calibrated, 2 is twice too high."""
    mean_label = np.average(labels, weights=weight)
    if mean_label == 0:
        return math.nan
    return float(np.average(np.asarray(probabilities, np.float64), weights=weight) / mean_label)


def expected_calibration_error(
    labels: np.ndarray,
    probabilities: np.ndarray,
    weight: np.ndarray | None = None,
    bins: int = 10,
) -> float:
    """Returns the mean gap of prediction and share of positives in equal bins, weighted by rows.

    Naeini et al., *Obtaining Well Calibrated Probabilities Using Bayesian Binning*, AAAI 2015.
    """
    weight = np.ones(len(labels)) if weight is None else weight
    which = np.minimum((np.asarray(probabilities) * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weight * (probabilities - labels), minlength=bins)
    return float(np.abs(gaps).sum() / weight.sum())
