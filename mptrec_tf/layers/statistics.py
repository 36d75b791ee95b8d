"""Fixed statistics of what a frozen backbone says, and weights of single ids."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras


@keras.utils.register_keras_serializable("mptrec_tf")
class Standardize(keras.layers.Layer):
    """(v - mean) / deviation for each dimension, with statistics that are never trained.

    A dimension whose deviation is below `least_deviation` says nothing and becomes 0.

    Args:
      least_deviation: float.
      limit: Optional float. Clips the result to [-limit, limit]. Defaults to none.
    """

    def __init__(self, least_deviation: float, limit: float | None = None, **kwargs):
        super().__init__(**kwargs)
        self.least_deviation = least_deviation
        self.limit = limit

    def build(self, input_shape) -> None:
        """Makes the mean and the scale; they leave values as they are."""
        shape = [1 if size is None else size for size in input_shape]
        self.mean = self.add_weight("mean", shape, initializer="zeros", trainable=False)
        self.scale = self.add_weight("scale", shape, initializer="ones", trainable=False)
        super().build(input_shape)

    @property
    def fixed_weights(self) -> list[tf.Variable]:
        """What is stored with the trained weights and is not one of them."""
        return [self.mean, self.scale]

    def set_statistics(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Takes the means and deviations of the training rows, in order of the dimensions."""
        known = deviation >= self.least_deviation
        scale = np.where(known, 1 / np.where(known, deviation, 1.0), 0.0)
        self.mean.assign(mean.reshape(self.mean.shape))
        self.scale.assign(scale.reshape(self.scale.shape))

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the standardised values, in the shape of `values`."""
        standard = (values - self.mean) * self.scale
        if self.limit is None:
            return standard
        return tf.clip_by_value(standard, -self.limit, self.limit)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return super().get_config() | {
            "least_deviation": self.least_deviation,
            "limit": self.limit,
        }


@keras.utils.register_keras_serializable("mptrec_tf")
class IdWeights(keras.layers.Layer):
    """The sum of a weight for each of a row's ids, of those features that take part.

    Args:
      ranges: (column, first id, number of ids) of each feature that takes part: where it stands
        in a row's ids, and which ids it has.
    """

    def __init__(self, ranges: Sequence[tuple[int, int, int]], **kwargs):
        super().__init__(**kwargs)
        self.ranges = tuple(map(tuple, ranges))

    def build(self, input_shape) -> None:
        """Makes the weights [V], all 0."""
        sizes = [size for _, _, size in self.ranges]
        self.id_weights = self.add_weight("weights", (sum(sizes),), initializer="zeros")
        super().build(input_shape)

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns [B] for ids [B, F]."""
        places = locate_ids(ids, self.ranges)
        # A product makes the gradient dense; XLA is slow with a sparse one.
        return tf.reduce_sum(tf.gather(1.0 * self.id_weights, places), axis=1)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return super().get_config() | {"ranges": self.ranges}


def locate_ids(ids: tf.Tensor, ranges: Sequence[tuple[int, int, int]]) -> tf.Tensor:
    """Where the weights of ids [B, F] stand, [B, features that take part]; see `IdWeights`."""
    columns, firsts, sizes = np.array(ranges, np.int64).T
    shift = np.cumsum(sizes) - sizes - firsts
    return tf.gather(ids, columns, axis=1) + tf.constant(shift, ids.dtype)
