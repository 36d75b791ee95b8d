"""A line through points, which stays near the identity where there are hardly any."""

import numpy as np
from scipy.optimize import least_squares

from mptrec_tf.evaluation.near_identity import LEAST_SCALE, scale_weight


def fit_line(
    inputs: np.ndarray, targets: np.ndarray, weight: np.ndarray | None = None, huber: bool = False
) -> tuple[float, float]:
    """Returns scale and shift of the line through points.

    They minimise

        sum of the rows' losses of (scale * input + shift - target)
            + (scale - 1)^2 / 2 + shift^2 / 2

    Args:
      inputs: [n].
      targets: [n].
      weight: Optional [n]. The mean of those above 0 counts as 1.
      huber: bool. The loss is linear where the error is above 1, instead of a square's half.

    Example:
      >>> scale, shift = fit_line(np.arange(1e4) % 7, 2 * (np.arange(1e4) % 7) + 1)
      >>> round(scale, 2), round(shift, 2)
      (2.0, 1.0)
    """
    weight = scale_weight(weight, len(inputs))
    start = np.array([1.0, 0.0])
    size = np.sqrt(np.concatenate([weight, [1.0, 1.0]]))

    def errors(at: np.ndarray) -> np.ndarray:
        return np.concatenate([at[0] * inputs + at[1] - targets, at - start])

    def root_losses(at: np.ndarray) -> np.ndarray:
        of_rows = errors(at)
        if huber:
            far = np.abs(of_rows) > 1
            far[-2:] = False
            of_rows[far] = np.sign(of_rows[far]) * np.sqrt(2 * np.abs(of_rows[far]) - 1)
        return size * of_rows

    found = least_squares(root_losses, start, bounds=([LEAST_SCALE, -np.inf], np.inf))
    return float(found.x[0]), float(found.x[1])
