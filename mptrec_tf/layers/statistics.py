"""Standardisation by fixed statistics of the training rows, and weights of single ids."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras


@keras.utils.register_keras_serializable("mptrec_tf")
class Standardize(keras.layers.Layer):
    """Standardises each dimension by statistics that are never trained.

        (v - mean) / deviation

    A dimension whose deviation is below `least_deviation` carries no information and becomes 0.

    Args:
      least_deviation: float.
      limit: Optional float. Clips the result to [-limit, limit]. Defaults to no limit.

    Example:
      >>> standardize = Standardize(least_deviation=1e-6, limit=5.0)
      >>> standardize.build((None, 2))
      >>> standardize.set_statistics(np.array([1.0, 7.0]), np.array([2.0, 0.0]))
      >>> standardize(tf.constant([[3.0, 8.0]])).numpy()
      array([[1., 0.]], dtype=float32)
    """

    def __init__(self, least_deviation: float, limit: float | None = None, **kwargs):
        super().__init__(**kwargs)
        self.least_deviation = least_deviation
        self.limit = limit

    def build(self, input_shape) -> None:
        """Creates the mean (0) and the scale (1), which leave values unchanged."""
        shape = [1 if size is None else size for size in input_shape]
        self.mean = self.add_weight("mean", shape, initializer="zeros", trainable=False)
        self.scale = self.add_weight("scale", shape, initializer="ones", trainable=False)
        super().build(input_shape)

    @property
    def fixed_weights(self) -> list[tf.Variable]:
        """The statistics, which are stored with the trained weights."""
        return [self.mean, self.scale]

    def set_statistics(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Sets the means and deviations of the training rows, in the order of the dimensions."""
        known = deviation >= self.least_deviation
        scale = np.where(known, 1 / np.where(known, deviation, 1.0), 0.0)
        self.mean.assign(mean.reshape(self.mean.shape))
        self.scale.assign(scale.reshape(self.scale.shape))

    def call(self, values: tf.Tensor, index: int | None = None) -> tf.Tensor:
        """Returns the standardised values, in the shape of `values`.

        Args:
          values: In the shape of the statistics, or one that they widen to.
          index: Optional. The values are of this place of the statistics' first dimension alone.
        """
        mean, scale = self.mean, self.scale
        if index is not None:
            mean, scale = mean[index], scale[index]
        standard = (values - mean) * scale
        if self.limit is None:
            return standard
        return tf.clip_by_value(standard, -self.limit, self.limit)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "least_deviation": self.least_deviation,
            "limit": self.limit,
        }


@keras.utils.register_keras_serializable("mptrec_tf")
class IdWeights(keras.layers.Layer):
    """The sum of the weights of a row's ids, over some of its features.

    Args:
      ranges: (column, first id, number of ids) of each of these features: its column in a row's
        ids, and the ids that it has.
      outputs: int. n, how many sums there are, each of weights of its own. Defaults to 1.

    Example:
      >>> weights = IdWeights([(0, 0, 4), (2, 10, 3)])  # features 0 and 2, of 4 and 3 ids
      >>> weights(tf.constant([[1, 5, 11]])).numpy()
      array([0.], dtype=float32)
    """

    def __init__(self, ranges: Sequence[tuple[int, int, int]], outputs: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.ranges = tuple(map(tuple, ranges))
        self.outputs = outputs

    def build(self, input_shape) -> None:
        """Creates the weights [V], or [V, n] for several sums, all 0."""
        sizes = [size for _, _, size in self.ranges]
        shape = (sum(sizes),) if self.outputs == 1 else (sum(sizes), self.outputs)
        self.id_weights = self.add_weight("weights", shape, initializer="zeros")
        super().build(input_shape)

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns [B], or [B, n] for several sums, for ids [B, F]."""
        places = locate_ids(ids, self.ranges)
        # A product makes the gradient dense; XLA is slow with a sparse one.
        return tf.reduce_sum(tf.gather(1.0 * self.id_weights, places), axis=1)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        several = {} if self.outputs == 1 else {"outputs": self.outputs}
        return super().get_config() | {"ranges": self.ranges} | several


def locate_ids(ids: tf.Tensor, ranges: Sequence[tuple[int, int, int]]) -> tf.Tensor:
    """Returns the positions of the weights of ids [B, F], [B, number of ranges].

    See `IdWeights`.
    """
    columns, firsts, sizes = np.array(ranges, np.int64).T
    shift = np.cumsum(sizes) - sizes - firsts
    return tf.gather(ids, columns, axis=1) + tf.constant(shift, ids.dtype)
