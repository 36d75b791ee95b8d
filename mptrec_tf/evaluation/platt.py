"""Platt's calibration: a scale and a shift that fit probabilities to the labels of validation rows.

The best epoch is chosen by AUC, which depends on the order of rows alone. Overfitting, above all on
rare ids, leaves the order good and makes the probabilities overconfident. A scale and a shift of
each task's logits correct that (Platt, *Probabilistic Outputs for Support Vector Machines*, 1999);
they change neither the order of rows nor AUCs.
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

# A smaller scale would make all predictions equal, and lose the order of rows and the AUC.
LEAST_SCALE = 0.01
_NEAREST = 1e-7  # to 0 and 1; closer probabilities have no logit in float32


def fit_scale_and_shift(
    probabilities: np.ndarray, labels: np.ndarray, weight: np.ndarray | None = None
) -> tuple[float, float]:
    """Fits the scale and the shift of logits to labels.

    They minimise

        sum of the rows' cross entropy + (scale - 1)^2 / 2 + shift^2 / 2

    whose last two terms matter only if there are hardly any rows.

    Args:
      probabilities: [n].
      labels: [n], each 0 or 1.
      weight: Optional [n]. Weights of rows; they are scaled so that the mean of those above 0 is 1.

    Returns:
      Scale and shift: the calibrated logit is `scale * logit + shift`.

    Example:
      >>> labels = np.repeat([0.0, 1.0], 500)
      >>> scale, shift = fit_scale_and_shift(np.full(1000, 0.9), labels)  # half are positives
      >>> bool(scale * np.log(9.0) + shift < 0.1)
      True
    """
    z = logit(np.clip(np.asarray(probabilities, np.float64), _NEAREST, 1 - _NEAREST))
    weight = np.ones(len(z)) if weight is None else np.asarray(weight, np.float64)
    weight = weight / weight[weight > 0].mean()
    inputs = np.stack([z, np.ones_like(z)], axis=1)
    start = np.array([1.0, 0.0])

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        logits = inputs @ at
        entropy = np.logaddexp(0.0, logits) - labels * logits
        value = weight @ entropy + ((at - start) ** 2).sum() / 2
        return value, inputs.T @ (weight * (expit(logits) - labels)) + at - start

    result = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(LEAST_SCALE, None), (None, None)],
        options={"ftol": 1e-12, "gtol": 1e-9},
    )
    scale, shift = result.x
    return float(scale), float(shift)
