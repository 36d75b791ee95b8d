"""Gates: each task's weights of its specific and of the shared representation.

Bai et al., *Efficient Multi-task Prompt Tuning for Recommendation*, TOIS 2025,
https://arxiv.org/abs/2408.17214.
"""

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import make_initializer


@keras.utils.register_keras_serializable("mptrec_tf")
class GateBank(keras.layers.Layer):
    """Weights of (specific, shared) for each task; linear, without bias.

        a_t = softmax(x A_t)

    Args:
      count: int. Number of tasks, T.
      kernel_initializer: str. A Keras initialiser's name, or `banks.FAN_IN_UNIFORM`. Defaults to
        glorot_uniform.

    Example:
      >>> gates = GateBank(count=2)
      >>> gates(tf.zeros([64, 10])).shape
      TensorShape([2, 64, 2])
    """

    def __init__(self, count: int, kernel_initializer: str = "glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.kernel_initializer = kernel_initializer

    def build(self, input_shape) -> None:
        """Creates the kernel [D, T * 2]; columns 2t and 2t + 1 are the gate of task t."""
        self.kernel = self.add_weight(
            "kernel",
            (input_shape[-1], self.count * 2),
            initializer=make_initializer(self.kernel_initializer),
        )
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the weights [T, B, 2] of x [B, D]; each pair sums to 1."""
        scores = tf.reshape(x @ self.kernel, [-1, self.count, 2])
        return tf.nn.softmax(tf.transpose(scores, [1, 0, 2]))

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "count": self.count,
            "kernel_initializer": self.kernel_initializer,
        }


def fuse(weights: tf.Tensor, specific: tf.Tensor, shared: tf.Tensor) -> tf.Tensor:
    """Returns the fused representations of tasks.

        f_t = a_t[0] * specific_t + a_t[1] * shared

    Args:
      weights: [T, B, 2], from a `GateBank`.
      specific: [T, B, H].
      shared: [B, H].

    Returns:
      [T, B, H].

    Example:
      >>> weights = GateBank(count=2)(tf.zeros([64, 10]))
      >>> fuse(weights, specific=tf.zeros([2, 64, 128]), shared=tf.zeros([64, 128])).shape
      TensorShape([2, 64, 128])
    """
    return weights[..., :1] * specific + weights[..., 1:] * shared
