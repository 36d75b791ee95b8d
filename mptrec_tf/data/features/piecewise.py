"""Piecewise linear numbers: how far a number is through each of a few pieces of its range.

    x_t = clip((v - k_t) / (k_(t+1) - k_t), 0, 1),   t = 1 .. T

with knots k_1 (the smallest value of the training rows) to k_(T+1) (the largest), between which are
about equally many training rows. A linear layer of x is any piecewise linear function of the number
that bends at the knots, where one of the number itself is a straight line. Gorishniy, Rubachev and
Babenko, *On Embeddings for Numerical Features in Tabular Deep Learning*, NeurIPS 2022,
https://arxiv.org/abs/2203.05556 (equation 1; here the first and the last piece are clipped, too).

The packed tensor [B, N] holds one number for each feature, the position p = 1 + sum_t x_t, or 0
where the number is missing; a layer without weights makes the T pieces of it.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.base import NUMBER, Feature
from mptrec_tf.data.features.input_shape import Embedding, InputShape

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_transform as tft

    from mptrec_tf.data.spec import DatasetSpec
    from mptrec_tf.keras import keras

SCALES = ("linear", "log")
_KNOTS = "piecewise_knots"
MOST_PIECES = 256


@dataclasses.dataclass(frozen=True)
class Piecewise(Feature):
    """A number as the pieces of its range that lie below it.

    Attributes:
      name: str. The raw column, read as a number that may be missing.
      pieces: int. T, at most so many; fewer for a column of fewer values, each of which is a knot
        then. A value that more training rows have than a piece should is a knot, and so is the next
        one.
      scale: str. How values between two knots are placed: "linear", or "log" by
        sign(v) * log(1 + |v|), for a long tail.

    Example:
      >>> Piecewise("age", pieces=8)
      Piecewise(name='age', pieces=8, scale='linear')
    """

    section = "piecewise"
    reads = (NUMBER,)
    takes_shared = True

    pieces: int = 16
    scale: str = SCALES[0]

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        del spec
        if not 2 <= self.pieces <= MOST_PIECES:
            yield f"{self.name!r}: pieces must be 2 to {MOST_PIECES}, not {self.pieces}"
        if self.scale not in SCALES:
            yield f"{self.name!r}: scale must be one of {', '.join(SCALES)}, not {self.scale!r}"

    @property
    def takes_missing(self) -> bool:
        """Whether it takes NaN for a missing number."""
        return True

    @property
    def short_kind(self) -> str:
        """The kind's name in a cell of a table."""
        return "pieces"

    @classmethod
    def sizes(cls, features: Sequence["Piecewise"]) -> tuple[int, ...]:
        """Returns the pieces of each feature."""
        return tuple(feature.pieces for feature in features)

    @classmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Piecewise"],
        columns: Mapping[str, "tf.Tensor"],
    ) -> "tf.Tensor":
        """Returns the positions [B, N] float32."""
        import tensorflow as tf

        from mptrec_tf.data.transform.numbers import mark_missing, scale_logs
        from mptrec_tf.data.transform.quantile_edges import find_positions, fit_knots
        from mptrec_tf.data.transform.shared_columns import stack_columns

        raw = stack_columns([columns[feature.name] for feature in features])
        raw = mark_missing(raw, spec.missing_values)
        # `domains` looks it up by name.
        knots = tf.identity(fit_knots(raw, cls.sizes(features)), name=_KNOTS)
        # Large numbers with small differences need more than float32.
        raw, knots = tf.cast(raw, tf.float64), tf.cast(knots, tf.float64)
        is_log = [feature.scale == "log" for feature in features]
        values = scale_logs(raw, is_log)
        knots = tf.transpose(scale_logs(tf.transpose(knots), is_log))
        positions = 1.0 + find_positions(values, knots)
        positions = tf.where(tf.math.is_nan(values), tf.zeros_like(positions), positions)
        return tf.cast(positions, tf.float32)

    @classmethod
    def domains(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Piecewise"],
        transform: "tft.TFTransformOutput",
    ) -> list[dict[str, Any]]:
        """Returns the `knots` of each feature, ascending; none of a column without values."""
        import numpy as np

        from mptrec_tf.data.transform.statistics import read_fitted_values

        del spec
        knots = read_fitted_values(transform, (_KNOTS,))[_KNOTS]
        return [
            {"scale": feature.scale}
            | {"knots": [float(str(knot)) for knot in of if np.isfinite(knot)]}
            for feature, of in zip(features, knots, strict=True)
        ]

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns a readable description of one item of `domains`."""
        knots = domain["knots"]
        if len(knots) < 2:
            return "any finite number or none; the same in all training rows, and not read"
        pieces = f"{len(knots) - 1} pieces from {knots[0]:.9g} to {knots[-1]:.9g}"
        return f"any finite number or none; {pieces}, beyond which it counts as these"

    @classmethod
    def input_width(cls, shape: InputShape, embedding_width: int) -> int:
        """Returns the width of the kind's part of x: all pieces, and an indicator each."""
        del embedding_width
        return sum(shape.sizes) + shape.columns

    @classmethod
    def layer(cls, shape: InputShape, embedding: Embedding) -> "keras.layers.Layer":
        """Returns the layer from positions to pieces."""
        from mptrec_tf.layers.piecewise import Pieces

        del embedding
        return Pieces(shape.sizes, name=shape.kind)
