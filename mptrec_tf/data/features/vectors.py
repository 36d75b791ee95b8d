"""Vectors: pre-trained embeddings of a fixed size, a list of numbers in each row.

Each dimension becomes its standard score over the training rows. Embeddings of length 1 have
dimensions with a deviation of 1 / sqrt(size), far below that of other inputs, and layers would
learn little of them. `scale: none` leaves them as they are.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mptrec_tf.data.features.base import NUMBERS, Feature
from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf
    import tensorflow_transform as tft

    from mptrec_tf.data.list_values import ListSurvey
    from mptrec_tf.data.sources.block import Block
    from mptrec_tf.data.spec import DatasetSpec

SCALES = ("standard", "none")


@dataclasses.dataclass(frozen=True)
class Vector(Feature):
    """A vector of numbers.

    Attributes:
      name: str. The raw column: a list of numbers, or a text of them with a separator.
      size: int. How many numbers each row has.
      scale: str. "standard" for (v - mean) / deviation of each dimension, 0 where it is constant in
        the training rows; or "none".
      separator: str. What separates the numbers in a text; a space stands for any white space.

    Example:
      >>> Vector("title", 64).scale
      'standard'
    """

    section = "vectors"
    reads = (NUMBERS,)

    size: int
    scale: str = SCALES[0]
    separator: str = " "

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        del spec
        if self.size < 2:
            yield f"{self.name!r}: size must be 2 or more, not {self.size}; list it under numeric"
        if self.scale not in SCALES:
            yield f"{self.name!r}: scale must be one of {', '.join(SCALES)}, not {self.scale!r}"

    @property
    def values_per_row(self) -> int:
        """The size."""
        return self.size

    @property
    def short_kind(self) -> str:
        """The kind's name in a cell of a table."""
        return "vector"

    def read_vectors(self, block: "Block") -> np.ndarray:
        """Returns the vectors of n rows, [n, size] float32.

        Raises:
          InputError: for a missing column, another size, or what is not a finite number, with its
            place.
        """
        vectors = self._read_lists(block)
        if vectors is not None:
            return vectors
        column = block.raw(self.name)
        vectors = np.zeros([len(block), self.size], np.float32)
        for row, value in enumerate(column):
            problem, vectors[row] = self._read(value)
            if problem:
                raise InputError(f"{block.where(row)}, {problem}.")
        return vectors

    def _read_lists(self, block: "Block") -> np.ndarray | None:
        """Returns the vectors of lists of numbers; None if there are others, or wrong ones."""
        block.check_column(self.name)
        if self.name not in block.lists:
            return None
        lists = block.lists[self.name]
        numbers = lists.flatten().to_numpy(zero_copy_only=False)
        if numbers.dtype.kind not in "iuf" or (lists.value_lengths().to_numpy() != self.size).any():
            return None
        with np.errstate(over="ignore"):
            numbers = numbers.astype(np.float32)
        return numbers.reshape(-1, self.size) if np.isfinite(numbers).all() else None

    def _read(self, value: Any) -> tuple[str, Any]:
        """Returns what is wrong with a row's value, if anything, and its numbers."""
        where = f"column {self.name!r}"
        if isinstance(value, str):
            separator = None if self.separator == " " else self.separator
            value = value.strip().removeprefix("[").removesuffix("]")
            value = value.split(separator) if value else []
        items = np.ravel(np.asarray(value, object)) if value is not None else np.zeros(0)
        if len(items) != self.size:
            return f"{where}: a vector of {len(items)} numbers, not {self.size}", 0.0
        try:
            with np.errstate(over="ignore"):
                numbers = items.astype(np.float32)
        except (ValueError, TypeError):
            numbers = np.full(self.size, np.nan)
        if not np.isfinite(numbers).all():
            return f"{where}: {_shorten(items)} are not finite numbers", 0.0
        return "", numbers

    def read(self, spec: "DatasetSpec", block: "Block") -> "pa.Array":
        """Returns the vectors of n rows as Arrow lists [n]."""
        import pyarrow as pa

        from mptrec_tf.data.arrow import make_lists

        del spec
        return make_lists(pa.array(self.read_vectors(block).ravel()), self.size)

    def read_request(self, spec: "DatasetSpec", block: "Block") -> np.ndarray:
        """Returns the vectors of n rows, [n, size]."""
        del spec
        return self.read_vectors(block)

    def bad_rows(self, spec: "DatasetSpec", block: "Block") -> Iterator[tuple[int, str]]:
        """Yields each row that `read` would reject, and what is wrong."""
        del spec
        if self._read_lists(block) is not None:
            return
        for row, value in enumerate(block.raw(self.name)):
            problem, _ = self._read(value)
            if problem:
                yield row, problem

    def survey_lists(self, spec: "DatasetSpec", block: "Block") -> "ListSurvey":
        """Counts the distinct vectors."""
        from mptrec_tf.data.list_values import ListSurvey

        del spec
        rows = [row.tobytes().hex() for row in self.read_vectors(block)]
        return ListSurvey(np.array(rows, object), 0, {})

    @classmethod
    def columns(cls, features: Sequence["Vector"]) -> int:
        """Returns the numbers of all vectors."""
        return sum(feature.size for feature in features)

    @classmethod
    def column_features(cls, features: Sequence["Vector"]) -> list[Feature]:
        """Returns the vector of each column."""
        return [feature for feature in features for _ in range(feature.size)]

    @classmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Vector"],
        columns: Mapping[str, "tf.Tensor"],
    ) -> "tf.Tensor":
        """Returns the scaled numbers of all vectors, [B, sum of sizes] float32."""
        import tensorflow as tf
        import tensorflow_transform as tft

        from mptrec_tf.data.transform.moments import fit_moments

        del spec
        raw = tf.concat([tf.reshape(columns[f.name], [-1, f.size]) for f in features], axis=1)
        is_standard = [f.scale == "standard" for f in features for _ in range(f.size)]
        if not any(is_standard):
            return raw
        # Statistics of numbers with small differences need more than float32.
        values = tf.cast(raw, tf.float64)
        mean, variance = fit_moments(values)
        deviation = tf.sqrt(variance)
        varies = tft.max(values, reduce_instance_dims=False) > tft.min(
            values, reduce_instance_dims=False
        )
        scaled = tf.math.divide_no_nan(values - mean, tf.where(varies, deviation, 0.0))
        return tf.where(is_standard, tf.cast(scaled, tf.float32), raw)

    @classmethod
    def domains(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Vector"],
        transform: "tft.TFTransformOutput",
    ) -> list[dict[str, Any]]:
        """Returns the sizes."""
        del spec, transform
        return [{"size": feature.size, "scale": feature.scale} for feature in features]

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns a readable description of one item of `domains`."""
        return f"{domain['size']} finite numbers"


def _shorten(items: np.ndarray) -> str:
    text = " ".join(map(str, items[:4]))
    return f"{text} ..." if len(items) > 4 else text
