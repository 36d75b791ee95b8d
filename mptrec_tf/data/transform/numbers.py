"""Numbers some of which are missing (NaN), in the preprocessing graph."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
import tensorflow_transform as tft

from mptrec_tf.data.canonical import missing_numbers
from mptrec_tf.data.transform.moments import fit_moments


class Statistics(NamedTuple):
    """Statistics [N] of the values that are there, over the training rows; 0 where there is none.

    Attributes:
      low: The smallest.
      high: The largest.
      mean: Their mean.
      deviation: Their standard deviation.
    """

    low: tf.Tensor
    high: tf.Tensor
    mean: tf.Tensor
    deviation: tf.Tensor


def mark_missing(values: tf.Tensor, missing_values: Sequence[str]) -> tf.Tensor:
    """Returns float32 numbers [...] with NaN for those that count as missing, as -999 may."""
    for code in missing_numbers(tuple(missing_values)):
        values = tf.where(values == tf.constant(code, values.dtype), float("nan"), values)
    return values


def fit_statistics(values: tf.Tensor) -> Statistics:
    """Fits statistics of values [B, N] float64, NaN where missing; for a `preprocessing_fn`."""
    missing = tf.math.is_nan(values)
    infinite = tf.constant(float("inf"), values.dtype)
    low = tft.min(tf.where(missing, infinite, values), reduce_instance_dims=False)
    high = tft.max(tf.where(missing, -infinite, values), reduce_instance_dims=False)
    mean, variance = fit_moments(values)
    deviation = tf.sqrt(variance)
    any_value = low <= high
    return Statistics(*(tf.where(any_value, of, 0.0) for of in (low, high, mean, deviation)))


def scale_logs(values: tf.Tensor, is_log: Sequence[bool]) -> tf.Tensor:
    """Returns values [..., N], the `signed_log` of them in the columns [N] that want it."""
    return tf.where(is_log, signed_log(values), values) if any(is_log) else values


def signed_log(values: tf.Tensor) -> tf.Tensor:
    """Returns sign(v) * log(1 + |v|)."""
    return tf.sign(values) * tf.math.log1p(tf.abs(values))
