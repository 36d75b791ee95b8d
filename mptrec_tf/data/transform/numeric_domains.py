"""What a fitted preprocessing graph takes each number for, found by asking it."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from mptrec_tf.data.packed import NUMERIC, raw_feature_spec
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.transform.graph import Preprocessing

# Where a scaled number is asked for: as far out as its result is one, so that differences keep
# their digits.
_FAR = 10.0 ** np.arange(-30, 38)
_LARGEST = 1e37


def numeric_domains(spec: DatasetSpec, preprocessing: Preprocessing) -> dict[str, dict[str, Any]]:
    """Returns what is known of each numeric feature, by name.

    Returns:
      For "min_max" `low` and `high`, the training rows' smallest and largest value: what lies
      beyond counts as these. For "standard" `mean` and `deviation` of the training rows, for "log"
      those of sign(v) * log(1 + |v|). `constant` for a feature that is the same in all training
      rows: it is not read.
    """
    if not spec.numeric:
        return {}
    texts = {n: f.dtype for n, f in raw_feature_spec(spec).items() if f.dtype == tf.string}

    @tf.function(input_signature=[tf.TensorSpec([None, len(spec.numeric)], tf.float32)])
    def graph(values: tf.Tensor) -> tf.Tensor:
        columns = {f.name: values[:, i] for i, f in enumerate(spec.numeric)}
        columns |= {name: tf.fill([tf.shape(values)[0]], "") for name in texts}
        return preprocessing(columns)[NUMERIC]

    def scaled(values: np.ndarray) -> np.ndarray:
        """[n, N] for values [n, N]."""
        return graph(values.astype(np.float32)).numpy().astype(np.float64)

    lows, highs = _ends(scaled, len(spec.numeric))
    is_log = np.array([feature.scale == "log" for feature in spec.numeric])
    far = np.repeat(_FAR[:, np.newaxis], len(spec.numeric), axis=1)
    down, up = scaled(-far), scaled(far)
    largest = np.sum(np.maximum(np.abs(down), np.abs(up)) < _LARGEST, axis=0) - 1
    down, up, far = (each[largest, np.arange(len(spec.numeric))] for each in (down, up, far))
    [middle] = scaled(np.zeros((1, len(spec.numeric))))
    constant = down == up
    span = 2 * np.where(is_log, np.log1p(far), far)
    deviations = span / np.where(constant, 1, up - down)
    found = {}
    for i, feature in enumerate(spec.numeric):
        if feature.scale == "min_max":
            same = not np.isfinite(highs[i])
            known = {} if same else _as_far_as_seen(float(lows[i]), float(highs[i]))
        else:
            mean, deviation = -middle[i] * deviations[i], deviations[i]
            known, same = {"mean": float(mean), "deviation": float(deviation)}, constant[i]
        found[feature.name] = {"constant": True} if same else known
    return found


def _as_far_as_seen(low: float, high: float) -> dict[str, float]:
    """Both to seven digits of what lies between: scaled numbers have no more."""
    digits = 6 - math.floor(math.log10(high - low)) if high > low else 6
    return {"low": round(low, digits), "high": round(high, digits)}


def _ends(scaled: Callable[[np.ndarray], np.ndarray], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Where each feature leaves 0 and where it reaches 1: bisection over all of float32.

    Returns:
      The largest values that become 0, and the smallest that become 1 (infinity if none does).
    """
    # For whole numbers in the order of the floats, which is also that of their bits.
    lowest, highest = _number(np.float32([-np.inf, np.inf]))
    zero = [np.full(count, lowest), np.full(count, highest)]
    one = [np.full(count, lowest), np.full(count, highest)]
    for _ in range(32):
        middles = [low + (high - low) // 2 for low, high in (zero, one)]
        values = scaled(_float(np.stack(middles)))
        for ends, middle, below in (
            (zero, middles[0], values[0] <= 0),
            (one, middles[1], values[1] < 1),
        ):
            ends[0] = np.where(below, middle, ends[0])
            ends[1] = np.where(below, ends[1], middle)
    return _float(zero[0]), _float(one[1])


def _number(values: np.ndarray) -> np.ndarray:
    bits = values.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits >= 0, bits, -(bits & 0x7FFFFFFF))


def _float(numbers: np.ndarray) -> np.ndarray:
    bits = np.where(numbers >= 0, numbers, -numbers | 0x80000000)
    return bits.astype(np.uint32).view(np.float32)
