"""Platt's calibration: two numbers make probabilities fit the labels of validation rows.

The best epoch is chosen by AUC, which sees the order of rows alone. What training learnt by heart,
of rare ids above all, leaves the order good and the probabilities too sure of themselves. For each
task a scale and a shift of its logits correct that (Platt, *Probabilistic Outputs for Support
Vector Machines*, 1999); the order of rows stays, and so do AUCs.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

# A scale below this would say the same of all rows: their order, and the AUC, would be lost.
LEAST_SCALE = 0.01
_NEAREST = 1e-7  # to 0 and 1; closer probabilities have no logit in float32


def fit_scale_and_shift(
    probabilities: np.ndarray, labels: np.ndarray, weight: np.ndarray | None = None
) -> tuple[float, float]:
    """Returns what logits are multiplied by, and what is added then, to fit the labels.

    They minimise

        sum of the rows' cross entropy + (scale - 1)^2 / 2 + shift^2 / 2

    whose last two terms decide only where there are hardly any rows.

    Args:
      probabilities: [n].
      labels: [n], each 0 or 1.
      weight: Optional [n]. What each row counts; the mean of those above 0 is taken as 1.
    """
    z = logit(np.clip(np.asarray(probabilities, np.float64), _NEAREST, 1 - _NEAREST))
    weight = np.ones(len(z)) if weight is None else np.asarray(weight, np.float64)
    weight = weight / weight[weight > 0].mean()
    inputs = np.stack([z, np.ones_like(z)], axis=1)
    start = np.array([1.0, 0.0])

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        says = inputs @ at
        entropy = np.logaddexp(0.0, says) - labels * says
        value = weight @ entropy + ((at - start) ** 2).sum() / 2
        return value, inputs.T @ (weight * (expit(says) - labels)) + at - start

    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(LEAST_SCALE, None), (None, None)],
        options={"ftol": 1e-12, "gtol": 1e-9},
    )
    scale, shift = found.x
    return float(scale), float(shift)
