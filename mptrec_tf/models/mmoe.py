"""MMoE: experts that all tasks share, mixed by a gate for each task.

    h_e = expert_e(x)                        e = 1 .. E
    a_k = softmax(x A_k)                     gate of task k                      (eq. 7)
    f_k = sum_e a_k[e] h_e                                                       (eq. 6)
    q_k = sigmoid(T_k(f_k))                                                      (eq. 5)

Ma et al., *Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts*,
KDD 2018, https://doi.org/10.1145/3219819.3220007.
"""

from collections.abc import Mapping

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import ExpertBank
from mptrec_tf.layers.gates import GateBank, mix_experts
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.shapes import MMoEShape
from mptrec_tf.models.towers import TowerModel, make_towers
from mptrec_tf.models.weights import count_parameters


@keras.utils.register_keras_serializable("mptrec_tf")
class MMoE(TowerModel):
    """Embedding, shared experts, and a gate and a tower for each task.

    Heads of new tasks read x, the experts' outputs h_1 .. h_E as what is shared, the mixtures
    f_1 .. f_K as what is specific, and the tasks' logits.

    Args:
      shape: The shape.

    Example:
      >>> from mptrec_tf.data.features.input_shape import InputShape
      >>> model = MMoE(MMoEShape(("click", "like"), (InputShape("categorical", 5, rows=1000),)))
      >>> model({"categorical": tf.zeros([3, 5], tf.int64)}).shape  # logits [B, K]
      TensorShape([3, 2])
    """

    kind = "mmoe"
    shape_type = MMoEShape

    def __init__(self, shape: MMoEShape, **kwargs):
        super().__init__(shape, **kwargs)
        tasks = len(shape.tasks)
        self.experts = ExpertBank(
            shape.experts, shape.expert_units, shape.expert_dropout, shape.l2_dense, name="experts"
        )
        self.gates = GateBank(tasks, choices=shape.experts, name="gates")
        self.towers = make_towers(shape)
        self.finish(shared=shape.experts, specific=tasks, experts=self.experts)

    def encode(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Encoded:
        """Returns the representations of packed features: h_1 .. h_E shared, f_k specific."""
        x, ids = self.embed(features)
        h = self.experts(x, training=training)
        return Encoded(x, ids, h, mix_experts(self.gates(x), h))

    def joint_parameters(self, new_tasks: int = 1) -> int:
        """Returns how many parameters the tasks and `new_tasks` more would train together.

        There is one more expert for each, unless their number is fixed.
        """
        shape, existing = self.shape, len(self.shape.tasks)
        tasks = existing + new_tasks
        experts = shape.expert_count or tasks + 1
        expert = count_parameters(self.experts.weights) // shape.experts
        tower = count_parameters(self.towers.weights) // existing
        others = self.count_other_parameters([self.experts, self.gates, self.towers])
        return others + experts * expert + tasks * (tower + self.input_width * experts)
