"""What one task tells the next one: the transfer of AITM.

Xi et al., *Modeling the Sequential Dependence among Audience Multi-step Conversions with Multi-task
Learning in Targeted Display Advertising*, KDD 2021, https://arxiv.org/abs/2105.08489.
"""

import tensorflow as tf

from mptrec_tf.keras import keras


@keras.utils.register_keras_serializable("mptrec_tf")
class InformationTransfer(keras.layers.Layer):
    """Joins what a task knows with what the task before it passes on, by attention.

        z = sum_u w_u h_1(u),   u in {p, q}
        w = softmax_u(<h_2(u), h_3(u)> / sqrt(H))

    h_1, h_2 and h_3 are linear, without biases, and the same for all tasks.

    Example:
      >>> transfer = InformationTransfer()
      >>> transfer(tf.zeros([64, 128]), tf.zeros([64, 128])).shape
      TensorShape([64, 128])
    """

    def build(self, input_shape) -> None:
        """Creates the kernel [H, 3 H]: h_1, h_2 and h_3 side by side."""
        width = int(input_shape[-1])
        glorot = keras.initializers.GlorotUniform

        def initialize(shape, dtype=None, **kwargs):
            kernels = [glorot()([width, width], dtype=dtype) for _ in range(3)]
            return tf.concat(kernels, axis=1)

        self.kernel = self.add_weight("kernel", (width, 3 * width), initializer=initialize)
        super().build(input_shape)

    def call(self, passed: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
        """Returns z [B, H] of p [B, H], passed on by the task before, and q [B, H]."""
        both = tf.stack([passed, known])  # [2, B, H]
        value, key, query = tf.split(both @ self.kernel, 3, axis=-1)
        scores = tf.reduce_sum(key * query, axis=-1, keepdims=True) / passed.shape[-1] ** 0.5
        return tf.reduce_sum(tf.nn.softmax(scores, axis=0) * value, axis=0)
