"""The pieces of numbers, from their positions: see `mptrec_tf.data.features.piecewise`."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras


@keras.utils.register_keras_serializable("mptrec_tf")
class Pieces(keras.layers.Layer):
    """Encodes positions piecewise linearly: each piece that lies below the position is 1.

        x_t = clip(p - t, 0, 1),   t = 1 .. T

    for a position p of 1 (the lowest value) to T + 1 (the highest). 0 is a missing number, none of
    whose pieces lies below it, and which has an indicator. No weights, and a few operations for all
    features together.

    Args:
      sizes: Sequence of ints. T, the pieces of each feature.

    Example:
      >>> Pieces((2, 3))(tf.constant([[1.5, 3.0], [0.0, 4.0]])).numpy().tolist()
      [[0.5, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0]]
    """

    def __init__(self, sizes: Sequence[int], **kwargs):
        super().__init__(**kwargs)
        self.sizes = tuple(sizes)

    def call(self, positions: tf.Tensor) -> tf.Tensor:
        """Returns the pieces of all features, then the indicators, [B, sum(sizes) + N].

        Args:
          positions: [B, N] float32.
        """
        features = np.repeat(np.arange(len(self.sizes)), self.sizes)
        below = np.concatenate([np.arange(1, size + 1) for size in self.sizes])
        pieces = tf.gather(positions, features, axis=1) - tf.constant(below, positions.dtype)
        values = tf.concat([pieces, 1.0 - positions], axis=1)
        return tf.clip_by_value(values, 0.0, 1.0)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {"sizes": self.sizes}
