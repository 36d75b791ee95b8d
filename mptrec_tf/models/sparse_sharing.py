"""Sparse-Sharing: one expert for all tasks, of which each task reads and trains a subnet.

    h_k = expert(x; W * M_k)                M_k: task k's mask, of 0 and 1
    q_k = sigmoid(T_k(h_k))

The masks are found before the training, by trainings of each task alone: see `training.subnets`.

Sun et al., *Learning Sparse Sharing Architectures for Multiple Tasks*, AAAI 2020,
https://arxiv.org/abs/1911.05034.
"""

from collections.abc import Mapping

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.masks import MaskedExpertBank
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.single import split_by_table
from mptrec_tf.models.towers import TowerModel, TowerOutputs, make_towers
from mptrec_tf.models.weights import count_parameters


@keras.utils.register_keras_serializable("mptrec_tf")
class SparseSharing(TowerModel):
    """Embedding, subnets of one expert, and a tower for each task.

    Heads of new tasks read x, the tasks' representations h_1 .. h_K, which are specific, and the
    tasks' logits.

    Args:
      shape: The shape; `expert_units` are the layers of the expert.
      separate: bool. Whether each task has its own embedding and its own copy of the expert, as in
        the trainings that find the masks. Defaults to False.

    Example:
      >>> from mptrec_tf.data.features.input_shape import InputShape
      >>> model = SparseSharing(
      ...     ModelShape(("click", "like"), (InputShape("categorical", 5, rows=1000),))
      ... )
      >>> model({"categorical": tf.zeros([3, 5], tf.int64)}).shape  # logits [B, K]
      TensorShape([3, 2])
    """

    kind = "sparse_sharing"

    def __init__(self, shape: ModelShape, separate: bool = False, **kwargs):
        tasks = len(shape.tasks)
        super().__init__(shape, tables=tasks if separate else 1, **kwargs)
        self.experts = MaskedExpertBank(
            tasks,
            shape.expert_units,
            shape.expert_dropout,
            shape.l2_dense,
            separate=separate,
            name="experts",
        )
        self.towers = make_towers(shape)
        self.finish(shared=0, specific=tasks)

    def encode(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Encoded:
        """Returns the representations of packed features: h_1 .. h_K, one for each task."""
        x, ids = self.embed(features)
        inputs = split_by_table(self, x, len(self.shape.tasks)) if self.experts.separate else x
        h = self.experts(inputs, training=training)
        return Encoded(x, ids, h[:0], h)

    def report(self, encoded: Encoded, outputs: TowerOutputs) -> dict[str, tf.Tensor]:
        """Returns `subnet` [B, K]: the share of the expert's weights that a task reads."""
        left = tf.add_n([tf.reduce_sum(mask, axis=[1, 2]) for mask in self.experts.masks])
        weights = sum(mask.shape[1] * mask.shape[2] for mask in self.experts.masks)
        return {"subnet": tf.tile(left[tf.newaxis] / weights, [tf.shape(encoded.x)[0], 1])}

    def joint_parameters(self, new_tasks: int = 1) -> int:
        """Returns how many parameters the tasks and `new_tasks` more would train together."""
        tower = count_parameters(self.towers.weights) // len(self.shape.tasks)
        return count_parameters(self.parameters) + new_tasks * tower
