"""Probabilities of levels by the proportional-odds model, and their calibration.

P(y > level_k) = sigmoid(logit - threshold_k), see `data.tasks.ordinal`.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from mptrec_tf.evaluation.near_identity import fit_near_identity, scale_weight

_BEYOND = 17.0  # of the outermost thresholds: there a float32 prediction is the outermost level
_POINTS = 20_001


def invert_expected(
    predictions: np.ndarray, levels: Sequence[float], thresholds: Sequence[float]
) -> np.ndarray:
    """Returns the logits [n] of expected levels [n], to about 1e-5.

    Example:
      >>> float(invert_expected(np.array([1.5]), [1.0, 2.0], [0.0]).round(4)[0])
      0.0
    """
    ends = thresholds[0] - _BEYOND, thresholds[-1] + _BEYOND
    logits = np.linspace(*ends, _POINTS)
    expected = np.full(_POINTS, float(levels[0]))
    for gap, threshold in zip(np.diff(levels), thresholds, strict=True):
        expected += gap * expit(logits - threshold)
    return np.interp(np.asarray(predictions, np.float64), expected, logits)


def level_losses(logits: np.ndarray, places: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    """Returns -log P(y) [n].

    Args:
      logits: [n].
      places: [n]. Places of the labels among the levels.
      thresholds: One less than levels.
    """
    low, high = _find_bounds(places, thresholds)
    of_level = np.where(np.isfinite(high - low), -np.expm1(low - high), 1.0)
    return np.logaddexp(0, low - logits) + np.logaddexp(0, logits - high) - np.log(of_level)


def _find_bounds(places: np.ndarray, thresholds: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the thresholds below and above each label; infinite at the ends."""
    every = np.array([-np.inf, *thresholds, np.inf])
    return every[places], every[places + 1]


def fit_scale_and_shift(
    logits: np.ndarray,
    places: np.ndarray,
    thresholds: Sequence[float],
    weight: np.ndarray | None = None,
) -> tuple[float, float]:
    """Fits the scale and the shift of logits to labels.

    They minimise

        sum of the rows' losses + (scale - 1)^2 / 2 + shift^2 / 2

    whose last two terms matter only if there are hardly any rows.

    Args:
      logits: [n].
      places: [n]. Places of the labels among the levels.
      thresholds: One less than levels.
      weight: Optional [n]. Weights of rows; they are scaled so that the mean of those above 0 is 1.
    """
    weight = scale_weight(weight, len(logits))
    low, high = _find_bounds(places, thresholds)
    inputs = np.stack([logits, np.ones_like(logits)], axis=1)

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        z = inputs @ at
        losses = np.logaddexp(0, low - z) + np.logaddexp(0, z - high)
        slopes = expit(z - high) - expit(low - z)
        return weight @ losses, inputs.T @ (weight * slopes)

    scale, shift = fit_near_identity(loss)
    return float(scale), float(shift)
