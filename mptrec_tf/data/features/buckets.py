"""Buckets: a number as one of a few ids, by the quantiles of the training rows.

A missing number has an id of its own, the last of its feature. A column may also be numeric, so
that the model reads both the number and the bucket's embedding.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.base import NUMBER, Feature
from mptrec_tf.data.features.input_shape import Table
from mptrec_tf.data.features.widths import find_width_problem, group_by_width
from mptrec_tf.storage.plain import added

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_transform as tft

    from mptrec_tf.data.spec import DatasetSpec

_EDGES = "bucket_edges"
MOST_BUCKETS = 1024


@dataclasses.dataclass(frozen=True)
class Buckets(Feature):
    """A number as one of a few ids.

    Attributes:
      name: str. The raw column, read as a number that may be missing.
      buckets: int. At most so many ids, each with about as many training rows; a value with more
        rows than that has an id of its own.
      width: Optional int. The width of its embeddings. Defaults to the model's.

    Example:
      >>> Buckets("price", buckets=10)
      Buckets(name='price', buckets=10, width=None)
    """

    section = "buckets"
    reads = (NUMBER,)
    takes_shared = True
    dtype = "int64"

    buckets: int = 20
    width: int | None = added(None)

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        del spec
        if not 2 <= self.buckets <= MOST_BUCKETS:
            yield f"{self.name!r}: buckets must be 2 to {MOST_BUCKETS}, not {self.buckets}"
        yield from find_width_problem(self, self.width)

    @property
    def takes_missing(self) -> bool:
        """Whether it takes NaN for a missing number."""
        return True

    @classmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Buckets"],
        columns: Mapping[str, "tf.Tensor"],
    ) -> "tf.Tensor":
        """Returns the ids [B, N] int64."""
        import numpy as np
        import tensorflow as tf

        from mptrec_tf.data.transform.numbers import mark_missing
        from mptrec_tf.data.transform.quantile_edges import find_buckets, fit_edges
        from mptrec_tf.data.transform.shared_columns import stack_columns

        sizes = np.array([f.buckets for f in features], np.int64)
        values = stack_columns([columns[f.name] for f in features])
        values = mark_missing(values, spec.missing_values)
        # `domains` looks it up by name.
        edges = tf.identity(fit_edges(values, sizes.tolist()), name=_EDGES)
        ids = tf.where(tf.math.is_nan(values), sizes, find_buckets(values, edges))
        return ids + (np.cumsum(sizes + 1) - sizes - 1)

    @classmethod
    def rows(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Buckets"],
        transform: "tft.TFTransformOutput",
    ) -> int:
        """Returns the number of ids of all features."""
        del spec, transform
        return sum(feature.buckets + 1 for feature in features)

    @classmethod
    def id_ranges(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Buckets"],
        transform: "tft.TFTransformOutput",
    ) -> list[tuple[int, int, int]]:
        """Returns (column, first id, number of ids) of each feature."""
        del spec, transform
        ranges, first = [], 0
        for column, feature in enumerate(features):
            ranges.append((column, first, feature.buckets + 1))
            first += feature.buckets + 1
        return ranges

    @classmethod
    def tables(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Buckets"],
        transform: "tft.TFTransformOutput",
    ) -> tuple[Table, ...]:
        """Returns one embedding table for each width; none if no feature has its own."""
        widths = [feature.width for feature in features]
        return group_by_width(widths, cls.id_ranges(spec, features, transform))

    @classmethod
    def missing_ids(cls, features: Sequence["Buckets"], transform: "tft.TFTransformOutput") -> int:
        """Returns the number of features, each of which has an id for a missing number."""
        del transform
        return len(features)

    @classmethod
    def domains(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Buckets"],
        transform: "tft.TFTransformOutput",
    ) -> list[dict[str, Any]]:
        """Returns the `edges` of each feature: the smallest value of each bucket but the first."""
        import numpy as np

        from mptrec_tf.data.transform.statistics import read_fitted_values

        del spec
        edges = read_fitted_values(transform, (_EDGES,))[_EDGES]
        return [
            {"edges": [float(str(edge)) for edge in of if np.isfinite(edge)]}
            for _, of in zip(features, edges, strict=True)
        ]

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns a readable description of one item of `domains`."""
        edges = domain["edges"]
        between = f", from {edges[0]:.9g} to {edges[-1]:.9g}" if edges else ""
        return f"any finite number or none; {len(edges) + 1} buckets{between}"
