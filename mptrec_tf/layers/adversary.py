"""The adversary: a discriminator behind a gradient reversal, and the environments it predicts.

It removes from the shared representation h_0 what tells the tasks apart. Bai et al.,
*Efficient Multi-task Prompt Tuning for Recommendation*, TOIS 2025,
https://arxiv.org/abs/2408.17214.
"""

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras


def reverse_gradient(x: tf.Tensor, strength: tf.Tensor | float) -> tf.Tensor:
    """Returns `x`, and multiplies its gradient by `-strength`.

    Ganin and Lempitsky, *Unsupervised Domain Adaptation by Backpropagation*, ICML 2015.

    Args:
      x: Any tensor.
      strength: A scalar, see `reversal_strength`.
    """

    @tf.custom_gradient
    def reverse(x):
        return tf.identity(x), lambda upstream: -strength * upstream

    return reverse(x)


def reversal_strength(progress: tf.Tensor | float) -> tf.Tensor:
    """Returns 2 / (1 + exp(-10 t)) - 1, which rises from 0 to almost 1.

    Args:
      progress: t, the share of all training steps that is done, in [0, 1].
    """
    return 2.0 / (1.0 + tf.exp(-10.0 * tf.cast(progress, tf.float32))) - 1.0


@keras.utils.register_keras_serializable("mptrec_tf")
class Discriminator(keras.layers.Layer):
    """Predicts a sample's environment from its shared representation.

        c = log softmax(D_env(reverse(h_0)))

    Args:
      count: int. Number of environments, K.

    Example:
      >>> discriminator = Discriminator(count=2)
      >>> discriminator(tf.zeros([64, 128]), strength=reversal_strength(0.5)).shape
      TensorShape([64, 2])
    """

    def __init__(self, count: int, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def build(self, input_shape) -> None:
        """Creates the linear map from [H] to [K]."""
        self.kernel = self.add_weight("kernel", (input_shape[-1], self.count))
        self.bias = self.add_weight("bias", (self.count,), initializer="zeros")
        super().build(input_shape)

    def call(self, shared: tf.Tensor, strength: tf.Tensor | float = 1.0) -> tf.Tensor:
        """Returns log-probabilities [B, K] of the environments, for h_0 [B, H]."""
        h = reverse_gradient(shared, strength)
        return tf.nn.log_softmax(h @ self.kernel + self.bias)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {"count": self.count}


def assign_environments(
    losses: tf.Tensor, normalize: bool = False, partial: bool = False
) -> tf.Tensor:
    """Returns each sample's environment: the task whose loss on it is smallest.

        z = argmin_k loss_k

    Args:
      losses: [K, B]. Each task's loss on each sample.
      normalize: bool. Rank each task's losses among the B samples first. Without it a task with
        rare positives has the smallest loss nearly everywhere.
      partial: bool. Whether losses may be infinite, where a sample has no label for a task: it is
        not in that task's environment, and ranks are shares of the task's labelled samples. A
        sample without any label is in environment 0, and should count nowhere.

    Returns:
      [B] int32.

    Example:
      >>> assign_environments(tf.constant([[0.1, 0.9], [0.5, 0.2]])).numpy()
      array([0, 1], dtype=int32)
    """
    if normalize:
        ranks = tf.argsort(tf.argsort(losses, axis=1, stable=True), axis=1, stable=True)
        if partial:
            labelled = tf.math.is_finite(losses)
            counts = tf.reduce_sum(tf.cast(labelled, tf.float32), axis=1, keepdims=True)
            shares = tf.math.divide_no_nan(tf.cast(ranks, tf.float32), counts)
            ranks = tf.where(labelled, shares, np.inf)
        losses = ranks
    return tf.argmin(losses, axis=0, output_type=tf.int32)
