"""Ages: how long before the newest training row a time is, in days, as a scaled number.

The newest time of the column in the training rows is 0. Parsed as `features.times` does; the packed
tensor holds the N ages, and then N indicators: 1 where the time is missing, whose age is the mean.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.base import TEXT, Feature
from mptrec_tf.data.features.times import check_times

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf
    import tensorflow_transform as tft

    from mptrec_tf.data.sources.block import Block
    from mptrec_tf.data.spec import DatasetSpec

SCALES = ("log", "standard")
_NEWEST, _MEAN, _DEVIATION = "ages_newest", "ages_mean", "ages_deviation"
_DAY = 86_400.0


@dataclasses.dataclass(frozen=True)
class Age(Feature):
    """The age of a time in days.

    Attributes:
      name: str. The raw column, see `data.transform.times` for what it may hold.
      scale: str. "log" for the standard score of sign(d) * log(1 + |d|) of d days, where an hour
        matters today and not a year ago, or "standard" for that of d.

    Example:
      >>> Age("published_at")
      Age(name='published_at', scale='log')
    """

    section = "ages"
    reads = (TEXT,)
    takes_shared = True

    scale: str = SCALES[0]

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        del spec
        if self.scale not in SCALES:
            yield f"{self.name!r}: scale must be one of {', '.join(SCALES)}, not {self.scale!r}"

    def read(self, spec: "DatasetSpec", block: "Block") -> "pa.Array":
        """Returns the raw column of n rows as Arrow lists [n], one text each.

        Raises:
          InputError: for a value that is neither missing nor a time, with its place.
        """
        check_times(self.name, spec, block)
        return super().read(spec, block)

    @property
    def short_kind(self) -> str:
        """The kind's name in a cell of a table."""
        return "age"

    @classmethod
    def columns(cls, features: Sequence["Age"]) -> int:
        """Returns how many ages and indicators the packed tensor has."""
        return 2 * len(features)

    @classmethod
    def column_features(cls, features: Sequence["Age"]) -> "list[Feature]":
        """Returns the feature of each column: those of the ages, then of the indicators."""
        return [*features, *features]

    @classmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Age"],
        columns: Mapping[str, "tf.Tensor"],
    ) -> "tf.Tensor":
        """Returns the scaled ages [B, N] float32, and the indicators of missing times."""
        import tensorflow as tf
        import tensorflow_transform as tft

        from mptrec_tf.data.transform.numbers import fit_statistics, scale_logs
        from mptrec_tf.data.transform.shared_columns import join_columns
        from mptrec_tf.data.transform.times import Times, parse_times

        joined = join_columns([columns[feature.name] for feature in features])
        parsed_times, _ = parse_times(joined.values, spec.missing_values)
        times = Times(*map(joined.spread, parsed_times))
        never = tf.constant(-float("inf"), tf.float64)
        newest = tft.max(tf.where(times.valid, times.seconds, never), reduce_instance_dims=False)
        # `domains` looks up these three by name.
        newest = tf.where(newest > never, newest, 0.0, name=_NEWEST)
        days = (newest - times.seconds) / tf.constant(_DAY, tf.float64)
        scaled = scale_logs(days, [feature.scale == "log" for feature in features])
        of = fit_statistics(tf.where(times.valid, scaled, float("nan")))
        mean = tf.identity(of.mean, name=_MEAN)
        deviation = tf.where(of.high > of.low, of.deviation, 0.0, name=_DEVIATION)
        scores = tf.math.divide_no_nan(tf.where(times.valid, scaled, mean) - mean, deviation)
        return tf.cast(tf.concat([scores, tf.cast(~times.valid, tf.float64)], axis=1), tf.float32)

    @classmethod
    def domains(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Age"],
        transform: "tft.TFTransformOutput",
    ) -> list[dict[str, Any]]:
        """Returns `newest`, the newest training row's time, and mean and deviation of the scale."""
        from mptrec_tf.data.transform.statistics import read_fitted_values

        del spec
        names = (_NEWEST, _MEAN, _DEVIATION)
        fitted = read_fitted_values(transform, names)
        return [
            {"scale": feature.scale}
            | {name.removeprefix("ages_"): float(fitted[name][i]) for name in names}
            for i, feature in enumerate(features)
        ]

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns a readable description of one item of `domains`."""
        import datetime

        newest = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=domain["newest"])
        return f"a time, as ISO 8601 or since 1970; days before {newest:%Y-%m-%d %H:%M} UTC"
