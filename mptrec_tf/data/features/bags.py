"""Bags: features with any number of values in a row, whose embeddings are pooled to one.

    x = sum_i w_i e_i / norm,   norm = sum_i w_i | 1 | sqrt(sum_i w_i^2)

for `pool: mean`, `sum` and `sqrtn`, with all w_i = 1 unless values have weights (the combiners of
`tf.nn.embedding_lookup_sparse`). Preprocessing divides, and stores an id and a factor for each
value, so that models only add up.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mptrec_tf.data.features.input_shape import Embedding, InputShape
from mptrec_tf.data.features.lists import ListFeature

if TYPE_CHECKING:
    import tensorflow as tf

    from mptrec_tf.data.spec import DatasetSpec
    from mptrec_tf.keras import keras

POOLS = ("mean", "sum", "sqrtn")


@dataclasses.dataclass(frozen=True)
class Bag(ListFeature):
    """A feature with any number of values in a row, in no order; the others are `ListFeature`'s.

    Attributes:
      pool: str. How the embeddings become one, see the module.
      weights: bool. Whether each value ends in its weight, a number of 0 or more: `a:0.3|b:1`.

    Example:
      >>> Bag("genres", pool="sqrtn").separator
      '|'
    """

    section = "bags"
    packed_parts = ("weights", "lengths")

    pool: str = POOLS[0]
    weights: bool = False

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        yield from super().problems(spec)
        if self.pool not in POOLS:
            yield f"{self.name!r}: pool must be one of {', '.join(POOLS)}, not {self.pool!r}"
        if self.weights and ":" in self.separator:
            yield f"{self.name!r}: the separator cannot hold a colon, which precedes a weight"

    @property
    def has_weights(self) -> bool:
        """Whether each value ends in its weight."""
        return self.weights

    @property
    def short_kind(self) -> str:
        """The kind's name in a cell of a table."""
        return "bag" if self.hash_buckets is None else "hashed bag"

    @classmethod
    def packed_bytes(cls, features: Sequence["Bag"]) -> int:
        """Returns the bytes of a row with as many values as count: an id and a number for each."""
        return sum(12 * feature.most for feature in features) + 8 * len(features)

    @classmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Bag"],
        columns: Mapping[str, "tf.Tensor"],
    ) -> "dict[str, tf.Tensor]":
        """Returns ids [B, any number], their factors, and how many each of F bags has, [B, F]."""
        from mptrec_tf.data.transform.list_graph import look_up, normalize, read_values

        values = read_values(spec, features, columns)
        factors = normalize(values, [feature.pool for feature in features])
        tensors = (look_up(cls.vocabulary_file(), features, values), factors)
        packed = values.by_row(tensors)
        return dict(zip(cls.packed_names(), (*packed, values.lengths()), strict=True))

    @classmethod
    def layer(cls, shape: InputShape, embedding: Embedding) -> "keras.layers.Layer":
        """Returns the embedding table of all bags, which adds up each bag's embeddings."""
        from mptrec_tf.layers.pooled_embedding import PooledEmbedding

        return PooledEmbedding(
            shape.rows, embedding.width, embedding.l2, embedding.l2_over, name=shape.kind
        )
