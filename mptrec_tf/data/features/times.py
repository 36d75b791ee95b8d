"""Times: the hour, the weekday and other parts of the calendar, each as an id.

Parsed inside the preprocessing graph (`data.transform.times`), so that the raw column is text in
files and requests. In preparation a value that is neither missing nor a time is rejected; in the
graph it is missing. A missing time has an id of its own in each part, the last.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.base import TEXT, Feature
from mptrec_tf.data.features.input_shape import Table
from mptrec_tf.data.features.widths import find_width_problem, group_by_width
from mptrec_tf.errors import InputError
from mptrec_tf.storage.plain import added

if TYPE_CHECKING:
    import pyarrow as pa
    import tensorflow as tf
    import tensorflow_transform as tft

    from mptrec_tf.data.sources.block import Block
    from mptrec_tf.data.spec import DatasetSpec

# The parts of a time, and how many values each has.
PARTS = {"hour": 24, "weekday": 7, "day": 31, "month": 12}


@dataclasses.dataclass(frozen=True)
class Time(Feature):
    """Parts of a time as ids.

    Attributes:
      name: str. The raw column, see `data.transform.times` for what it may hold.
      parts: Some of `PARTS`. Defaults to hour and weekday.
      width: Optional int. The width of the embedding of each part. Defaults to the model's.

    Example:
      >>> Time("clicked_at", parts=("hour", "month")).parts
      ('hour', 'month')
    """

    section = "times"
    reads = (TEXT,)
    takes_shared = True
    dtype = "int64"

    parts: tuple[str, ...] = ("hour", "weekday")
    width: int | None = added(None)

    def problems(self, spec: "DatasetSpec") -> Iterator[str]:
        """Yields a sentence for each problem with the feature's own fields."""
        del spec
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown or not self.parts or len(set(self.parts)) < len(self.parts):
            yield (
                f"{self.name!r}: parts must be some of {', '.join(PARTS)}, each once, not "
                f"{', '.join(self.parts) or 'none'}"
            )
        yield from find_width_problem(self, self.width)

    def read(self, spec: "DatasetSpec", block: "Block") -> "pa.Array":
        """Returns the raw column of n rows as Arrow lists [n], one text each.

        Raises:
          InputError: for a value that is neither missing nor a time, with its place.
        """
        check_times(self.name, spec, block)
        return super().read(spec, block)

    @classmethod
    def columns(cls, features: Sequence["Time"]) -> int:
        """Returns how many ids a row has."""
        return sum(len(feature.parts) for feature in features)

    @classmethod
    def column_features(cls, features: Sequence["Time"]) -> "list[Feature]":
        """Returns the feature of each column."""
        return [feature for feature in features for _ in feature.parts]

    @classmethod
    def pack(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Time"],
        columns: Mapping[str, "tf.Tensor"],
    ) -> "tf.Tensor":
        """Returns the ids [B, n] int64."""
        import tensorflow as tf

        from mptrec_tf.data.transform.shared_columns import join_columns
        from mptrec_tf.data.transform.times import Times, parse_times

        joined = join_columns([columns[feature.name] for feature in features])
        parsed_times, _ = parse_times(joined.values, spec.missing_values)
        times = Times(*map(joined.spread, parsed_times))
        parsed = tf.stack([getattr(times, part) for part in PARTS], axis=2)  # [B, N, parts]
        names = list(PARTS)
        wanted = [(n, names.index(part)) for n, f in enumerate(features) for part in f.parts]
        chosen = tf.gather(
            tf.reshape(parsed, [-1, len(features) * len(PARTS)]),
            [n * len(PARTS) + part for n, part in wanted],
            axis=1,
        )
        valid = tf.gather(times.valid, [n for n, _ in wanted], axis=1)
        sizes = [PARTS[names[part]] for _, part in wanted]
        firsts = [first for _, first, _ in cls._ranges(features)]
        return tf.where(valid, chosen, tf.constant(sizes, tf.int64)) + tf.constant(firsts, tf.int64)

    @classmethod
    def _ranges(cls, features: Sequence["Time"]) -> list[tuple[int, int, int]]:
        ranges, first = [], 0
        for column, part in enumerate(part for feature in features for part in feature.parts):
            ranges.append((column, first, PARTS[part] + 1))
            first += PARTS[part] + 1
        return ranges

    @classmethod
    def rows(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Time"],
        transform: "tft.TFTransformOutput",
    ) -> int:
        """Returns the number of ids of all parts."""
        del spec, transform
        return sum(PARTS[part] + 1 for feature in features for part in feature.parts)

    @classmethod
    def id_ranges(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Time"],
        transform: "tft.TFTransformOutput",
    ) -> list[tuple[int, int, int]]:
        """Returns (column, first id, number of ids) of each part."""
        del spec, transform
        return cls._ranges(features)

    @classmethod
    def tables(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Time"],
        transform: "tft.TFTransformOutput",
    ) -> tuple[Table, ...]:
        """Returns one embedding table for each width; none if no feature has its own."""
        widths = [feature.width for feature in cls.column_features(features)]
        return group_by_width(widths, cls.id_ranges(spec, features, transform))

    @classmethod
    def missing_ids(cls, features: Sequence["Time"], transform: "tft.TFTransformOutput") -> int:
        """Returns the number of ids for missing times, one for each part."""
        del transform
        return cls.columns(features)

    @classmethod
    def domains(
        cls,
        spec: "DatasetSpec",
        features: Sequence["Time"],
        transform: "tft.TFTransformOutput",
    ) -> list[dict[str, Any]]:
        """Returns the parts of each feature."""
        del spec, transform
        return [{"parts": list(feature.parts)} for feature in features]

    @classmethod
    def describe_domain(cls, domain: Mapping[str, Any]) -> str:
        """Returns a readable description of one item of `domains`."""
        return f"a time, as ISO 8601 or since 1970; its {', '.join(domain['parts'])}"


def check_times(name: str, spec: "DatasetSpec", block: "Block") -> None:
    """Rejects a value that is neither missing nor a time, by the graph's own operations.

    Raises:
      InputError: with its place.
    """
    import numpy as np
    import tensorflow as tf

    from mptrec_tf.data.transform.times import parse_times

    block.check_single(name)
    texts = block.text(name)
    times, missing = parse_times(tf.constant(texts.tolist(), tf.string), spec.missing_values)
    bad = np.flatnonzero(~(times.valid | missing).numpy())
    if bad.size:
        raise InputError(
            f"{block.where(bad[0])}, column {name!r}: {texts[bad[0]]!r} is not a time; write it as "
            "2024-01-31, 2024-01-31T17:03:20+01:00 or seconds since 1970, or list it in "
            "`missing_values` of the spec."
        )
