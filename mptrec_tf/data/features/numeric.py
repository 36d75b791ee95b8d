"""Numeric features: a number, scaled by what the training rows hold."""

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
# A share of the rows that is worth a sentence where one value holds it.
_MOSTLY = 0.5


@dataclasses.dataclass(frozen=True)
class Numeric(Feature):
    """A numeric feature.

    Attributes:
      name: str. The raw column, read as a finite float.
      scale: str. "min_max" to [0, 1] (clipped to it), "standard" for (v - mean) / deviation, or
        "log" for the standard score of sign(v) * log(1 + |v|). Statistics come from the
        training rows; a column that is constant there becomes 0.
    """

    section = "numeric"
    reads = (NUMBER,)
    always_listed = True

    scale: str = SCALES[0]

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields what is wrong with the feature's own fields, in sentences."""
        del spec
        if self.scale not in SCALES:
            yield f"{self.name!r}: scale must be one of {', '.join(SCALES)}, not {self.scale!r}"

    @property
    def short_kind(self) -> str:
        """What it is, in a cell of a table."""
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
        # Statistics of large numbers that differ little need more than float32.
        raw = tf.cast(tf.stack([columns[f.name] for f in features], axis=1), tf.float64)
        is_log = tf.constant([f.scale == "log" for f in features])
        values = tf.where(is_log, tf.sign(raw) * tf.math.log1p(tf.abs(raw)), raw)
        low = tft.min(values, reduce_instance_dims=False)
        high = tft.max(values, reduce_instance_dims=False)
        mean = tft.mean(values, reduce_instance_dims=False)
        deviation = tf.sqrt(tft.var(values, reduce_instance_dims=False))
        is_min_max = tf.constant([f.scale == "min_max" for f in features])
        # `domains` looks these three up by their names.
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
        """Returns what the graph's analyzers found of each feature.

        Returns:
          For "min_max" `low` and `high`, the training rows' smallest and largest value: what lies
          beyond counts as these. For "standard" `mean` and `deviation` of the training rows, for
          "log" those of sign(v) * log(1 + |v|). `constant` for a feature that is the same in all
          training rows: it is not read. None of these where an older version fitted the graph.
        """
        from mptrec_tf.data.transform.statistics import read_fitted_values

        del spec
        fitted = read_fitted_values(transform, (_SHIFT, _SCALE, _VARIES))
        found = []
        for i, feature in enumerate(features):
            domain: dict[str, Any] = {"finite": True, "scale": feature.scale}
            if len(fitted) == 3:
                domain |= _statistics(feature, *(float(fitted[n][i]) for n in fitted))
            found.append(domain)
        return found

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns what `domains` knows of a feature, for people."""
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
        """Yields a sentence about numbers that are mostly one value, and are nothing else, too."""
        found = []
        for feature in features:
            of = survey["columns"][feature.name]
            share = of["most_frequent"]["rows"] / survey["rows"]
            both = sum(other.name == feature.name for other in spec.features) > 1
            if share > _MOSTLY and of["distinct"] > 2 and not both:
                found.append(f"{feature.name} ({share:.0%} are {of['most_frequent']['value']:g})")
        if found:
            yield (
                "one value holds more than half of the rows of these numbers: "
                f"{', '.join(found)}; list them under categorical, too (with a min_count), so that "
                "the model can tell it, and others, apart."
            )


def _statistics(feature: Numeric, shift: float, scale: float, varies: float) -> dict[str, Any]:
    if not varies:
        return {"constant": True}
    if feature.scale == "min_max":
        return {"low": _shortest(shift), "high": _shortest(shift + scale)}
    return {"mean": shift, "deviation": scale}


def _shortest(value: float) -> float:
    """A number that was read as float32, as it is written: 19.99 and not 19.989999771118164."""
    import numpy as np

    return float(str(np.float32(value)))
