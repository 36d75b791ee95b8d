"""The adversary: a discriminator behind a gradient reversal, and the environments it guesses."""

import tensorflow as tf

from mptrec_tf.keras import keras


def reverse_gradient(x: tf.Tensor, strength: tf.Tensor | float) -> tf.Tensor:
    """Returns `x`; the gradient on its way back is multiplied by `-strength`."""

    @tf.custom_gradient
    def reverse(x):
        return tf.identity(x), lambda upstream: -strength * upstream

    return reverse(x)


def reversal_strength(progress: tf.Tensor | float) -> tf.Tensor:
    """2 / (1 + exp(-10 t)) - 1, with t in [0, 1] the share of all training steps done."""
    return 2.0 / (1.0 + tf.exp(-10.0 * tf.cast(progress, tf.float32))) - 1.0


@keras.utils.register_keras_serializable("mptrec_tf")
class Discriminator(keras.layers.Layer):
    """c = log softmax(D_env(reverse(h_0))): guesses a sample's environment from what is shared.

    Args:
      count: int. Number of environments, K.
    """

    def __init__(self, count: int, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def build(self, input_shape) -> None:
        """Makes the linear map from [H] to [K]."""
        self.kernel = self.add_weight("kernel", (input_shape[-1], self.count))
        self.bias = self.add_weight("bias", (self.count,), initializer="zeros")
        super().build(input_shape)

    def call(self, shared: tf.Tensor, strength: tf.Tensor | float = 1.0) -> tf.Tensor:
        """Returns log-probabilities [B, K] of the environments, for h_0 [B, H]."""
        h = reverse_gradient(shared, strength)
        return tf.nn.log_softmax(h @ self.kernel + self.bias)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return super().get_config() | {"count": self.count}


def assign_environments(losses: tf.Tensor, normalize: bool = False) -> tf.Tensor:
    """Z = argmin_k of the losses: the task that each sample suits best.

    Args:
      losses: [K, B]. Each task's loss on each sample.
      normalize: bool. Rank each task's losses among the B samples first. Without it a task with
        rare positives has the smallest loss nearly everywhere.

    Returns:
      [B] int32.
    """
    if normalize:
        losses = tf.argsort(tf.argsort(losses, axis=1, stable=True), axis=1, stable=True)
    return tf.argmin(losses, axis=0, output_type=tf.int32)
