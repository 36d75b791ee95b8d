"""Sequences: features with values in an order, such as a user's last items, the oldest first.

With `attend_to` the values are pooled by attention to a column of the row, the item to predict for:

    a_i = w . relu([q, k_i, q * k_i] W + b) + c,   x = sum_i a_i k_i

(Zhou et al., *Deep Interest Network for Click-Through Rate Prediction*, KDD 2018,
https://arxiv.org/abs/1706.06978, equation 3 and figure 2: the weights are not normalised, so that
how much fits a row is kept). q is the item's embedding in the sequence's own table: a vocabulary
holds the values of the sequence and of the column, and no layer reads another kind's table.

With `last: 5` the embeddings of the last five values are concatenated: where each stands is known
to the model. (Their mean is a bag's, of a column with fewer values.)

Missing values are left out, and a row without values has the missing value, as in bags; so have the
places before the first of fewer than `last` values.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mptrec_tf.data.features.base import TEXT
from mptrec_tf.data.features.input_shape import Embedding, InputShape
from mptrec_tf.data.features.lists import ListFeature

if TYPE_CHECKING:
    import tensorflow as tf

    from mptrec_tf.data.spec import DatasetSpec
    from mptrec_tf.keras import keras


@dataclasses.dataclass(frozen=True)
class ValueSequence(ListFeature):
    """A feature with values in an order, the oldest first; the others are `ListFeature`'s.

    Attributes:
      attend_to: Optional str. A categorical feature: pool the values by attention to its value.
      last: Optional int. Concatenate so many values, the last ones, instead.

    Example:
      >>> ValueSequence("viewed", attend_to="item_id").most
      20
    """

    section = "sequences"
    packed_parts = ("lengths",)
    counts_last = True

    attend_to: str | None = None
    last: int | None = None

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        yield from super().problems(spec)
        if (self.attend_to is None) == (self.last is None):
            yield f"{self.name!r}: give attend_to, a categorical feature, or last, a number"
        if self.last is not None and not 1 <= self.last <= self.most:
            yield f"{self.name!r}: last must be from 1 to {self.most} (most), not {self.last}"
        if self.attend_to is not None:
            categorical = [of.name for of in spec.categorical]
            if self.attend_to not in categorical or self.query_type(spec) != TEXT:
                yield (
                    f"{self.name!r}: attend_to must name a categorical feature that is read as "
                    f"text, not {self.attend_to!r}"
                )

    def query_type(self, spec: "DatasetSpec") -> str | None:
        """Returns the raw type of the column of `attend_to`; None if it is no feature."""
        return spec.column_types.get(self.attend_to or "")

    @property
    def short_kind(self) -> str:
        """The kind's name in a cell of a table."""
        return "sequence" if self.hash_buckets is None else "hashed sequence"

    @classmethod
    def packed_bytes(cls, features: Sequence["ValueSequence"]) -> int:
        """Returns the bytes of a row with as many values as count, and a query for each."""
        return sum(8 * (feature.most + 1) for feature in features) + 8 * len(features)

    @classmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["ValueSequence"],
        columns: "Mapping[str, tf.Tensor]",
    ) -> "dict[str, tf.Tensor]":
        """Returns ids [B, any number], and how many each of F sequences has, [B, F].

        Those of a sequence with `attend_to` follow the id of the column's value; those of one with
        `last` are exactly so many.
        """
        from mptrec_tf.data.transform.list_graph import look_up, read_values
        from mptrec_tf.data.transform.sequence_graph import add_queries, take_last

        values = read_values(spec, features, columns)
        values = take_last(values, [feature.last for feature in features])
        values = add_queries(spec, features, values, columns)
        [ids] = values.by_row([look_up(cls.vocabulary_file(), features, values)])
        return dict(zip(cls.packed_names(), (ids, values.lengths()), strict=True))

    @classmethod
    def sizes(cls, features: Sequence["ValueSequence"]) -> tuple[int, ...]:
        """Returns `last` of each sequence; 0 for those that are pooled by attention."""
        return tuple(feature.last or 0 for feature in features)

    @classmethod
    def input_width(cls, shape: InputShape, embedding_width: int) -> int:
        """Returns the width of one embedding for each attention, and for each of the last ones."""
        return sum(size or 1 for size in shape.sizes) * embedding_width

    @classmethod
    def make_zeros(cls, shape: InputShape, rows: int) -> "dict[str, tf.Tensor]":
        """Returns packed tensors of some rows: sequences of one value, with its query."""
        import tensorflow as tf

        lengths = tf.constant([[size or 2 for size in shape.sizes]] * rows, tf.int64)
        ids = tf.zeros([rows, sum(size or 2 for size in shape.sizes)], tf.int64)
        ids = tf.RaggedTensor.from_tensor(ids, row_splits_dtype=tf.int64)
        return dict(zip(cls.packed_names(), (ids, lengths), strict=True))

    @classmethod
    def layer(cls, shape: InputShape, embedding: Embedding) -> "keras.layers.Layer":
        """Returns the embedding table of all sequences, with the layer that attends."""
        from mptrec_tf.layers.sequence_embedding import SequenceEmbedding

        return SequenceEmbedding(
            shape.rows,
            embedding.width,
            shape.sizes,
            tables=embedding.tables,
            l2=embedding.l2,
            l2_over=embedding.l2_over,
            name=shape.kind,
        )
