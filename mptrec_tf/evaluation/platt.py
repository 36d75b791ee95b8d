"""Platt's calibration: a scale and a shift that fit probabilities to the labels of validation rows.

The best epoch is chosen by AUC, which depends on the order of rows alone. Overfitting, above all on
rare ids, leaves the order good and makes the probabilities overconfident. A scale and a shift of
each task's logits correct that (Platt, *Probabilistic Outputs for Support Vector Machines*, 1999);
they change neither the order of rows nor AUCs.
"""

import numpy as np
from scipy.special import expit, logit

from mptrec_tf.evaluation.near_identity import fit_near_identity, scale_weight

_NEAREST = 1e-7  # to 0 and 1; closer probabilities have no logit in float32


def fit_scale_and_shift(
    probabilities: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None = None,
    given: np.ndarray | None = None,
) -> tuple[float, float]:
    """Fits the scale and the shift of logits to labels.

    They minimise

        sum of the rows' cross entropy + (scale - 1)^2 / 2 + shift^2 / 2

    whose last two terms matter only if there are hardly any rows.

    Args:
      probabilities: [n].
      labels: [n], each 0 or 1.
      weight: Optional [n]. Weights of rows; they are scaled so that the mean of those above 0 is 1.
      given: Optional [n]. Probabilities that those of the rows are multiplied by, and that stay as
        they are; see `models.entire_space`.

    Returns:
      Scale and shift: the calibrated logit is `scale * logit + shift`.

    Example:
      >>> labels = np.repeat([0.0, 1.0], 500)
      >>> scale, shift = fit_scale_and_shift(np.full(1000, 0.9), labels)  # half are positives
      >>> bool(scale * np.log(9.0) + shift < 0.1)
      True
    """
    z = logit(np.clip(np.asarray(probabilities, np.float64), _NEAREST, 1 - _NEAREST))
    weight = scale_weight(weight, len(z))
    inputs = np.stack([z, np.ones_like(z)], axis=1)

    factor = 1.0 if given is None else np.clip(np.asarray(given, np.float64), _NEAREST, 1.0)

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        logits = inputs @ at
        if given is None:
            entropy, gradient = np.logaddexp(0.0, logits) - labels * logits, expit(logits) - labels
        else:
            # -(y log(g q) + (1 - y) log(1 - g q)), and its derivative by the logit of q.
            q, rest = expit(logits), expit(-logits)
            of_rest = (1.0 - factor) + factor * rest
            entropy = np.where(labels > 0, np.logaddexp(0.0, -logits), -np.log(of_rest))
            gradient = np.where(labels > 0, -rest, factor * q * rest / of_rest)
        return weight @ entropy, inputs.T @ (weight * gradient)

    scale, shift = fit_near_identity(loss)
    return float(scale), float(shift)
