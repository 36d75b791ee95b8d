"""What MMoE and PLE give a new task on frozen experts: a gate and a tower, and an own expert.

    h_n = expert_n(x)                          the task's own expert, of `own_expert` alone
    f_n = sum_e a[e] h_e,                      a = softmax(x A_n), over the shared experts (and h_n)
    logit = T_n(f_n)

x and the shared experts' outputs come from the frozen model. Where a model has one shared expert,
as Shared-Bottom has, a gate would weigh nothing, and `gate_tower` is the tower alone.

Ma et al., *Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts*,
KDD 2018, eq. 6 and 7, https://doi.org/10.1145/3219819.3220007; with an expert of its own: Tang et
al., *Progressive Layered Extraction (PLE)*, RecSys 2020, eq. 4 and 5,
https://doi.org/10.1145/3383313.3412236.
"""

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import ExpertBank
from mptrec_tf.layers.gates import GateBank, mix_experts
from mptrec_tf.models.encoded import HeadInputs, Layout
from mptrec_tf.models.heads.base import HeadOutputs
from mptrec_tf.models.heads.mixture_shape import MixtureConfig
from mptrec_tf.models.heads.with_tower import HeadWithTower


@keras.utils.register_keras_serializable("mptrec_tf")
class MixtureHead(HeadWithTower):
    """A new task on a frozen model, with a gate over experts, and a tower.

    Args:
      config: The shape.
      layout: The sizes of what the model computes for a row.

    Example:
      >>> layout = Layout(input_width=20, shared=3, specific=2, width=128, tasks=2, ids=5)
      >>> MixtureHead(MixtureConfig(own_expert=True), layout).gate.kernel.shape
      TensorShape([20, 4])
    """

    shape_class = MixtureConfig

    def __init__(self, config: MixtureConfig, layout: Layout, **kwargs):
        super().__init__(config, layout, **kwargs)
        self.choices = layout.shared + config.own_expert
        if self.choices > 1:
            self.gate = GateBank(1, choices=self.choices, name="gate")
            self.gate.build((None, layout.input_width))
        if config.own_expert:
            self.expert = ExpertBank(
                1, (*config.own_units, layout.width), 0.0, config.l2_dense, name="expert"
            )
            self.expert.build((None, layout.input_width))
        self.tower = self.make_tower()
        self.tower.build((None, None, layout.width))
        self.built = True

    def call(self, inputs: HeadInputs, training: bool | None = None) -> HeadOutputs:
        """Returns the head's outputs; with an own expert it reports its gate, h_n's weight.

        Args:
          inputs: The frozen model's values for a batch; reads x and what is shared.
          training: Whether to drop units.
        """
        x, fused, report = inputs.encoded.x, inputs.encoded.shared, {}
        if self.config.own_expert:
            fused = tf.concat([fused, self.expert(x)], axis=0)
        if self.choices > 1:
            gate = self.gate(x)
            fused = mix_experts(gate, fused)
            report = {"gate": gate[0, :, -1]} if self.config.own_expert else {}
        return HeadOutputs(self.predict_logits(fused, training), report)
