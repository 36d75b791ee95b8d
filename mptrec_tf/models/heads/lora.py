"""Low-rank changes of the frozen experts' layers, a gate over these experts, and a tower.

    h'_e = expert_e(x; W + A_n B_n)            W: frozen; A_n, B_n: the task's own, for each layer
    f_n  = sum_e a[e] h'_e,                    a = softmax(x C_n)
    logit = T_n(f_n)

The experts are those that read x; a single one needs no gate. Hu et al., *LoRA: Low-Rank Adaptation
of Large Language Models*, ICLR 2022, https://arxiv.org/abs/2106.09685; of recommenders with several
domains: Yang et al., *MLoRA: Multi-Domain Low-Rank Adaptive Network for CTR Prediction*, RecSys
2024, https://arxiv.org/abs/2408.08913.
"""

import dataclasses
import itertools
from collections.abc import Sequence

from mptrec_tf.keras import keras
from mptrec_tf.layers.gates import GateBank, mix_experts
from mptrec_tf.layers.low_rank import LowRankExperts
from mptrec_tf.models.encoded import HeadInputs, Layout
from mptrec_tf.models.heads.base import HeadOutputs
from mptrec_tf.models.heads.lora_shape import LoRAConfig
from mptrec_tf.models.heads.residual_shape import ResidualConfig
from mptrec_tf.models.heads.with_tower import HeadWithTower


@keras.utils.register_keras_serializable("mptrec_tf")
class LoRAHead(HeadWithTower):
    """A new task on a frozen model, with low-rank changes of its experts.

    Args:
      config: The shape. A rank of 0 is replaced by the one chosen.
      layout: The sizes of what the model computes for a row.

    Example:
      >>> layout = Layout(
      ...     input_width=123, shared=1, specific=2, width=128, tasks=2, ids=28,
      ...     experts=3, expert_units=(256, 128),
      ... )
      >>> LoRAHead(LoRAConfig(), layout).config.rank
      4
    """

    shape_class = LoRAConfig

    def __init__(self, config: LoRAConfig, layout: Layout, **kwargs):
        if not layout.experts:
            raise ValueError("the model should have experts that read x. It has none.")
        rank = config.rank or choose_rank(config, layout, kwargs.get("logits", 1))
        config = dataclasses.replace(config, rank=rank)
        super().__init__(config, layout, **kwargs)
        self.experts = LowRankExperts(
            layout.experts, layout.expert_units, config.rank, name="experts"
        )
        self.experts.build((None, layout.input_width))
        if layout.experts > 1:
            self.gate = GateBank(1, choices=layout.experts, name="gate")
            self.gate.build((None, layout.input_width))
        self.tower = self.make_tower()
        self.tower.build((None, None, layout.expert_units[-1]))
        self.built = True

    def call(self, inputs: HeadInputs, training: bool | None = None) -> HeadOutputs:
        """Returns the head's outputs, with an empty report.

        Args:
          inputs: The frozen model's values for a batch; reads x and the experts' weights.
          training: Whether to drop units.
        """
        x = inputs.encoded.x
        h = self.experts(x, *inputs.experts)
        if self.layout.experts > 1:
            h = mix_experts(self.gate(x), h)
        return HeadOutputs(self.predict_logits(h, training), {})


def choose_rank(config: LoRAConfig, layout: Layout, logits: int = 1) -> int:
    """Returns the largest rank with no more parameters than a residual head has, at least 1.

    The residual head's weights of single ids do not count.

    Args:
      config: The shape; its tower is part of the parameters.
      layout: The sizes of what the model computes for a row.
      logits: How many logits the task has.
    """
    d, h, residual = layout.input_width, layout.width, ResidualConfig()
    m = residual.expert_units
    prompt, gate, expert = h, 2 * d, (d + 1) * m
    most = prompt + gate + expert
    most += _count_dense((h + m + layout.logits, *residual.tower_units, logits))
    least = _count_dense((layout.expert_units[-1], *config.tower_units, logits))
    least += layout.experts * d if layout.experts > 1 else 0
    layers = itertools.pairwise((d, *layout.expert_units))
    of_one = layout.experts * sum(width + out for width, out in layers)
    return max(1, (most - least) // of_one)


def _count_dense(widths: Sequence[int]) -> int:
    """Returns how many parameters dense layers with biases between these widths have."""
    return sum((w + 1) * out for w, out in itertools.pairwise(widths))
