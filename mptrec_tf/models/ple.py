"""PLE: levels of shared and task-specific experts, mixed by gates; one level is CGC.

For each level, with m_s shared experts and m_k of each task, on the outputs of the level below
(x, below the first):

    S_k = [h_k1 .. h_km_k, h_s1 .. h_sm_s]           experts of task k, and the shared ones  (eq. 4)
    f_k = softmax(f'_k A_k) S_k                      f'_k: f_k of the level below      (eq. 2, 3, 5)
    f_s = softmax(f'_s A_s) [all experts]            feeds the shared experts of the next level
    q_k = sigmoid(T_k(f_k))                          on the last level                       (eq. 6)

Tang et al., *Progressive Layered Extraction (PLE): A Novel Multi-Task Learning (MTL) Model for
Personalized Recommendations*, RecSys 2020, https://doi.org/10.1145/3383313.3412236.
"""

from collections.abc import Mapping

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import ExpertBank
from mptrec_tf.layers.gates import GateBank, mix_experts
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.shapes import PLEShape
from mptrec_tf.models.towers import TowerModel, make_towers
from mptrec_tf.models.weights import count_parameters


@keras.utils.register_keras_serializable("mptrec_tf")
class PLE(TowerModel):
    """Embedding, levels of experts and gates, and a tower for each task.

    Heads of new tasks read x, the shared experts' outputs h_s of the last level, the mixtures
    f_1 .. f_K of that level as what is specific, and the tasks' logits.

    Args:
      shape: The shape; `expert_units` are the layers of each expert of each level.

    Example:
      >>> from mptrec_tf.data.features.input_shape import InputShape
      >>> shape = PLEShape(("click", "like"), (InputShape("categorical", 5, rows=1000),), levels=2)
      >>> PLE(shape)({"categorical": tf.zeros([3, 5], tf.int64)}).shape  # logits [B, K]
      TensorShape([3, 2])
    """

    kind = "ple"
    shape_type = PLEShape

    def __init__(self, shape: PLEShape, **kwargs):
        super().__init__(shape, **kwargs)
        tasks, own, shared = len(shape.tasks), shape.specific_experts, shape.shared_experts
        self.experts, self.gates, self.shared_gates = [], [], []
        for level in range(shape.levels):
            self.experts.append(
                # Those of task 0, those of task 1 and so on, and then the shared ones.
                ExpertBank(
                    tasks * own + shared,
                    shape.expert_units,
                    shape.expert_dropout,
                    shape.l2_dense,
                    name=f"experts_{level}",
                )
            )
            self.gates.append(GateBank(tasks, choices=own + shared, name=f"gates_{level}"))
            if level < shape.levels - 1:
                self.shared_gates.append(
                    GateBank(1, choices=tasks * own + shared, name=f"shared_gate_{level}")
                )
        self.towers = make_towers(shape)
        self.finish(shared=shared, specific=tasks, experts=self.experts[0])

    def encode(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Encoded:
        """Returns the representations of packed features: h_s shared, f_k specific."""
        shape, tasks = self.shape, len(self.shape.tasks)
        own, shared = shape.specific_experts, shape.shared_experts
        x, ids = self.embed(features)
        of_experts = of_tasks = of_shared = x  # the inputs of a level
        for level in range(shape.levels):
            h = self.experts[level](of_experts, training=training)
            specific, common = tf.split(h, [tasks * own, shared], axis=0)
            batch = tf.shape(h)[1]
            specific = tf.reshape(specific, [tasks, own, batch, shape.width])
            weights = self.gates[level](of_tasks)
            mixed = mix_experts(weights[..., :own], specific)
            mixed += mix_experts(weights[..., own:], common)
            if level < shape.levels - 1:
                of_shared = mix_experts(self.shared_gates[level](of_shared), h)[0]
                of_tasks = mixed
                of_experts = tf.concat(
                    [
                        tf.repeat(mixed, own, axis=0),
                        tf.repeat(of_shared[tf.newaxis], shared, axis=0),
                    ],
                    axis=0,
                )
        return Encoded(x, ids, common, mixed)

    def joint_parameters(self, new_tasks: int = 1) -> int:
        """Returns how many parameters the tasks and `new_tasks` more would train together.

        Each brings its experts, gates and tower; the shared gates weigh more experts.
        """
        shape, existing = self.shape, len(self.shape.tasks)
        own = shape.specific_experts
        task = sum(count_parameters(of.weights) for of in (*self.gates, self.towers)) // existing
        for experts in self.experts:
            task += own * (count_parameters(experts.weights) // experts.count)
        for gate in self.shared_gates:
            task += own * (count_parameters(gate.weights) // gate.choices)
        return count_parameters(self.parameters) + new_tasks * task
