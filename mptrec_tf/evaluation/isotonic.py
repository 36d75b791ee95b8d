"""Isotonic calibration: a monotone, piecewise linear map that fits predictions to validation rows.

A scale and a shift (`platt`) repair predictions that are too extreme or too high everywhere. This
repairs what is left, such as predictions that are right for most rows and too high for the best
ones. It follows centred isotonic regression (Oron and Flournoy, *Centered Isotonic Regression*,
Statistics in Biopharmaceutical Research, 2017):

 1. Sorted rows are divided into at most 64 bins that hold equally much information, p (1 - p) of a
    probability, and enough of it; rows with the same prediction are in one bin.
 2. Each bin's mean label is drawn to its mean prediction with the weight of one unit of
    information, so that no bin without positives predicts 0.
 3. Isotonic regression merges bins whose means are not in order.
 4. Between the centres of what is left, the map is linear, with a slope of 0.01 or more: different
    predictions stay different, but for float32.
"""

from collections.abc import Callable

import numpy as np

from mptrec_tf.evaluation.near_identity import LEAST_SCALE

Knots = tuple[tuple[float, float], ...]

MOST_BINS = 64
# The least information of a bin: ten rare positives, or so many numbers.
_OF_PROBABILITIES, _OF_NUMBERS = 10, 50
_NEAREST = 1e-7  # to 0 and 1, as in `platt`


def fit_probabilities(
    predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None = None
) -> Knots:
    """Returns a map from [0, 1] to [0, 1], as (from, to) pairs that begin with 0 and end with 1.

    Args:
      predictions: [n]. Probabilities.
      labels: [n], each 0 or 1.
      weight: Optional [n]. Weights of rows; they are scaled so that the mean of those above 0 is 1.

    Returns:
      Pairs of float32, both ascending; none if no row has a weight above 0.

    Example:
      >>> knots = fit_probabilities(np.full(1000, 0.5), np.repeat([0.0, 1.0], [900, 100]))
      >>> [(x, round(y, 3)) for x, y in knots]
      [(0.0, 0.0), (0.5, 0.106), (1.0, 1.0)]
    """
    predictions = np.clip(np.asarray(predictions, np.float64), _NEAREST, 1 - _NEAREST)
    x, y = _fit(predictions, labels, weight, lambda p: p * (1 - p), _OF_PROBABILITIES)
    return _make_knots([0.0, *x, 1.0], [0.0, *y, 1.0]) if x.size else ()


def fit_numbers(
    predictions: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None = None,
    least: float | None = None,
) -> Knots:
    """Returns a map of numbers; outside of the pairs it continues as between the outer two.

    Args:
      predictions: [n].
      labels: [n].
      weight: Optional [n].
      least: Optional. The smallest number that labels and predictions can have: it is mapped to
        itself. Defaults to no such number; then numbers below the first bin are shifted as its
        centre is. Numbers above the last bin always are.

    Returns:
      Pairs of float32, both ascending; none if no row has a weight above 0.
    """
    predictions = np.asarray(predictions, np.float64)
    x, y = _fit(predictions, labels, weight, np.ones_like, _OF_NUMBERS)
    if not x.size:
        return ()
    # Far enough that two float32 differ.
    step = max(1.0, x[-1] - x[0], *np.abs(x), *np.abs(y))
    first = (x[0] - step, y[0] - step) if least is None else (least, least)
    return _make_knots([first[0], *x, x[-1] + step], [first[1], *y, y[-1] + step])


def _fit(
    predictions: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    information: Callable[[np.ndarray], np.ndarray],
    least: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the centres [m] of the merged bins, and the values there, both ascending."""
    from sklearn.isotonic import IsotonicRegression

    weight = np.ones(len(predictions)) if weight is None else np.asarray(weight, np.float64)
    counted = weight > 0
    if not counted.any():
        return np.zeros(0), np.zeros(0)
    weight = weight[counted] / weight[counted].mean()
    # Rows with the same prediction belong together.
    values, of_row = np.unique(predictions[counted], return_inverse=True)
    of_value = np.bincount(of_row, weight)
    positives = np.bincount(of_row, weight * np.asarray(labels, np.float64)[counted])
    informed = of_value * information(values)
    total = informed.sum()
    count = int(np.clip(total // least, 1, MOST_BINS))
    middle = (np.cumsum(informed) - informed / 2) / total
    bins = np.minimum((middle * count).astype(int), count - 1)
    rows, sums, sums_of_labels = (
        np.bincount(bins, of, count) for of in (of_value, of_value * values, positives)
    )
    used = rows > 0
    rows, x, y = rows[used], sums[used] / rows[used], sums_of_labels[used]
    prior = 1 / information(x)
    y = (y + prior * x) / (rows + prior)
    rows = rows + prior
    fitted = IsotonicRegression().fit(x, y, sample_weight=rows).predict(x)
    y, block = np.unique(fitted, return_inverse=True)
    x = np.bincount(block, rows * x) / np.bincount(block, rows)
    return x, (1 - LEAST_SCALE) * y + LEAST_SCALE * x


def _make_knots(x: list[float], y: list[float]) -> Knots:
    """Returns pairs of float32 without those that do not ascend; the first and last are kept."""
    pairs = np.stack([x, y], axis=1).astype(np.float32)
    kept = [pairs[0]]
    for pair in pairs[1:-1]:
        if (pair > kept[-1]).all() and (pair < pairs[-1]).all():
            kept.append(pair)
    return tuple((float(a), float(b)) for a, b in [*kept, pairs[-1]])
