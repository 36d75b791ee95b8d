"""Numeric features: numbers, scaled by statistics of the training rows."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.base import NUMBER, Feature

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_transform as tft

    from mptrec_tf.data.spec import DatasetSpec

SCALES = ("min_max", "standard", "log")
_SHIFT, _SCALE, _VARIES = "numeric_shift", "numeric_scale", "numeric_varies"
# Share of the rows with one value above which there is a warning.
_MOSTLY = 0.5


@dataclasses.dataclass(frozen=True)
class Numeric(Feature):
    """A numeric feature.

    Attributes:
      name: str. The raw column, read as a finite float.
      scale: str. "min_max" to [0, 1] (clipped), "standard" for (v - mean) / deviation, or
        "log" for the standard score of sign(v) * log(1 + |v|). Statistics are those of the
        training rows; a column that is constant there becomes 0.

    Example:
      >>> Numeric("price", scale="log")
      Numeric(name='price', scale='log')
    """

    section = "numeric"
    reads = (NUMBER,)
    always_listed = True

    scale: str = SCALES[0]

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        del spec
        if self.scale not in SCALES:
            yield f"{self.name!r}: scale must be one of {', '.join(SCALES)}, not {self.scale!r}"

    @property
    def short_kind(self) -> str:
        """The kind's name in a cell of a table."""
        return "number"

    @classmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Numeric"],
        columns: Mapping[str, "tf.Tensor"],
    ) -> "tf.Tensor":
        """Returns the scaled numbers [B, N] float32."""
        import tensorflow as tf
        import tensorflow_transform as tft

        del spec
        # Statistics of large numbers with small differences need more than float32.
        raw = tf.cast(tf.stack([columns[f.name] for f in features], axis=1), tf.float64)
        is_log = tf.constant([f.scale == "log" for f in features])
        values = tf.where(is_log, tf.sign(raw) * tf.math.log1p(tf.abs(raw)), raw)
        low = tft.min(values, reduce_instance_dims=False)
        high = tft.max(values, reduce_instance_dims=False)
        mean = tft.mean(values, reduce_instance_dims=False)
        deviation = tf.sqrt(tft.var(values, reduce_instance_dims=False))
        is_min_max = tf.constant([f.scale == "min_max" for f in features])
        # `domains` looks up these three by name.
        shift = tf.where(is_min_max, low, mean, name=_SHIFT)
        scale = tf.where(is_min_max, high - low, deviation, name=_SCALE)
        varies = tf.greater(high, low, name=_VARIES)
        scaled = tf.math.divide_no_nan(values - shift, tf.where(varies, scale, 0.0))
        scaled = tf.where(is_min_max, tf.clip_by_value(scaled, 0.0, 1.0), scaled)
        return tf.cast(scaled, tf.float32)

    @classmethod
    def domains(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Numeric"],
        transform: "tft.TFTransformOutput",
    ) -> list[dict[str, Any]]:
        """Returns the statistics of each feature in the training rows.

        Returns:
          For "min_max" `low` and `high`, the smallest and the largest value, to which others are
          clipped. For "standard" `mean` and `deviation`; for "log" those of
          sign(v) * log(1 + |v|). `constant` for a feature with one value, which the model does not
          read. None of these if an older version fitted the graph.
        """
        from mptrec_tf.data.transform.statistics import read_fitted_values

        del spec
        fitted = read_fitted_values(transform, (_SHIFT, _SCALE, _VARIES))
        domains = []
        for i, feature in enumerate(features):
            domain: dict[str, Any] = {"finite": True, "scale": feature.scale}
            if len(fitted) == 3:
                domain |= _describe_statistics(feature, *(float(fitted[n][i]) for n in fitted))
            domains.append(domain)
        return domains

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns a readable description of one item of `domains`."""
        if "constant" in domain:
            return "any finite number; the same in all training rows, and not read"
        if "low" in domain:
            low, high = domain["low"], domain["high"]
            return f"{low:.9g} to {high:.9g}; finite numbers beyond count as these"
        if "mean" not in domain:
            return "any finite number"
        what = "log(1 + |v|) with its sign" if domain["scale"] == "log" else "in the training rows"
        mean, deviation = domain["mean"], domain["deviation"]
        return f"any finite number; {what}: mean {mean:.4g} ± {deviation:.4g}"

    @classmethod
    def warnings(
        cls, spec: "DatasetSpec", features: Sequence["Numeric"], survey: Mapping[str, Any]
    ) -> Iterator[str]:
        """Yields a sentence about features that are mostly one value and only numeric."""
        mostly_one = []
        for feature in features:
            of = survey["columns"][feature.name]
            share = of["most_frequent"]["rows"] / survey["rows"]
            both = sum(other.name == feature.name for other in spec.features) > 1
            if share > _MOSTLY and of["distinct"] > 2 and not both:
                most = of["most_frequent"]["value"]
                mostly_one.append(f"{feature.name} ({share:.0%} are {most:g})")
        if mostly_one:
            yield (
                "more than half of the rows have one value in these numeric features: "
                f"{', '.join(mostly_one)}; list them under categorical, too (with a min_count), so "
                "that the model can distinguish this value from others."
            )


def _describe_statistics(
    feature: Numeric, shift: float, scale: float, varies: float
) -> dict[str, Any]:
    if not varies:
        return {"constant": True}
    if feature.scale == "min_max":
        return {"low": _round_float32(shift), "high": _round_float32(shift + scale)}
    return {"mean": shift, "deviation": scale}


def _round_float32(value: float) -> float:
    """Returns the shortest decimal of a float32: 19.99 and not 19.989999771118164."""
    import numpy as np

    return float(str(np.float32(value)))
