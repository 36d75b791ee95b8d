"""Numeric features: numbers, scaled by statistics of the training rows.

The packed tensor holds the N numbers and then, for each feature whose numbers may be missing, an
indicator: 1 where the number is missing, and its place is filled; else 0.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.base import NUMBER, Feature
from mptrec_tf.storage.plain import added

if TYPE_CHECKING:
    import tensorflow as tf
    import tensorflow_transform as tft

    from mptrec_tf.data.spec import DatasetSpec

SCALES = ("min_max", "standard", "log")
REJECT, MEAN = "reject", "mean"
_SHIFT, _SCALE, _VARIES = "numeric_shift", "numeric_scale", "numeric_varies"
_MEAN = "numeric_mean"
# Share of the rows with one value above which there is a warning.
_MOSTLY = 0.5


@dataclasses.dataclass(frozen=True)
class Numeric(Feature):
    """A numeric feature.

    Attributes:
      name: str. The raw column, read as a finite float.
      scale: str. "min_max" to [0, 1] (clipped), "standard" for (v - mean) / deviation, or
        "log" for the standard score of sign(v) * log(1 + |v|). Statistics are those of the
        training rows that have a value; a column that is constant there becomes 0.
      missing: str. What to do where a number is missing: "reject" the row, or fill in the "mean" of
        the training rows that have one (on a log scale of the logarithms), or a number, and tell
        the model so by an indicator beside it.

    Example:
      >>> Numeric("price", scale="log")
      Numeric(name='price', scale='log', missing='reject')
    """

    section = "numeric"
    reads = (NUMBER,)
    takes_shared = True
    always_listed = True
    number_hint = "; where some are missing, set `missing: mean` (or a number) for it in the spec"

    scale: str = SCALES[0]
    missing: str = added(REJECT)

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        del spec
        if self.scale not in SCALES:
            yield f"{self.name!r}: scale must be one of {', '.join(SCALES)}, not {self.scale!r}"
        if self.missing not in (REJECT, MEAN) and not math.isfinite(_to_number(self.missing)):
            yield (
                f"{self.name!r}: missing must be {REJECT}, {MEAN} or a number that is filled in, "
                f"not {self.missing!r}"
            )

    @property
    def takes_missing(self) -> bool:
        """Whether it takes NaN for a missing number."""
        return self.missing != REJECT

    @property
    def short_kind(self) -> str:
        """The kind's name in a cell of a table."""
        return "number"

    @classmethod
    def columns(cls, features: Sequence["Numeric"]) -> int:
        """Returns how many numbers and indicators the packed tensor has."""
        return len(cls.column_features(features))

    @classmethod
    def column_features(cls, features: Sequence["Numeric"]) -> "list[Feature]":
        """Returns the feature of each column: those of the numbers, then of the indicators."""
        return [*features, *(f for f in features if f.takes_missing)]

    @classmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Numeric"],
        columns: Mapping[str, "tf.Tensor"],
    ) -> "tf.Tensor":
        """Returns the scaled numbers [B, N] float32, and the indicators of missing ones."""
        import tensorflow as tf
        import tensorflow_transform as tft

        from mptrec_tf.data.transform.moments import fit_moments
        from mptrec_tf.data.transform.numbers import scale_logs
        from mptrec_tf.data.transform.shared_columns import stack_columns

        if any(f.takes_missing for f in features):
            return _pack_optional(spec, features, columns)
        # Statistics of large numbers with small differences need more than float32.
        raw = tf.cast(stack_columns([columns[f.name] for f in features]), tf.float64)
        values = scale_logs(raw, [f.scale == "log" for f in features])
        low = tft.min(values, reduce_instance_dims=False)
        high = tft.max(values, reduce_instance_dims=False)
        mean, variance = fit_moments(values)
        deviation = tf.sqrt(variance)
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
          read. None of these if an older version fitted the graph. `missing`, what is filled in
          for a missing number, where it may be missing.
        """
        from mptrec_tf.data.transform.statistics import read_fitted_values

        del spec
        filled = read_fitted_values(transform, (_SHIFT, _SCALE, _VARIES, _MEAN))
        fitted = {name: filled[name] for name in (_SHIFT, _SCALE, _VARIES) if name in filled}
        domains = []
        for i, feature in enumerate(features):
            domain: dict[str, Any] = {"finite": True, "scale": feature.scale}
            if len(fitted) == 3:
                domain |= _describe_statistics(feature, *(float(fitted[n][i]) for n in fitted))
            if feature.takes_missing:
                domain["missing"] = _describe_filled(feature, filled.get(_MEAN), i)
            domains.append(domain)
        return domains

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns a readable description of one item of `domains`."""
        if "missing" in domain:
            rest = {k: v for k, v in domain.items() if k != "missing"}
            return f"{cls.describe_domain(rest)}; where it is missing: {domain['missing']}"
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
            if of["most_frequent"] is None:
                yield (
                    f"no training row has a number in column {feature.name!r}, so that the model "
                    "does not read it; give rows that have one, or leave the column out."
                )
                continue
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


def _to_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _pack_optional(
    spec: "DatasetSpec", features: Sequence[Numeric], columns: Mapping[str, "tf.Tensor"]
) -> "tf.Tensor":
    """Returns what `pack` does, for numbers some of which may be missing.

    A number that needs a value and lacks it stays NaN, as without this.
    """
    import tensorflow as tf

    from mptrec_tf.data.transform.numbers import fit_statistics, mark_missing, scale_logs
    from mptrec_tf.data.transform.shared_columns import stack_columns

    takes_missing = tf.constant([f.takes_missing for f in features])
    raw = stack_columns([columns[f.name] for f in features])
    raw = tf.where(takes_missing, mark_missing(raw, spec.missing_values), raw)
    raw = tf.cast(raw, tf.float64)
    missing = tf.math.is_nan(raw) & takes_missing
    is_log = [f.scale == "log" for f in features]
    values = scale_logs(raw, is_log)
    of = fit_statistics(values)
    is_min_max = tf.constant([f.scale == "min_max" for f in features])
    # `domains` looks up these four by name.
    mean = tf.identity(of.mean, name=_MEAN)
    shift = tf.where(is_min_max, of.low, mean, name=_SHIFT)
    scale = tf.where(is_min_max, of.high - of.low, of.deviation, name=_SCALE)
    varies = tf.greater(of.high, of.low, name=_VARIES)
    constants = [0.0 if f.missing in (REJECT, MEAN) else float(f.missing) for f in features]
    constants = tf.constant(constants, tf.float64)
    constants = scale_logs(constants, is_log)
    is_mean = tf.constant([f.missing == MEAN for f in features])
    values = tf.where(missing, tf.where(is_mean, mean, constants), values)
    scaled = tf.math.divide_no_nan(values - shift, tf.where(varies, scale, 0.0))
    scaled = tf.where(is_min_max, tf.clip_by_value(scaled, 0.0, 1.0), scaled)
    places = [i for i, f in enumerate(features) if f.takes_missing]
    indicators = tf.cast(tf.gather(missing, places, axis=1), tf.float32)
    return tf.concat([tf.cast(scaled, tf.float32), indicators], axis=1)


def _describe_filled(feature: Numeric, means: Any, index: int) -> str:
    """Returns what is filled in for a missing number."""
    if feature.missing != MEAN or means is None:
        return feature.missing
    logs = " of the logarithms" if feature.scale == "log" else ""
    return f"the mean{logs}, {float(means[index]):.6g}"


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
