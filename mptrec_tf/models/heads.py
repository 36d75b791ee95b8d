"""The paper's head, what is trained for a new task: prompt, query, gate and tower.

    u   = LayerNorm(relu(x U_1) U_2)
    w   = softmax_k(u . p_k / tau)                how much each existing task helps this sample
    h_n = sum_k w_k h_k
    f_n = b[0] * (h_n * p_n) + b[1] * h_0,        b = softmax(x B_n)
    q_n = sigmoid(T_n(f_n))

x, h_0, h_1 .. h_K and the prompts p_1 .. p_K come from the frozen backbone.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import TowerBank
from mptrec_tf.layers.gates import GateBank, fuse
from mptrec_tf.layers.prompts import InstanceQuery, TaskPrompts
from mptrec_tf.models.configurations import HeadConfig
from mptrec_tf.models.encoded import HeadInputs
from mptrec_tf.models.head_names import ATTENTIONS

__all__ = ["ATTENTIONS", "HeadConfig", "HeadOutputs", "PromptHead"]


class HeadOutputs(NamedTuple):
    """What a head says of a batch.

    Attributes:
      logits: [B].
      attention: [B, K]. w, each row sums to 1.
      gate: [B, 2]. b, the weights of (specific, shared).
    """

    logits: tf.Tensor
    attention: tf.Tensor
    gate: tf.Tensor


@keras.utils.register_keras_serializable("mptrec_tf")
class PromptHead(keras.layers.Layer):
    """A new task on a frozen backbone.

    Args:
      config: The shape.
      input_width: int. D, the width of x.
      width: int. H, the width of the representations.
    """

    def __init__(self, config: HeadConfig, input_width: int, width: int, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        self.input_width = input_width
        self.width = width
        self.prompt = TaskPrompts(1, name="prompt")
        self.gate = GateBank(1, name="gate")
        self.tower = TowerBank(
            1, config.tower_units, config.tower_dropout, config.l2_dense, name="tower"
        )
        self.prompt.build((None, None, width))
        self.gate.build((None, input_width))
        self.tower.build((None, None, width))
        if config.attention == "prompt":
            self.query = InstanceQuery(width, name="query")
            self.query.build((None, input_width))
        self.built = True

    def call(self, inputs: HeadInputs, training: bool | None = None) -> HeadOutputs:
        """Returns the head's outputs.

        Args:
          inputs: What the frozen model makes of a batch.
          training: Whether to drop units.
        """
        prompts = inputs.prompts
        attention = self._attention(inputs.x, prompts)
        mixed = tf.einsum("bk,kbh->bh", attention, inputs.specific)
        gate = self.gate(inputs.x)
        fused = fuse(gate, self.prompt(mixed[tf.newaxis]), inputs.shared[0])
        logits = self.tower(fused, training=training)[0]
        if self.config.kl_weight and self.trainable:
            count = tf.cast(tf.shape(prompts)[0], tf.float32)
            divergence = tf.reduce_sum(
                attention * tf.math.log(tf.maximum(attention * count, 1e-12)), axis=1
            )
            self.add_loss(self.config.kl_weight * tf.reduce_mean(divergence))
        return HeadOutputs(logits, attention, gate[0])

    def _attention(self, x: tf.Tensor, prompts: tf.Tensor) -> tf.Tensor:
        if self.config.attention == "fixed":
            scores = tf.zeros([1, tf.shape(prompts)[0]])
        elif self.config.attention == "task_similarity":
            scores = tf.matmul(self.prompt.prompts, prompts, transpose_b=True) / self.config.tau
        else:
            scores = tf.matmul(self.query(x), prompts, transpose_b=True) / self.config.tau
        weights = tf.nn.softmax(scores)
        return tf.broadcast_to(weights, [tf.shape(x)[0], tf.shape(prompts)[0]])

    def rescale(self, scale: float, shift: float) -> None:
        """Changes the weights so that the logit becomes `scale * logit + shift`."""
        self.tower.rescale([scale], [shift])

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return super().get_config() | {
            "config": dataclasses.asdict(self.config),
            "input_width": self.input_width,
            "width": self.width,
        }

    @classmethod
    def from_config(cls, config: dict) -> "PromptHead":
        """Makes a head of the shape that `get_config` returned."""
        raw = config["config"]
        raw = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
        return cls(**(config | {"config": HeadConfig(**raw)}))
