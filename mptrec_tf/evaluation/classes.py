"""Metrics and calibration of predictions of several classes."""

import math
from collections.abc import Iterator

import numpy as np
from scipy.special import log_softmax

from mptrec_tf.evaluation.near_identity import fit_near_identity, scale_weight

_SMALLEST = 1e-7  # probability; smaller ones have no logarithm in float32
# With more numbers than this, calibration takes every second, third, ... row.
_MOST_NUMBERS = 20_000_000


def one_against_rest(
    labels: np.ndarray,
    predictions: np.ndarray,
    weight: np.ndarray | None = None,
    equally: bool = False,
) -> float:
    """Returns the mean AUC of each class against the rest; NaN if there is one class only.

    Args:
      labels: [n]. Places of classes.
      predictions: [n, K]. Probabilities of the classes.
      weight: Optional [n].
      equally: bool. Whether classes count equally, instead of by the weight of their rows.

    Example:
      >>> p = np.array([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.5, 0.3, 0.2]])
      >>> one_against_rest(np.array([0, 1, 2]), p)  # AUCs: 1, 1 and 3/4
      0.9166666666666666
    """
    values, weights = [], []
    for _, share, area, *_ in _iterate_classes(labels, predictions, weight):
        values.append(area)
        weights.append(1.0 if equally else share)
    return float(np.average(values, weights=weights)) if values else math.nan


def one_against_rest_difference(
    labels: np.ndarray,
    predictions: np.ndarray,
    others: np.ndarray,
    weight: np.ndarray | None = None,
) -> tuple[float, float]:
    """Returns the difference of two models' `one_against_rest`, and its standard error.

    The error is from each row's influence: on the AUC of each class (DeLong et al., see
    `metrics.auc_difference`, but for terms of the order of 1 / n) and on the classes' shares.

    Args:
      labels: [n]. Places of classes; at least two different ones.
      predictions: [n, K].
      others: [n, K]. Predictions to compare with.
      weight: Optional [n], above 0.
    """
    rows = len(labels)
    weight = np.ones(rows) if weight is None else np.asarray(weight, np.float64)
    difference, influence = 0.0, np.zeros(rows)
    sides = [_iterate_classes(labels, of, weight) for of in (predictions, others)]
    both = zip(*sides, strict=True)
    for (is_class, share, area, of_rows), (_, _, other_area, of_other_rows) in both:
        gain = area - other_area
        difference += share * gain
        own_share = np.where(is_class, share, 1 - share)
        influence += share * (of_rows - of_other_rows - gain) / own_share
        influence += (is_class - share) * gain
    if rows < 2:
        return difference, math.inf
    return difference, float(np.linalg.norm(weight * influence) / weight.sum())


def _iterate_classes(
    labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, float, float, np.ndarray]]:
    """Yields what AUCs need of each class, if rows of a weight above 0 have at least two.

    That is: which rows are of it [n], their share of the weight, its AUC against the rest, and of
    each row [n] the share of the other side's weight that it is ranked correctly against (ties
    count one half).
    """
    weight = np.ones(len(labels)) if weight is None else np.asarray(weight, np.float64)
    total = weight.sum()
    present = np.unique(labels[weight > 0]).astype(int)
    if len(present) < 2:
        return
    for place in present:
        is_class = labels == place
        _, inverse = np.unique(predictions[:, place], return_inverse=True)
        own = np.bincount(inverse, weight * is_class)
        rest = np.bincount(inverse, weight * ~is_class)
        below = (np.cumsum(rest) - rest / 2) / rest.sum()
        above = (own.sum() - np.cumsum(own) + own / 2) / own.sum()
        area = float(own @ below) / own.sum()
        of_rows = np.where(is_class, below[inverse], above[inverse])
        yield is_class, own.sum() / total, area, of_rows


def log_loss(
    labels: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """Returns the mean cross entropy, with the natural logarithm.

    Args:
      labels: [n]. Places of classes.
      predictions: [n, K]. Probabilities of the classes.
      weight: Optional [n].
    """
    own = predictions[np.arange(len(labels)), labels.astype(int)]
    return float(np.average(-np.log(np.maximum(own, _SMALLEST)), weights=weight))


def fit_temperature(
    predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None = None
) -> tuple[float, list[float]]:
    """Fits one scale of all logits, and a shift of each, to labels.

    They minimise

        sum of the rows' cross entropy + (scale - 1)^2 / 2 + |shifts|^2 / 2

    whose last two terms matter only if there are hardly any rows (of a class). Guo et al., *On
    Calibration of Modern Neural Networks*, ICML 2017: one scale, the inverse of a temperature,
    overfits less than one for each class.

    Args:
      predictions: [n, K]. Probabilities of the classes.
      labels: [n]. Places of classes.
      weight: Optional [n]. Weights of rows; they are scaled so that the mean of those above 0 is 1.

    Returns:
      Scale and shifts [K].
    """
    weight = scale_weight(weight, len(labels))
    step = max(1, predictions.size // _MOST_NUMBERS)
    predictions, labels, weight = (of[::step] for of in (predictions, labels, weight))
    z = np.log(np.maximum(np.asarray(predictions, np.float64), _SMALLEST))
    rows, place = np.arange(len(labels)), labels.astype(int)

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        logs = log_softmax(at[0] * z + at[1:], axis=1)
        value = -(weight @ logs[rows, place])
        error = np.exp(logs)
        error[rows, place] -= 1
        error *= weight[:, None]
        return value, np.concatenate([[(error * z).sum()], error.sum(axis=0)])

    found = fit_near_identity(loss, z.shape[1])
    return float(found[0]), found[1:].tolist()
