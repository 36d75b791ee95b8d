"""Single: a separate network for each task, from its embeddings to its tower.

    x_k = [embedding_k(ids), numbers]
    h_k = expert_k(x_k)
    q_k = sigmoid(T_k(h_k))

The baseline that a multi-task model has to beat.
"""

from collections.abc import Mapping

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import ExpertBank
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.towers import TowerModel, make_towers


@keras.utils.register_keras_serializable("mptrec_tf")
class Single(TowerModel):
    """An embedding, an expert and a tower for each task; nothing is shared.

    Heads of new tasks read the embeddings of all tasks (x), the specific representations h_1 ..
    h_K, and the tasks' logits.

    Args:
      shape: The shape; widths are those of each task's network.

    Example:
      >>> from mptrec_tf.data.features.input_shape import InputShape
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
        self.towers = make_towers(shape)
        self.finish(shared=0, specific=tasks)

    def encode(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Encoded:
        """Returns the representations of packed features: h_1 .. h_K, one for each task."""
        x, ids = self.embed(features)
        h = self.experts(split_by_table(self, x, len(self.shape.tasks)), training=training)
        return Encoded(x, ids, h[:0], h)

    def joint_parameters(self, new_tasks: int = 1) -> int:
        """Returns how many parameters the tasks and `new_tasks` more would train together."""
        existing = len(self.shape.tasks)
        return self.count_other_parameters([]) // existing * (existing + new_tasks)


def split_by_table(model: MultiTaskModel, x: tf.Tensor, tables: int) -> tf.Tensor:
    """Splits x [B, D] of a model with several embedding tables into their inputs, [tables, B, .].

    In x, each id's embeddings of all tables are adjacent; numbers are part of every input.
    """
    width = model.shape.embedding_width
    parts = []
    for of, part in zip(model.shape.inputs, tf.split(x, model.part_widths, axis=1), strict=True):
        if of.rows:
            widths = [t.width or width for t in of.tables] or [width]
            sizes = [tables * len(t.columns) * w for t, w in zip(of.tables, widths, strict=False)]
            pieces = tf.split(part, sizes or [part.shape[1]], axis=1)
            for each, piece in zip(widths, pieces, strict=True):
                piece = tf.reshape(piece, [-1, piece.shape[1] // (tables * each), tables, each])
                piece = tf.transpose(piece, [2, 0, 1, 3])
                parts.append(tf.reshape(piece, [tables, -1, piece.shape[2] * each]))
        else:
            parts.append(tf.tile(part[tf.newaxis], [tables, 1, 1]))
    return tf.concat(parts, axis=2)
