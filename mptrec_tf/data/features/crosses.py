"""Crosses: what values of several columns come together, hashed to ids."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.canonical import MISSING
from mptrec_tf.data.features.base import NUMBER, TEXT, Feature
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.input_shape import Table
from mptrec_tf.data.features.widths import find_width_problem, group_by_width
from mptrec_tf.storage.plain import added

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_transform as tft

    from mptrec_tf.data.spec import DatasetSpec


@dataclasses.dataclass(frozen=True)
class Cross(Feature):
    """A combination of the values of two or more columns as one id.

    Attributes:
      name: str. A name for it, which is no column.
      of: The raw columns, read as categories: in canonical form, a missing value is one, and so is
        each number.
      hash_buckets: int. The number of ids that combinations are hashed to.
      width: Optional int. The width of its embeddings. Defaults to the model's.

    Example:
      >>> Cross("city_x_device", of=("city", "device"))
      Cross(name='city_x_device', of=('city', 'device'), hash_buckets=10000, width=None)
    """

    section = "crosses"
    reads = (TEXT, NUMBER)
    takes_shared = True
    dtype = "int64"

    of: tuple[str, ...] = ()
    hash_buckets: int = 10_000
    width: int | None = added(None)

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        if len(set(self.of)) < max(2, len(self.of)):
            yield (
                f"{self.name!r}: a cross is `of` two or more columns, each once, not "
                f"{', '.join(self.of) or 'none'}"
            )
        if not self.name or self.name in spec.feature_names:
            yield f"cross {self.name!r} needs a name that is not a column's"
        if self.hash_buckets < 1:
            yield f"{self.name!r}: hash_buckets must be 1 or more, not {self.hash_buckets}"
        yield from find_width_problem(self, self.width)

    def sources(self) -> tuple[Feature, ...]:
        """Returns the features through which it reads its raw columns."""
        return tuple(Categorical(column) for column in self.of)

    @property
    def short_kind(self) -> str:
        """The kind's name in a cell of a table."""
        return f"cross of {', '.join(self.of)}"

    @classmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Cross"],
        columns: Mapping[str, "tf.Tensor"],
    ) -> "tf.Tensor":
        """Returns the ids [B, N] int64. All crosses are joined, and hashed, by one op each."""
        import numpy as np
        import tensorflow as tf

        from mptrec_tf.data.transform.canonical_graph import canonicalize_text, format_numbers
        from mptrec_tf.data.transform.shared_columns import join_columns

        names = list(dict.fromkeys(column for feature in features for column in feature.of))
        texts = []
        for name in names:
            column = columns[name]
            if spec.column_types[name] == NUMBER:
                text = format_numbers(column)
                column = tf.where(tf.math.is_nan(column), MISSING, text)
            texts.append(column)
        joined = join_columns(texts)
        forms = joined.spread(canonicalize_text(joined.values, spec.missing_values))
        # Crosses of fewer columns than others are of empty ones, too.
        forms = tf.pad(forms, [[0, 0], [0, 1]], constant_values="")
        most = max(len(feature.of) for feature in features)
        places = [
            [names.index(c) for c in f.of] + [len(names)] * (most - len(f.of)) for f in features
        ]
        crossed = tf.strings.reduce_join(tf.gather(forms, places, axis=1), axis=2, separator="\0")
        buckets = np.array([feature.hash_buckets for feature in features], np.int64)
        return tf.strings.to_hash_bucket_fast(crossed, 2**62) % buckets + (
            np.cumsum(buckets) - buckets
        )

    @classmethod
    def rows(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Cross"],
        transform: "tft.TFTransformOutput",
    ) -> int:
        """Returns the number of ids of all crosses."""
        del spec, transform
        return sum(feature.hash_buckets for feature in features)

    @classmethod
    def id_ranges(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Cross"],
        transform: "tft.TFTransformOutput",
    ) -> list[tuple[int, int, int]]:
        """Returns (column, first id, number of ids) of each cross."""
        del spec, transform
        ranges, first = [], 0
        for column, feature in enumerate(features):
            ranges.append((column, first, feature.hash_buckets))
            first += feature.hash_buckets
        return ranges

    @classmethod
    def tables(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Cross"],
        transform: "tft.TFTransformOutput",
    ) -> tuple[Table, ...]:
        """Returns one embedding table for each width; none if no feature has its own."""
        widths = [feature.width for feature in features]
        return group_by_width(widths, cls.id_ranges(spec, features, transform))

    @classmethod
    def domains(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Cross"],
        transform: "tft.TFTransformOutput",
    ) -> list[dict[str, Any]]:
        """Returns the columns and the number of buckets of each cross."""
        del spec, transform
        return [{"of": list(f.of), "hash_buckets": f.hash_buckets} for f in features]

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns a readable description of one item of `domains`."""
        return f"{' and '.join(domain['of'])} together, hashed to {domain['hash_buckets']:,}"
