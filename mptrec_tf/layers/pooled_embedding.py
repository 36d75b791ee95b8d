"""One embedding table for all features with several values in a row, which it adds up."""

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.embedding import PackedEmbedding


@keras.utils.register_keras_serializable("mptrec_tf")
class PooledEmbedding(PackedEmbedding):
    """Embeds the ids of all bags of a batch, multiplies them by factors, and adds up each bag.

    One gather and one sum for all features and rows, without padding. A bag's sum has the same
    bits whatever other bags are in the batch: its terms are added one by one, in order.

    Args:
      rows: int. See `PackedEmbedding`, as for the others.
      width: int.
      l2: float.
      l2_over: str.

    Example:
      >>> embedding = PooledEmbedding(rows=1000, width=4)
      >>> ids, factors = tf.constant([3, 500, 7]), tf.constant([0.5, 0.5, 1.0])
      >>> embedding((ids, factors, tf.constant([[2, 1]]))).shape
      TensorShape([1, 8])
    """

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Returns [B, F * width].

        Args:
          inputs: Ids [N] and factors [N] of all bags, and how many of them each bag has [B, F].
        """
        ids, factors, lengths = inputs
        embedded = super().call(ids[:, tf.newaxis]) * factors[:, tf.newaxis]
        bags = tf.reshape(lengths, [-1])
        count = tf.size(bags)
        summed = tf.math.unsorted_segment_sum(embedded, tf.repeat(tf.range(count), bags), count)
        return tf.reshape(summed, [-1, lengths.shape[1] * self.width])
