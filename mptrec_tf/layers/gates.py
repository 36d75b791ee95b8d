"""Gates: each task's weights of its specific and of the shared representation, or of experts.

Bai et al., *Efficient Multi-task Prompt Tuning for Recommendation*, TOIS 2025,
https://arxiv.org/abs/2408.17214; of any number of experts: Ma et al., *Modeling Task Relationships
in Multi-task Learning with Multi-gate Mixture-of-Experts*, KDD 2018, eq. 7,
https://doi.org/10.1145/3219819.3220007.
"""

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import make_initializer

# XLA fuses a product and a sum, which is faster than many small matrix products, but without XLA
# the product is held whole. This is the most terms of a sample for which it is.
_MOST_TERMS = 64


@keras.utils.register_keras_serializable("mptrec_tf")
class GateBank(keras.layers.Layer):
    """Weights of (specific, shared), or of experts, for each task; linear, without bias.

        a_t = softmax(x A_t)

    Args:
      count: int. Number of tasks, T.
      kernel_initializer: str. A Keras initialiser's name, or `banks.FAN_IN_UNIFORM`. Defaults to
        glorot_uniform.
      choices: int. How many representations each gate weighs, E. Defaults to 2.

    Example:
      >>> gates = GateBank(count=2)
      >>> gates(tf.zeros([64, 10])).shape
      TensorShape([2, 64, 2])
    """

    def __init__(
        self,
        count: int,
        kernel_initializer: str = "glorot_uniform",
        choices: int = 2,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.count = count
        self.kernel_initializer = kernel_initializer
        self.choices = choices

    def build(self, input_shape) -> None:
        """Creates the kernel [D, T * E]; columns E t to E t + E - 1 are the gate of task t."""
        self.kernel = self.add_weight(
            "kernel",
            (input_shape[-1], self.count * self.choices),
            initializer=make_initializer(self.kernel_initializer),
        )
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the weights [T, B, E] of x [B, D], or of [T, B, D], one input for each task.

        Those of a task and a row sum to 1.
        """
        if x.shape.rank == 3:
            kernels = tf.reshape(self.kernel, [-1, self.count, self.choices])
            return tf.nn.softmax(x @ tf.transpose(kernels, [1, 0, 2]))
        scores = tf.reshape(x @ self.kernel, [-1, self.count, self.choices])
        return tf.nn.softmax(tf.transpose(scores, [1, 0, 2]))

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "count": self.count,
            "kernel_initializer": self.kernel_initializer,
            "choices": self.choices,
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


def mix_experts(weights: tf.Tensor, experts: tf.Tensor) -> tf.Tensor:
    """Returns each task's weighted sum of experts.

        f_t = sum_e a_t[e] * h_e

    Args:
      weights: [T, B, E], from a `GateBank`.
      experts: [E, B, H], the same for all tasks, or [T, E, B, H], each task's own.

    Returns:
      [T, B, H].

    Example:
      >>> weights = GateBank(count=2, choices=3)(tf.zeros([64, 10]))
      >>> mix_experts(weights, tf.zeros([3, 64, 128])).shape
      TensorShape([2, 64, 128])
    """
    if experts.shape.rank == 3 and weights.shape[0] * weights.shape[2] > _MOST_TERMS:
        return tf.einsum("tbe,ebh->tbh", weights, experts)
    own = experts if experts.shape.rank == 4 else experts[tf.newaxis]
    by_expert = tf.transpose(weights, [0, 2, 1])[..., tf.newaxis]
    return tf.reduce_sum(by_expert * own, axis=1)
