"""Categorical features: each value is an id with a learnt embedding.

A feature with a vocabulary has one id per value of the training rows (a missing value may be one
of them), and one more for all other values; a hashed feature has one id per bucket. Offsets
separate the features in one table, the hashed ones first.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.canonical import MISSING
from mptrec_tf.data.features.base import NUMBER, TEXT, Embedding, Feature, InputShape

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_transform as tft

    from mptrec_tf.data.spec import DatasetSpec
    from mptrec_tf.keras import keras

# Most values of a vocabulary that the model card lists.
MOST_VALUES = 50
# A missing value in the model card's list.
MISSING_SHOWN = "(missing)"


@dataclasses.dataclass(frozen=True)
class Categorical(Feature):
    """A categorical feature.

    Attributes:
      name: str. The raw column, read as text. A column that is also a numeric feature is read as
        a number, and each number is a category.
      min_count: int. Values seen fewer times in the training rows share the out-of-vocabulary id.
      hash_buckets: Optional int. Hash values into this many buckets instead of using a
        vocabulary; for columns with very many or ever new values.
      exact: bool. Use texts unchanged, white space included, instead of their canonical form
        (see `canonicalize`); only empty text counts as missing then.

    Example:
      >>> Categorical("city", min_count=5)
      Categorical(name='city', min_count=5, hash_buckets=None, exact=False)
    """

    section = "categorical"
    reads = (TEXT, NUMBER)
    dtype = "int64"
    always_listed = True

    min_count: int = 1
    hash_buckets: int | None = None
    exact: bool = False

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        if self.min_count < 1:
            yield f"{self.name!r}: min_count must be 1 or more, not {self.min_count}"
        if self.hash_buckets is not None and self.hash_buckets < 1:
            yield f"{self.name!r}: hash_buckets must be 1 or more, not {self.hash_buckets}"
        if self.exact and self.raw_type(spec) == NUMBER:
            yield f"{self.name!r} is also a number, so its text cannot be exact"
        if self.hash_buckets is not None and self.min_count != 1:
            yield f"{self.name!r}: give min_count or hash_buckets, not both"

    def counted_form(self, value: str, missing_values: Sequence[str]) -> str | None:
        """Returns the text under which a survey counts a text value; None if it is missing."""
        return (value or None) if self.exact else super().counted_form(value, missing_values)

    @property
    def short_kind(self) -> str:
        """The kind's name in a cell of a table."""
        return "category" if self.hash_buckets is None else "hashed"

    @property
    def has_unknown(self) -> bool:
        """Whether the feature's last id stands for all values without an id of their own."""
        return self.hash_buckets is None

    @classmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Categorical"],
        columns: Mapping[str, "tf.Tensor"],
    ) -> "tf.Tensor":
        """Returns the ids [B, F] int64 of the values' canonical forms."""
        import tensorflow as tf

        from mptrec_tf.data.transform.canonical_graph import format_numbers
        from mptrec_tf.data.transform.vocabulary import apply_vocabulary

        hashed, known = _split_hashed(features)
        ids, offset = {}, 0
        text = {
            f.name: columns[f.name] if f.raw_type(spec) == TEXT else format_numbers(columns[f.name])
            for f in features
        }
        if hashed:
            values = tf.stack([text[feature.name] for feature in hashed], axis=1)
            forms = _make_canonicalize(spec, hashed)(values, tf.range(len(hashed)))
            for feature, column in zip(hashed, tf.unstack(forms, axis=1), strict=True):
                bucket = tf.strings.to_hash_bucket_fast(column, feature.hash_buckets)
                ids[feature.name] = bucket + offset
                offset += feature.hash_buckets
        if known:
            values = tf.stack([text[feature.name] for feature in known], axis=1)
            looked_up = apply_vocabulary(known, values, _make_canonicalize(spec, known)) + offset
            of_column = tf.unstack(looked_up, axis=1)
            ids |= {feature.name: column for feature, column in zip(known, of_column, strict=True)}
        return tf.stack([ids[feature.name] for feature in features], axis=1)

    @classmethod
    def rows(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Categorical"],
        transform: "tft.TFTransformOutput",
    ) -> int:
        """Returns the number of ids of all features.

        Raises:
          ValueError: if the graph lacks a vocabulary that a feature needs.
        """
        from mptrec_tf.data.transform.vocabulary import get_vocabulary_size

        del spec
        hashed, known = _split_hashed(features)
        return sum(f.hash_buckets for f in hashed) + (
            get_vocabulary_size(transform) if known else 0
        )

    @classmethod
    def id_ranges(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Categorical"],
        transform: "tft.TFTransformOutput",
    ) -> list[tuple[int, int, int]]:
        """Returns (column, first id, number of ids) of each feature.

        Raises:
          ValueError: if the graph lacks a vocabulary that a feature needs.
        """
        from mptrec_tf.data.transform.vocabulary import count_ids

        del spec
        hashed, known = _split_hashed(features)
        sizes = {feature.name: feature.hash_buckets for feature in hashed}
        if known:
            sizes |= count_ids(transform, known)
        columns = {feature.name: column for column, feature in enumerate(features)}
        ranges, first = [], 0
        for name, size in sizes.items():
            ranges.append((columns[name], first, size))
            first += size
        return sorted(ranges)

    @classmethod
    def missing_ids(
        cls, features: Sequence["Categorical"], transform: "tft.TFTransformOutput"
    ) -> int:
        """Returns the number of features that have an id for a missing value."""
        return sum(MISSING in of for of in _read_vocabularies(features, transform).values())

    @classmethod
    def domains(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Categorical"],
        transform: "tft.TFTransformOutput",
    ) -> list[dict[str, Any]]:
        """Returns the number of buckets, or the known values, the most frequent first."""
        del spec
        known = _read_vocabularies(features, transform)
        domains = []
        for feature in features:
            if feature.hash_buckets is not None:
                domains.append({"hash_buckets": feature.hash_buckets})
                continue
            values = known[feature.name][:-1]  # the last one stands for all others
            shown = [MISSING_SHOWN if v == MISSING else v for v in values[:MOST_VALUES]]
            domains.append({"known_values": len(values), "values": shown})
        return domains

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns a readable description of one item of `domains`."""
        if "hash_buckets" in domain:
            return f"any text, hashed to {domain['hash_buckets']:,}"
        return f"any text, {domain['known_values']:,} values known"

    @classmethod
    def layer(cls, shape: InputShape, embedding: Embedding) -> "keras.layers.Layer":
        """Returns the embedding table of all categorical features, named "embedding"."""
        from mptrec_tf.layers.embedding import PackedEmbedding

        return PackedEmbedding(
            shape.rows, embedding.width, embedding.l2, embedding.l2_over, name="embedding"
        )


def _split_hashed(
    features: Sequence[Categorical],
) -> tuple[list[Categorical], list[Categorical]]:
    """Returns the hashed features, and those with a vocabulary."""
    hashed = [f for f in features if f.hash_buckets is not None]
    return hashed, [f for f in features if f.hash_buckets is None]


def _read_vocabularies(
    features: Sequence[Categorical], transform: "tft.TFTransformOutput"
) -> dict[str, list[str]]:
    """Returns the values of each feature that has a vocabulary."""
    from mptrec_tf.data.transform.vocabulary import read_vocabulary

    return read_vocabulary(transform) if _split_hashed(features)[1] else {}


def _make_canonicalize(
    spec: "DatasetSpec", features: Sequence[Categorical]
) -> Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]:
    """Returns a function from values [..., n] and their features [n] to canonical forms."""
    import tensorflow as tf

    from mptrec_tf.data.transform.canonical_graph import canonicalize_text

    exact = [feature.exact for feature in features]

    def canonicalize(values: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        if all(exact):
            return values
        forms = canonicalize_text(values, spec.missing_values)
        return tf.where(tf.gather(exact, columns), values, forms) if any(exact) else forms

    return canonicalize
