"""Fits of scale and shifts of logits, which stay near the identity where there are hardly any rows.

Calibrations minimise

    sum of the rows' losses + (scale - 1)^2 / 2 + sum of shift^2 / 2

whose last terms matter only then.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

# A smaller scale would make all predictions equal, and lose the order of rows and the AUC.
LEAST_SCALE = 0.01


def scale_weight(weight: np.ndarray | None, rows: int) -> np.ndarray:
    """Returns weights [n] of rows, scaled so that the mean of those above 0 is 1.

    Args:
      weight: Optional [n]. Defaults to 1 for each row.
      rows: n.
    """
    weight = np.ones(rows) if weight is None else np.asarray(weight, np.float64)
    return weight / weight[weight > 0].mean()


def fit_near_identity(
    loss: Callable[[np.ndarray], tuple[float, np.ndarray]], shifts: int = 1
) -> np.ndarray:
    """Returns the scale and the shifts that minimise the sum above.

    Args:
      loss: Returns the sum of the rows' losses and its gradient [1 + shifts], of the scale and the
        shifts [1 + shifts].
      shifts: How many there are.

    Example:
      >>> scale, shift = fit_near_identity(lambda at: (1e6 * ((at - 2) ** 2).sum(), 2e6 * (at - 2)))
      >>> round(scale, 3), round(shift, 3)
      (2.0, 2.0)
    """
    start = np.concatenate([[1.0], np.zeros(shifts)])

    def total(at: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = loss(at)
        return value + ((at - start) ** 2).sum() / 2, gradient + at - start

    return minimize(
        total,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(LEAST_SCALE, None)] + [(None, None)] * shifts,
        options={"ftol": 1e-12, "gtol": 1e-9},
    ).x
