"""Low-rank changes of layers that are not trained.

Hu et al., *LoRA: Low-Rank Adaptation of Large Language Models*, ICLR 2022,
https://arxiv.org/abs/2106.09685.
"""

from collections.abc import Sequence

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import FAN_IN_UNIFORM, make_bank_initializer


@keras.utils.register_keras_serializable("mptrec_tf")
class LowRankExperts(keras.layers.Layer):
    """Experts whose weights are given, with a low-rank change of each layer's kernel.

        h_e = relu(... relu(x (W_e1 + A_e1 B_e1) + b_e1) ...)

    W and b are those of an `ExpertBank`, and are not this layer's. B is 0 at first, so that the
    experts begin as they are.

    Args:
      count: int. Number of experts, E.
      units: Sequence of ints. Width of each layer.
      rank: int. r, the width of A and the height of B.

    Example:
      >>> from mptrec_tf.layers.banks import ExpertBank
      >>> experts = ExpertBank(count=3, units=(256, 128))
      >>> before = experts(tf.ones([64, 10]))
      >>> changed = LowRankExperts(count=3, units=(256, 128), rank=4)
      >>> changed(tf.ones([64, 10]), experts.kernels, experts.biases).shape
      TensorShape([3, 64, 128])
    """

    def __init__(self, count: int, units: Sequence[int], rank: int, **kwargs):
        super().__init__(**kwargs)
        if count < 1 or rank < 1 or not units:
            raise ValueError(
                "count, rank and units should be positive. "
                f"Received: count={count}, rank={rank}, units={units}."
            )
        self.count = count
        self.units = tuple(units)
        self.rank = rank

    def build(self, input_shape) -> None:
        """Creates A [E, in, r] and B [E, r, out] of each layer."""
        self.downs, self.ups = [], []
        width = input_shape[-1]
        for i, out in enumerate(self.units):
            down, up = (self.count, width, self.rank), (self.count, self.rank, out)
            initializer = make_bank_initializer(FAN_IN_UNIFORM)
            self.downs.append(self.add_weight(f"down_{i}", down, initializer=initializer))
            self.ups.append(self.add_weight(f"up_{i}", up, initializer="zeros"))
            width = out
        super().build(input_shape)

    def call(
        self, x: tf.Tensor, kernels: Sequence[tf.Tensor], biases: Sequence[tf.Tensor]
    ) -> tf.Tensor:
        """Returns representations [E, B, H].

        Args:
          x: [B, D].
          kernels: W, [E, in, out] of each layer.
          biases: b, [E, 1, out] of each layer.
        """
        h = x[tf.newaxis]
        for kernel, bias, down, up in zip(kernels, biases, self.downs, self.ups, strict=True):
            h = tf.nn.relu(h @ kernel + (h @ down) @ up + bias)
        return h

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "count": self.count,
            "units": self.units,
            "rank": self.rank,
        }
