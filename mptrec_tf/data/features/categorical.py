"""Categorical features: each value is an id with a learnt embedding.

A feature with a vocabulary has one id per value of the training rows (a missing value may be one
of them), and one more for all other values, or several (`oov_buckets`); a hashed feature has one id
per bucket. Offsets separate the features, the hashed ones first. With `hashes: 2` a feature has two
columns, and with `table` it shares its ids with other features.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.canonical import MISSING
from mptrec_tf.data.features.base import NUMBER, TEXT, Feature
from mptrec_tf.data.features.input_shape import Embedding, InputShape, Table
from mptrec_tf.data.features.widths import find_width_problem, group_by_width
from mptrec_tf.storage.plain import added

if TYPE_CHECKING:
    import numpy as np
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
      width: Optional int. The width of its embeddings. Defaults to the model's.
      oov_buckets: Optional int. With a vocabulary: how many ids, chosen by hash, stand for the
        values that it does not hold, so that new values are told apart. Defaults to 1.
      hashes: int. With `hash_buckets`: by how many hash functions a value is looked up. The
        embeddings are side by side; two values that share one of them differ in the other.
      table: Optional str. With `hash_buckets`: the name of a table that features share; each
        hashes its values into all of its rows, together with the column's name.

    Sharing a table, and several lookups in it, are those of Coleman et al., *Unified Embedding*,
    NeurIPS 2023, https://arxiv.org/abs/2305.12102.

    Example:
      >>> Categorical("city", min_count=5).hash_buckets is None
      True
    """

    section = "categorical"
    reads = (TEXT, NUMBER)
    takes_shared = True
    dtype = "int64"
    always_listed = True

    min_count: int = 1
    hash_buckets: int | None = None
    exact: bool = False
    width: int | None = added(None)
    oov_buckets: int | None = added(None)
    hashes: int = added(1)
    table: str | None = added(None)

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
        yield from find_width_problem(self, self.width)
        if self.oov_buckets is not None and self.oov_buckets < 1:
            yield f"{self.name!r}: oov_buckets must be 1 or more, not {self.oov_buckets}"
        if self.oov_buckets is not None and self.hash_buckets is not None:
            yield f"{self.name!r}: give oov_buckets or hash_buckets, not both"
        if self.hashes < 1:
            yield f"{self.name!r}: hashes must be 1 or more, not {self.hashes}"
        if self.hash_buckets is None and (self.hashes != 1 or self.table is not None):
            yield f"{self.name!r}: hashes and table need hash_buckets"
        yield from self._find_table_problem(spec)

    def _find_table_problem(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence if the feature's table is another feature's in another size."""
        same = [f for f in spec.section(self.section) if f.table == self.table is not None]
        first = same[0] if same else self
        for key in ("hash_buckets", "width"):
            mine, theirs = getattr(self, key), getattr(first, key)
            if mine != theirs:
                yield (
                    f"{self.name!r}: {key} of table {self.table!r} is {mine} here and {theirs} for "
                    f"{first.name!r}; give both the same"
                )

    @property
    def takes_missing(self) -> bool:
        """Whether it takes NaN for a missing number: a missing value is a category."""
        return True

    def counted_forms(self, values: "np.ndarray", missing_values: Sequence[str]) -> "np.ndarray":
        """Returns the texts under which a survey counts texts [n]; None for missing values."""
        if not self.exact:
            return super().counted_forms(values, missing_values)
        import numpy as np

        return np.where(values == "", None, values)

    @property
    def short_kind(self) -> str:
        """The kind's name in a cell of a table."""
        return "category" if self.hash_buckets is None else "hashed"

    @property
    def has_unknown(self) -> bool:
        """Whether the feature's last id stands for all values without an id of their own."""
        return self.hash_buckets is None

    @property
    def unknown_ids(self) -> int:
        """How many of the feature's last ids stand for values without an id of their own."""
        return (self.oov_buckets or 1) if self.has_unknown else 0

    @property
    def is_plainly_hashed(self) -> bool:
        """Whether it has one hash function, and buckets for itself."""
        return self.hashes == 1 and self.table is None

    @classmethod
    def columns(cls, features: Sequence["Categorical"]) -> int:
        """Returns how many ids a row has."""
        return sum(feature.hashes for feature in features)

    @classmethod
    def column_features(cls, features: Sequence["Categorical"]) -> "list[Feature]":
        """Returns the feature of each column."""
        return [feature for feature in features for _ in range(feature.hashes)]

    @classmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Categorical"],
        columns: Mapping[str, "tf.Tensor"],
    ) -> "tf.Tensor":
        """Returns the ids [B, F] int64 of the values' canonical forms."""
        import tensorflow as tf

        from mptrec_tf.data.transform.shared_columns import join_columns, stack_columns
        from mptrec_tf.data.transform.vocabulary import apply_vocabulary

        hashed, known = _split_hashed(features)
        firsts, offset = _place_hashed(hashed)
        ids = {}
        text = _read_texts(spec, features, columns)
        if hashed:
            joined = join_columns([text[feature.name] for feature in hashed])
            forms = _make_canonicalize(spec, hashed)(joined.values, joined.column_of())
            forms = joined.spread(forms)
            for feature, column in zip(hashed, tf.unstack(forms, axis=1), strict=True):
                if feature.is_plainly_hashed:
                    bucket = tf.strings.to_hash_bucket_fast(column, feature.hash_buckets)
                    ids[feature.name] = [bucket + firsts[feature.name]]
            ids |= _hash_several(hashed, forms, firsts)
        if known:
            values = [text[feature.name] for feature in known]
            looked_up = apply_vocabulary(known, values, _make_canonicalize(spec, known)) + offset
            if not hashed:
                return looked_up
            of_column = tf.unstack(looked_up, axis=1)
            ids |= {
                feature.name: [column] for feature, column in zip(known, of_column, strict=True)
            }
        return stack_columns([of for feature in features for of in ids[feature.name]])

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
        _, rows = _place_hashed(hashed)
        if known:
            rows += get_vocabulary_size(transform) + sum(f.unknown_ids - 1 for f in known)
        return rows

    @classmethod
    def id_ranges(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Categorical"],
        transform: "tft.TFTransformOutput",
    ) -> list[tuple[int, int, int]]:
        """Returns (column, first id, number of ids) of each column; features may share their ids.

        Raises:
          ValueError: if the graph lacks a vocabulary that a feature needs.
        """
        from mptrec_tf.data.transform.vocabulary import count_ids

        del spec
        hashed, known = _split_hashed(features)
        firsts, end = _place_hashed(hashed)
        sizes = {feature.name: feature.hash_buckets for feature in hashed}
        for name, size in count_ids(transform, known).items() if known else ():
            sizes[name], firsts[name] = size, end
            end += size
        return [
            (column, firsts[feature.name], sizes[feature.name])
            for column, feature in enumerate(cls.column_features(features))
        ]

    @classmethod
    def tables(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Categorical"],
        transform: "tft.TFTransformOutput",
    ) -> tuple[Table, ...]:
        """Returns one embedding table for each width; none if no feature has its own."""
        widths = [feature.width for feature in cls.column_features(features)]
        if not any(widths):
            return ()
        return group_by_width(widths, cls.id_ranges(spec, features, transform))

    @classmethod
    def vocabularies(
        cls, features: Sequence["Categorical"], transform: "tft.TFTransformOutput"
    ) -> dict[str, list[str]]:
        """Returns the values of each feature that has a vocabulary."""
        from mptrec_tf.data.transform.vocabulary import FILE
        from mptrec_tf.data.transform.vocabulary_file import read_vocabulary

        return read_vocabulary(transform, FILE) if _split_hashed(features)[1] else {}

    @classmethod
    def missing_ids(
        cls, features: Sequence["Categorical"], transform: "tft.TFTransformOutput"
    ) -> int:
        """Returns the number of features that have an id for a missing value."""
        return sum(MISSING in of for of in cls.vocabularies(features, transform).values())

    @classmethod
    def domains(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Categorical"],
        transform: "tft.TFTransformOutput",
    ) -> list[dict[str, Any]]:
        """Returns the number of buckets, or the known values, the most frequent first."""
        del spec
        known = cls.vocabularies(features, transform)
        domains = []
        for feature in features:
            if feature.hash_buckets is not None:
                domain = {"hash_buckets": feature.hash_buckets}
                if not feature.is_plainly_hashed:
                    domain |= {"hashes": feature.hashes, "table": feature.table}
                domains.append(domain)
                continue
            values = known[feature.name][:-1]  # the last one stands for all others
            shown = [MISSING_SHOWN if v == MISSING else v for v in values[:MOST_VALUES]]
            domains.append({"known_values": len(values), "values": shown})
            if feature.oov_buckets is not None:
                domains[-1]["oov_buckets"] = feature.oov_buckets
        return domains

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns a readable description of one item of `domains`."""
        if "hash_buckets" in domain:
            times = f" by {domain['hashes']} functions" if domain.get("hashes", 1) > 1 else ""
            table = f" of table {domain['table']}" if domain.get("table") else ""
            return f"any text, hashed{times} to {domain['hash_buckets']:,}{table}"
        others = f", others hashed to {domain['oov_buckets']:,}" if "oov_buckets" in domain else ""
        return f"any text, {domain['known_values']:,} values known{others}"

    @classmethod
    def layer(cls, shape: InputShape, embedding: Embedding) -> "keras.layers.Layer":
        """Returns the embedding table of all categorical features, named "embedding"."""
        return cls.id_layer(shape, embedding, "embedding")


def _read_texts(
    spec: "DatasetSpec", features: Sequence[Categorical], columns: Mapping[str, "tf.Tensor"]
) -> "dict[str, tf.Tensor]":
    """Returns the features' columns as texts, by name; numbers in their canonical form."""
    import tensorflow as tf

    from mptrec_tf.data.transform.canonical_graph import format_numbers
    from mptrec_tf.data.transform.shared_columns import join_columns

    texts = {f.name: columns[f.name] for f in features if f.raw_type(spec) == TEXT}
    numbers = [f.name for f in features if f.raw_type(spec) != TEXT]
    if numbers:
        joined = join_columns([columns[name] for name in numbers])
        forms = format_numbers(joined.values)
        optional = [name in spec.optional_numbers for name in numbers]
        if any(optional):
            missing = tf.math.is_nan(joined.values) & tf.gather(optional, joined.column_of())
            forms = tf.where(missing, MISSING, forms)
        texts |= dict(zip(numbers, joined.split(forms), strict=True))
    return texts


