"""Several embedding tables for the ids of one packed tensor: one for each width."""

from collections.abc import Sequence

import tensorflow as tf

from mptrec_tf.data.features.input_shape import Table
from mptrec_tf.keras import keras
from mptrec_tf.layers.embedding import PackedEmbedding
from mptrec_tf.storage.plain import from_plain, to_plain


@keras.utils.register_keras_serializable("mptrec_tf")
class EmbeddingTables(keras.layers.Layer):
    """Embeds packed ids whose features have several widths, and concatenates the embeddings.

    One gather for each width, whatever the number of features. Each table is a `PackedEmbedding`,
    named after this layer and its width; that of the model's own width has this layer's name.

    Args:
      tables: The tables; together they embed each column once.
      width: int. The width of those that have none of their own.
      l2: float. See `PackedEmbedding`. Defaults to 0.
      l2_over: str. See `PackedEmbedding`.

    Example:
      >>> tables = (Table(None, 3, (0,), (0,)), Table(8, 5, (1,), (-3,)))
      >>> EmbeddingTables(tables, width=4)(tf.constant([[2, 3], [0, 7]])).shape
      TensorShape([2, 12])
    """

    def __init__(
        self, tables: Sequence[Table], width: int, l2: float = 0.0, l2_over: str = "table", **kwargs
    ):
        super().__init__(**kwargs)
        self.tables = tuple(tables)
        self.width = width
        self.l2 = l2
        self.l2_over = l2_over
        self.embeddings = [
            PackedEmbedding(
                of.rows,
                of.width or width,
                l2,
                l2_over,
                name=f"{self.name}_{of.width}" if of.width else self.name,
            )
            for of in self.tables
        ]

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns [B, sum of the columns' widths] for ids [B, n], ordered by table."""
        parts = []
        for of, embedding in zip(self.tables, self.embeddings, strict=True):
            rows = tf.gather(ids, of.columns, axis=1) + tf.constant(of.shifts, ids.dtype)
            # Ids of 0 in all columns, with which models are built, are not of all tables.
            parts.append(embedding(tf.maximum(rows, 0)))
        return tf.concat(parts, axis=1)

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {
            "tables": to_plain(self.tables),
            "width": self.width,
            "l2": self.l2,
            "l2_over": self.l2_over,
        }

    @classmethod
    def from_config(cls, config: dict) -> "EmbeddingTables":
        """Creates a layer from what `get_config` returned."""
        return cls(**config | {"tables": from_plain(tuple[Table, ...], config["tables"])})
