"""Task prompts and the instance query that is compared with them.

Bai et al., *Efficient Multi-task Prompt Tuning for Recommendation*, TOIS 2025,
https://arxiv.org/abs/2408.17214.
"""

import tensorflow as tf

from mptrec_tf.keras import keras

EPSILON = 1e-5  # of the query's normalisation


@keras.utils.register_keras_serializable("mptrec_tf")
class TaskPrompts(keras.layers.Layer):
    """A learned vector per task that makes an expert's output task-aware, element by element.

        s_t = h_t * p_t

    Args:
      count: int. Number of tasks, T.

    Example:
      >>> prompts = TaskPrompts(count=2)
      >>> prompts(tf.ones([2, 64, 128])).shape
      TensorShape([2, 64, 128])
    """

    def __init__(self, count: int, **kwargs):
        super().__init__(**kwargs)
        self.count = count

    def build(self, input_shape) -> None:
        """Creates the prompts [T, H], drawn from N(0, 1)."""
        self.prompts = self.add_weight(
            "prompts",
            (self.count, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(0.0, 1.0),
        )
        super().build(input_shape)

    def call(self, specific: tf.Tensor) -> tf.Tensor:
        """Returns the task-aware representations [T, B, H] of the specific ones [T, B, H]."""
        return specific * self.prompts[:, tf.newaxis]

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {"count": self.count}


@keras.utils.register_keras_serializable("mptrec_tf")
class InstanceQuery(keras.layers.Layer):
    """A sample's query over the prompts of the existing tasks; no biases.

        u = LayerNorm(relu(x U_1) U_2)

    Args:
      width: int. H, the width of the prompts that it is compared with; the hidden layer has H/2.

    Example:
      >>> query = InstanceQuery(width=128)
      >>> query(tf.zeros([64, 10])).shape
      TensorShape([64, 128])
    """

    def __init__(self, width: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width

    def build(self, input_shape) -> None:
        """Creates U_1 [D, H/2], U_2 [H/2, H] and the normalisation's scale and shift [H]."""
        hidden = self.width // 2
        self.hidden = self.add_weight("hidden", (input_shape[-1], hidden))
        self.output_kernel = self.add_weight("output", (hidden, self.width))
        self.scale = self.add_weight("scale", (self.width,), initializer="ones")
        self.shift = self.add_weight("shift", (self.width,), initializer="zeros")
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the queries [B, H] of x [B, D]."""
        u = tf.nn.relu(x @ self.hidden) @ self.output_kernel
        mean, variance = tf.nn.moments(u, axes=[-1], keepdims=True)
        return tf.nn.batch_normalization(u, mean, variance, self.shift, self.scale, EPSILON)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {"width": self.width}