def _split_hashed(
    features: Sequence[Categorical],
) -> tuple[list[Categorical], list[Categorical]]:
    """Returns the hashed features, and those with a vocabulary."""
    hashed = [f for f in features if f.hash_buckets is not None]
    return hashed, [f for f in features if f.hash_buckets is None]


def _place_hashed(hashed: Sequence[Categorical]) -> tuple[dict[str, int], int]:
    """Returns the first id of each hashed feature, by name, and the number of their ids."""
    firsts: dict[str, int] = {}
    tables: dict[str, int] = {}
    end = 0
    for feature in hashed:
        if feature.table is not None and feature.table in tables:
            firsts[feature.name] = tables[feature.table]
            continue
        firsts[feature.name] = end
        if feature.table is not None:
            tables[feature.table] = end
        end += feature.hash_buckets
    return firsts, end


def _hash_several(
    hashed: Sequence[Categorical], forms: "tf.Tensor", firsts: Mapping[str, int]
) -> "dict[str, list[tf.Tensor]]":
    """Returns the ids [B] of the features that are not plainly hashed, a list for each.

    A text before the value makes hash functions, and columns of one table, differ. One op hashes
    for all features.

    Args:
      hashed: The hashed features.
      forms: [B, n]. Their values.
      firsts: The first id of each, by name.
    """
    import tensorflow as tf

    lookups = [
        (place, feature, number)
        for place, feature in enumerate(hashed)
        for number in range(feature.hashes)
        if not feature.is_plainly_hashed
    ]
    if not lookups:
        return {}
    salts = [f"{f.name if f.table else ''}\t{number}\t" for _, f, number in lookups]
    buckets = tf.constant([f.hash_buckets for _, f, _ in lookups], tf.int64)
    first = tf.constant([firsts[f.name] for _, f, _ in lookups], tf.int64)
    values = tf.gather(forms, [place for place, _, _ in lookups], axis=1)
    salted = tf.strings.join([tf.broadcast_to(salts, tf.shape(values)), values])
    ids = tf.strings.to_hash_bucket_fast(salted, 2**62) % buckets + first
    of_feature: dict[str, list[tf.Tensor]] = {}
    for (_, feature, _), column in zip(lookups, tf.unstack(ids, axis=1), strict=True):
        of_feature.setdefault(feature.name, []).append(column)
    return of_feature


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
