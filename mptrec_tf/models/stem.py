"""STEM: an embedding table for each task beside a shared one, and experts that read them.

    h_k = expert_k(x_k)                      x_k: embedded by the table of task k
    h_0 = expert_0(x_0)                      x_0: embedded by the shared table
    a_k = softmax((x_k + x_0) A_k)           gate of task k over all K + 1 experts
    f_k = a_k[k] h_k + a_k[0] h_0 + sum_j stop(h_j) a_k[j],  j other tasks
    q_k = sigmoid(T_k(f_k))

`stop` passes no gradient: a task reads what the others know, and trains its own experts and tables
and the shared ones alone ("All Forward Task-specific Backward").

Su et al., *STEM: Unleashing the Power of Embeddings for Multi-task Recommendation*, AAAI 2024,
https://arxiv.org/abs/2308.13537.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import ExpertBank
from mptrec_tf.layers.gates import GateBank, mix_experts
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.single import split_by_table
from mptrec_tf.models.towers import TowerModel, make_towers
from mptrec_tf.models.weights import count_parameters


@keras.utils.register_keras_serializable("mptrec_tf")
class STEM(TowerModel):
    """An embedding and an expert of each task and a shared one, and a gate and a tower per task.

    Heads of new tasks read the embeddings of all tables (x; the shared one's first), the shared
    expert's output h_0, the mixtures f_1 .. f_K as what is specific, and the tasks' logits.

    Args:
      shape: The shape; widths are those of one table, expert and tower.

    Example:
      >>> from mptrec_tf.data.features.input_shape import InputShape
      >>> model = STEM(ModelShape(("click", "like"), (InputShape("categorical", 5, rows=1000),)))
      >>> model({"categorical": tf.zeros([3, 5], tf.int64)}).shape  # logits [B, K]
      TensorShape([3, 2])
    """

    kind = "stem"

    def __init__(self, shape: ModelShape, **kwargs):
        tasks = len(shape.tasks)
        super().__init__(shape, tables=1 + tasks, **kwargs)
        self.experts = ExpertBank(
            1 + tasks, shape.expert_units, shape.expert_dropout, shape.l2_dense, name="experts"
        )
        self.gates = GateBank(tasks, choices=1 + tasks, name="gates")
        self.towers = make_towers(shape)
        # [K, 1, E]: 1 where task k trains an expert, the shared one or its own.
        own = np.concatenate([np.ones([tasks, 1]), np.eye(tasks)], axis=1)
        self._trains = own[:, np.newaxis].astype(np.float32)
        self.finish(shared=1, specific=tasks)

    def encode(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Encoded:
        """Returns the representations of packed features: h_0 shared, f_k specific."""
        x, ids = self.embed(features)
        inputs = split_by_table(self, x, 1 + len(self.shape.tasks))
        h = self.experts(inputs, training=training)
        weights = self.gates(inputs[1:] + inputs[:1])
        mixed = mix_experts(weights * self._trains, h)
        mixed += mix_experts(weights * (1 - self._trains), tf.stop_gradient(h))
        return Encoded(x, ids, h[:1], mixed)

    def joint_parameters(self, new_tasks: int = 1) -> int:
        """Returns how many parameters the tasks and `new_tasks` more would train together.

        Each brings a table, an expert, a gate and a tower; all gates weigh one more expert for it.
        """
        existing = len(self.shape.tasks)
        tasks = existing + new_tasks
        embeddings = self.count_other_parameters([self.experts, self.gates, self.towers])
        expert = count_parameters(self.experts.weights)
        tower = count_parameters(self.towers.weights) // existing
        gate_choice = count_parameters(self.gates.weights) // (existing * (1 + existing))
        networks = (embeddings + expert) // (1 + existing) * (1 + tasks)
        return networks + tasks * (tower + (1 + tasks) * gate_choice)
