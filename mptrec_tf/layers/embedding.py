"""One embedding table for all categorical features: one gather instead of one per feature."""

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.choices import L2_OVER
from mptrec_tf.layers.partitions import look_up
from mptrec_tf.layers.replicas import gather_over_replicas


@keras.utils.register_keras_serializable("mptrec_tf")
class PackedEmbedding(keras.layers.Layer):
    """Embeds packed ids and concatenates the embeddings.

    The ids of different features do not overlap (see `mptrec_tf.data.transform.graph`), so that all
    features share one table.

    Args:
      rows: int. Ids of all features together.
      width: int. Width of one embedding, d_e.
      l2: float. Weight of `l2 / 2 * ||embeddings||^2` in the layer's losses. Defaults to 0.
      l2_over: str. "table": the norm of the whole table (the paper's), whose gradient is dense.
        "batch": of the rows that the batch reads, each once, and the gradient is sparse; for
        tables too large to update in every step. It decides the gradient even where l2 is 0.

    Example:
      >>> embedding = PackedEmbedding(rows=1000, width=4)
      >>> embedding(tf.constant([[3, 500], [7, 999]])).shape
      TensorShape([2, 8])
    """

    def __init__(self, rows: int, width: int, l2: float = 0.0, l2_over: str = "table", **kwargs):
        super().__init__(**kwargs)
        if l2_over not in L2_OVER:
            raise ValueError(f"l2_over should be one of {L2_OVER}. Received: {l2_over!r}.")
        self.rows = rows
        self.width = width
        self.l2 = l2
        self.l2_over = l2_over

    def build(self, input_shape) -> None:
        """Creates the table [rows, width]."""
        # Chosen by the validation AUC of a new task: with smaller values, features that the old
        # tasks hardly need stay too close to 0 to help a new one.
        self.table = self.add_weight(
            "table", (self.rows, self.width), initializer=keras.initializers.RandomNormal(0.0, 0.1)
        )
        super().build(input_shape)

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns [B, F * width] for ids [B, F]."""
        table = self.table
        if self.l2 and self.trainable:
            read = self.table
            if self.l2_over == "batch":
                of_batch = gather_over_replicas(tf.reshape(ids, [-1]))
                read = look_up(self.table, tf.unique(of_batch).y)
            self.add_loss(self.l2 * tf.nn.l2_loss(read))
        elif self.trainable and self.l2_over == "table":
            # With an L2 term the gradient is dense. Without one, a product makes it dense: XLA is
            # slow with a sparse gradient.
            table = 1.0 * self.table
        embedded = look_up(table, ids)
        return tf.reshape(embedded, [-1, ids.shape[1] * self.width])

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "rows": self.rows,
            "width": self.width,
            "l2": self.l2,
            "l2_over": self.l2_over,
        }
