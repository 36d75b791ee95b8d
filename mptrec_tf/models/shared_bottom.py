"""Shared-Bottom: one expert for all tasks, and a tower for each task.

    h_0 = expert(x)
    q_k = sigmoid(T_k(h_0))

Caruana, *Multitask Learning*, Machine Learning 28, 1997,
https://doi.org/10.1023/A:1007379606734.
"""

from collections.abc import Mapping

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import ExpertBank
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.towers import TowerModel, TowerOutputs, make_towers
from mptrec_tf.models.weights import count_parameters


@keras.utils.register_keras_serializable("mptrec_tf")
class SharedBottom(TowerModel):
    """Embedding, one expert, and a tower for each task.

    Heads of new tasks read x, the shared representation h_0, and the tasks' logits.

    Args:
      shape: The shape; `expert_units` are the layers of the bottom.

    Example:
      >>> from mptrec_tf.data.features.input_shape import InputShape
      >>> model = SharedBottom(
      ...     ModelShape(("click", "like"), (InputShape("categorical", 5, rows=1000),))
      ... )
      >>> model({"categorical": tf.zeros([3, 5], tf.int64)}).shape  # logits [B, K]
      TensorShape([3, 2])
    """

    kind = "shared_bottom"

    def __init__(self, shape: ModelShape, **kwargs):
        super().__init__(shape, **kwargs)
        self.experts = ExpertBank(
            1, shape.expert_units, shape.expert_dropout, shape.l2_dense, name="experts"
        )
        self.towers = make_towers(shape)
        self.finish(shared=1, specific=0, experts=self.experts)

    def encode(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Encoded:
        """Returns the representations of packed features: h_0, which all tasks share."""
        x, ids = self.embed(features)
        h = self.experts(x, training=training)
        return Encoded(x, ids, h, h[:0])

    def predict_tasks(self, encoded: Encoded, training: bool | None = None) -> TowerOutputs:
        """Returns the towers' outputs for h_0."""
        batch, width = tf.unstack(tf.shape(encoded.shared)[1:])
        shared = tf.broadcast_to(encoded.shared, [len(self.shape.tasks), batch, width])
        return TowerOutputs(self.towers(shared, training=training))

    def joint_parameters(self, new_tasks: int = 1) -> int:
        """Returns how many parameters the tasks and `new_tasks` more would train together."""
        existing = len(self.shape.tasks)
        tower = count_parameters(self.towers.weights) // existing
        return self.count_other_parameters([self.towers]) + (existing + new_tasks) * tower
