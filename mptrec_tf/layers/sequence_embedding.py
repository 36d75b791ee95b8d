"""One embedding table for all sequences, which pools them by attention or takes the last values."""

from collections.abc import Sequence

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.embedding import PackedEmbedding

# Units of the layer that compares a value with the query.
UNITS = 16


@keras.utils.register_keras_serializable("mptrec_tf")
class SequenceEmbedding(PackedEmbedding):
    """Embeds the ids of all sequences of a batch, and pools or concatenates each sequence.

        a_i = w_f . relu([q, k_i, q * k_i] W + b_f) + c_f,   x_f = sum_i a_i k_i

    for sequence f, with the query q and the values k_i (Zhou et al., *Deep Interest Network for
    Click-Through Rate Prediction*, KDD 2018, https://arxiv.org/abs/1706.06978, equation 3). W is
    shared by all sequences; b, w and c are each one's own. At the start every a_i is nearly 1: a
    sum, from which the layer learns to depart.

    There is no padding: all values of a batch are one tensor, in the order of rows and sequences.

    Args:
      rows: int. See `PackedEmbedding`.
      width: int. d_e.
      sizes: For each of F sequences how many values are concatenated; 0: attention.
      tables: int. T: `width` holds T embeddings side by side, each with an attention of its own.
        Defaults to 1.
      l2: float. See `PackedEmbedding`.
      l2_over: str. See `PackedEmbedding`.

    Example:
      >>> embedding = SequenceEmbedding(rows=1000, width=4, sizes=(0, 2))
      >>> ids = tf.constant([7, 3, 500, 8, 9])  # 7 is the query of 3 and 500
      >>> embedding((ids, tf.constant([[3, 2]]))).shape
      TensorShape([1, 12])
    """

    def __init__(
        self,
        rows: int,
        width: int,
        sizes: Sequence[int],
        tables: int = 1,
        l2: float = 0.0,
        l2_over: str = "table",
        **kwargs,
    ):
        super().__init__(rows, width, l2, l2_over, **kwargs)
        self.sizes = tuple(sizes)
        self.tables = tables

    def build(self, input_shape) -> None:
        """Creates the table [rows, width] and, if a sequence attends, the layer that compares."""
        if 0 in self.sizes:
            tables, count = self.tables, len(self.sizes)
            compared = 3 * self.width // tables
            self.kernel = self.add_weight("kernel", (tables, compared, UNITS))
            self.hidden_bias = self.add_weight(
                "hidden_bias", (tables, count, UNITS), initializer="zeros"
            )
            self.weight = self.add_weight("weight", (tables, count, UNITS))
            self.bias = self.add_weight("bias", (tables, count), initializer="ones")
        super().build(input_shape)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Returns [B, (number of attentions + sum of sizes) * width].

        Args:
          inputs: Ids [N] of all sequences, and how many of them each has [B, F]. Those of an
            attention begin with the query.
        """
        ids, lengths = inputs
        embedded = super().call(ids[:, tf.newaxis])
        starts = tf.cumsum(tf.reshape(lengths, [-1]), exclusive=True)
        parts = []
        if 0 in self.sizes:
            parts.append(self._attend(embedded, lengths, starts))
        columns = [f for f, size in enumerate(self.sizes) for _ in range(size)]
        if columns:
            places = [place for size in self.sizes for place in range(size)]
            first = tf.gather(tf.reshape(starts, [-1, len(self.sizes)]), columns, axis=1)
            last = tf.gather(embedded, first + tf.constant(places, first.dtype))
            parts.append(tf.reshape(last, [-1, len(columns) * self.width]))
        return tf.concat(parts, axis=1)

    def _attend(self, embedded: tf.Tensor, lengths: tf.Tensor, starts: tf.Tensor) -> tf.Tensor:
        """Returns the pooled values [B, A * width] of the sequences that attend."""
        cells = tf.reshape(lengths, [-1])
        count = tf.size(cells)
        cell_of = tf.repeat(tf.range(count), cells)
        of = cell_of % len(self.sizes)
        # Values of sequences that are concatenated are compared, too, and dropped below.
        query = tf.gather(tf.gather(embedded, starts), cell_of)
        query, keys = self._by_table(query), self._by_table(embedded)
        compared = tf.concat([query, keys, query * keys], axis=2)
        hidden = tf.nn.relu(compared @ self.kernel + tf.gather(self.hidden_bias, of, axis=1))
        attention = tf.reduce_sum(hidden * tf.gather(self.weight, of, axis=1), axis=2)
        attention += tf.gather(self.bias, of, axis=1)
        is_query = tf.range(tf.size(cell_of)) == tf.gather(tf.cast(starts, tf.int32), cell_of)
        attention = tf.where(is_query, 0.0, attention)
        weighted = tf.transpose(attention[..., tf.newaxis] * keys, [1, 0, 2])  # [N, T, .]
        summed = tf.math.unsorted_segment_sum(
            tf.reshape(weighted, [-1, self.width]), cell_of, count
        )
        pooled = tf.reshape(summed, [-1, len(self.sizes), self.width])
        attended = [f for f, size in enumerate(self.sizes) if not size]
        return tf.reshape(tf.gather(pooled, attended, axis=1), [-1, len(attended) * self.width])

    def _by_table(self, values: tf.Tensor) -> tf.Tensor:
        """Returns [N, width] as [T, N, width / T]."""
        width = self.width // self.tables
        return tf.transpose(tf.reshape(values, [-1, self.tables, width]), [1, 0, 2])

    def get_config(self) -> dict:
        """Returns the constructor's arguments."""
        return super().get_config() | {"sizes": self.sizes, "tables": self.tables}
