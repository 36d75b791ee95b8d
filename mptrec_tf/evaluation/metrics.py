"""Metrics of binary tasks, from NumPy arrays of probabilities and labels."""

import math

import numpy as np
import pandas as pd
from scipy.stats import rankdata
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
    labels: np.ndarray, probabilities: np.ndarray, others: np.ndarray
) -> tuple[float, float]:
    """Returns the difference of two AUCs on the same rows, and its standard error.

    DeLong et al., *Comparing the Areas under Two or More Correlated Receiver Operating
    Characteristic Curves*, Biometrics 1988: from the share of the other class that each row is
    ranked correctly against.

    Args:
      labels: [n], each 0 or 1; at least one row of each class.
      probabilities: [n].
      others: [n]. Probabilities to compare with.

    Returns:
      The AUC of `probabilities` minus that of `others`, and its standard error, which is infinite
      if a class has a single row, whose variance is unknown.
    """
    positive = np.asarray(labels) > 0.5
    shares = [_compute_shares(np.asarray(p, np.float64), positive) for p in (probabilities, others)]
    of_positives, of_negatives = (one - other for one, other in zip(*shares, strict=True))
    if min(len(of_positives), len(of_negatives)) < 2:
        return float(of_positives.mean()), math.inf
    variance = sum(part.var(ddof=1) / len(part) for part in (of_positives, of_negatives))
    return float(of_positives.mean()), math.sqrt(variance)


def _compute_shares(values: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns each positive's share of negatives below it, each negative's of positives above it.

    Ties count one half.
    """
    ranks = rankdata(values)
    below = ranks[positive] - rankdata(values[positive])
    above = positive.sum() - (ranks[~positive] - rankdata(values[~positive]))
    return below / (~positive).sum(), above / positive.sum()


def grouped_auc(groups: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the mean AUC within groups (users), weighted by the groups' rows.

    Groups with one class have no AUC and are left out; NaN if no group has both.
    Zhu et al., *Optimized Cost per Click in Taobao Display Advertising*, KDD 2017.

    Args:
      groups: [n]. Each row's group.
      labels: [n], each 0 or 1.
      probabilities: [n].
    """
    frame = pd.DataFrame({"group": groups, "label": labels, "probability": probabilities})
    # Ties get their mean rank, so that a tie counts one half in the rank-sum formula.
    frame["rank"] = frame.groupby("group")["probability"].rank(method="average")
    frame["positive_rank"] = frame["rank"] * frame["label"]
    sums = frame.groupby("group").agg(
        rows=("label", "size"), positives=("label", "sum"), ranks=("positive_rank", "sum")
    )
    sums = sums[(sums.positives > 0) & (sums.positives < sums.rows)]
    if sums.empty:
        return math.nan
    pairs = sums.positives * (sums.rows - sums.positives)
    aucs = (sums.ranks - sums.positives * (sums.positives + 1) / 2) / pairs
    return float(np.average(aucs, weights=sums.rows))


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
