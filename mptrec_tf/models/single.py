"""Single: a separate network for each task, from its embeddings to its tower.

    x_k = [embedding_k(ids), numbers]
    h_k = expert_k(x_k)
    q_k = sigmoid(T_k(h_k))

The baseline that a multi-task model has to beat.
"""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import ExpertBank, TowerBank
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.shared_bottom import TowerOutputs


@keras.utils.register_keras_serializable("mptrec_tf")
class Single(MultiTaskModel):
    """An embedding, an expert and a tower for each task; nothing is shared.

    Heads of new tasks read the embeddings of all tasks (x), the specific representations h_1 ..
    h_K, and the tasks' logits.

    Args:
      shape: The shape; widths are those of each task's network.

    Example:
      >>> from mptrec_tf.data.features.base import InputShape
      >>> model = Single(ModelShape(("click", "like"), (InputShape("categorical", 5, rows=1000),)))
      >>> model({"categorical": tf.zeros([3, 5], tf.int64)}).shape  # logits [B, K]
      TensorShape([3, 2])
    """

    kind = "single"

    def __init__(self, shape: ModelShape, **kwargs):
        tasks = len(shape.tasks)
        super().__init__(shape, tables=tasks, **kwargs)
        self.experts = ExpertBank(
            tasks, shape.expert_units, shape.expert_dropout, shape.l2_dense, name="experts"
        )
        self.towers = TowerBank(
            tasks, shape.tower_units, shape.tower_dropout, shape.l2_dense, name="towers"
        )
        self.finish(shared=0, specific=tasks)

    def encode(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Encoded:
        """Returns the representations of packed features: h_1 .. h_K, one for each task."""
        x, ids = self.embed(features)
        h = self.experts(self._split_by_task(x), training=training)
        return Encoded(x, ids, h[:0], h)

    def _split_by_task(self, x: tf.Tensor) -> tf.Tensor:
        """Splits x [B, D] into the inputs of each task's network, [K, B, .].

        In x, each id's embeddings for all tasks are adjacent; every task reads all numbers.
        """
        tasks, width = len(self.shape.tasks), self.shape.embedding_width
        parts = []
        for of, part in zip(self.shape.inputs, tf.split(x, self.part_widths, axis=1), strict=True):
            if of.kind in self.embeddings:
                part = tf.reshape(part, [-1, part.shape[1] // (tasks * width), tasks, width])
                part = tf.transpose(part, [2, 0, 1, 3])
                parts.append(tf.reshape(part, [tasks, -1, part.shape[2] * width]))
            else:
                parts.append(tf.tile(part[tf.newaxis], [tasks, 1, 1]))
        return tf.concat(parts, axis=2)

    def predict_tasks(self, encoded: Encoded, training: bool | None = None) -> TowerOutputs:
        """Returns each tower's outputs for its own task's representation."""
        return TowerOutputs(self.towers(encoded.specific, training=training))

    def rescale(self, scale: Sequence[float], shift: Sequence[float]) -> None:
        """Rescales the towers so that each task's logit becomes `scale * logit + shift`."""
        self.towers.rescale(scale, shift)

    def joint_parameters(self, new_tasks: int = 1) -> int:
        """Returns how many parameters the tasks and `new_tasks` more would train together."""
        existing = len(self.shape.tasks)
        return self.count_other_parameters([]) // existing * (existing + new_tasks)
