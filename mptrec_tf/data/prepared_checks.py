"""Looks at prepared data for what makes good numbers and bad models, and says it in sentences.

A feature that gives a label away; validation or test rows that are training rows; values that the
training rows do not have; numbers that are mostly one value; and what `label_checks` knows.
"""

import dataclasses
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from mptrec_tf.data.features.base import Feature
from mptrec_tf.data.label_checks import find_label_warnings
from mptrec_tf.data.packed import LABELS, count_packed_bytes
from mptrec_tf.data.prepared import PreparedData

# Of each split at most so many rows are looked at, and so many bytes.
MOST_ROWS = 500_000
_MOST_BYTES = 1 << 28
_READ_ROWS = 10_000
_BINS = 256  # of a number
# Shares of a split's rows that are worth a sentence.
_MOSTLY = 0.5
_NEARLY_ALL = 0.9


@dataclasses.dataclass(frozen=True)
class _Sample:
    """The first rows of a split: their hashes [n], features [n, ...] by kind, labels [n, T]."""

    hashes: np.ndarray
    features: Mapping[str, np.ndarray]
    labels: np.ndarray


class DataChecks:
    """Checks of prepared data.

    Args:
      data: The data; of each split the first `MOST_ROWS` rows are read.
      on_rows: Called with the number of rows after each batch that was read.
      shared: Files of validation and test that train has, too, see `find_shared_files`.

    Attributes:
      unknown: By split and feature that has an id for unknown values, the share of rows whose value
        has no id of its own.
      missing_ids: By kind, how many features have an id for a missing value.
    """

    def __init__(
        self,
        data: PreparedData,
        on_rows: Callable[[int], Any] = lambda rows: None,
        shared: Mapping[str, Sequence[str]] | None = None,
    ):
        self._shared = shared or {}
        self._data = data
        self._spec = data.spec
        self._samples = {split: _read(data, split, on_rows) for split in data.splits}
        transform = tft.TFTransformOutput(data.transform_dir)
        self._columns = []
        self.missing_ids: dict[str, int] = {}
        for kind, features in data.spec.by_kind().items():
            self._columns += _columns(
                kind, features, kind.id_ranges(data.spec, features, transform)
            )
            self.missing_ids[kind.section] = kind.missing_ids(features, transform)
        self.unknown = {split: self._unknown(sample) for split, sample in self._samples.items()}

    def _unknown(self, sample: _Sample) -> dict[str, float]:
        """Share of rows, by feature with an id for them, whose value has no id of its own."""
        shares = {}
        for at in self._columns:
            if at.size and at.feature.has_unknown:
                last = at.first + at.size - 1
                shares[at.feature.name] = float(np.mean(at.values(sample) == last))
        return shares

    def warnings(self) -> list[str]:
        """Returns what is worth a sentence, one each."""
        return [
            *find_label_warnings(self._spec, self._data.survey),
            *self._repeated_rows(),
            *self._unknown_values(),
            *self._separating_features(),
            *self._of_kinds(),
        ]

    def _repeated_rows(self) -> Iterator[str]:
        for split, files in self._shared.items():
            if files:
                yield (
                    f"the {split} rows of {', '.join(files[:3])} are training rows, too; "
                    f"metrics on them say nothing of new rows: give --{split}_files rows of their "
                    "own."
                )
        train = self._samples["train"].hashes
        known, counts = np.unique(train, return_counts=True)
        # Where most rows have twins anyway, a row that is found again says nothing.
        if counts.size < _MOSTLY * train.size:
            same = np.sort(train)
            for split, sample in self._samples.items():
                known = split == "train" or self._shared.get(split)
                if not known and np.array_equal(np.sort(sample.hashes), same):
                    yield _describe_repeated(split, "all")
            return
        for split, sample in self._samples.items():
            share = float(np.isin(sample.hashes, known).mean())
            if split != "train" and share >= _NEARLY_ALL and not self._shared.get(split):
                yield _describe_repeated(split, "all" if share == 1 else f"{share:.0%}")

    def _unknown_values(self) -> Iterator[str]:
        for split, shares in self.unknown.items():
            for name, share in shares.items():
                if share > _MOSTLY and split == "train":
                    yield (
                        f"column {name!r}: {share:.0%} of the training rows have values that are "
                        "too rare for an id of their own; lower its min_count, or use hash_buckets."
                    )
                elif share > _MOSTLY:
                    yield (
                        f"column {name!r}: {share:.0%} of the {split} rows have values that the "
                        "training rows do not have (or too few times), which all look alike to the "
                        "model; is that so in production, too?"
                    )

    def _separating_features(self) -> Iterator[str]:
        train, validation = self._samples["train"].labels, self._samples["validation"].labels
        features = len(self._spec.features)
        for i, task in enumerate(self._spec.tasks):
            yield from task.separating_features(
                self._bins(), features, train[:, i], validation[:, i]
            )

    def _bins(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Each feature's values as small numbers, of the training and of the validation rows."""
        train, validation = self._samples["train"], self._samples["validation"]
        for at in self._columns:
            fitted, other = at.values(train), at.values(validation)
            if at.size:
                yield at.feature.name, fitted - at.first, other - at.first
            elif not at.has_ids:
                edges = _edges(fitted)
                yield (
                    at.feature.name,
                    np.searchsorted(edges, fitted),
                    np.searchsorted(edges, other),
                )

    def _of_kinds(self) -> Iterator[str]:
        for kind, features in self._spec.by_kind().items():
            yield from kind.warnings(self._spec, features, self._data.survey["train"])


@dataclasses.dataclass(frozen=True)
class _Column:
    """A column of a packed tensor.

    Attributes:
      feature: Whose it is.
      column: int. Its number in the packed tensor.
      has_ids: bool. Whether it holds ids.
      first: int. The first of its ids.
      size: int. How many ids it has; 0 where that is not known, or it holds numbers.
    """

    feature: Feature
    column: int
    has_ids: bool
    first: int = 0
    size: int = 0

    def values(self, sample: _Sample) -> np.ndarray:
        """Returns the column's values [n]."""
        return sample.features[self.feature.section][:, self.column]


def _columns(
    kind: type[Feature], features: Sequence[Feature], ranges: Sequence[tuple[int, int, int]]
) -> Iterator[_Column]:
    """Yields the columns of a packed tensor; each feature has equally many, one after the other."""
    of_ids = {column: (first, size) for column, first, size in ranges}
    count = kind.columns(features)
    for column in range(count):
        feature = features[column * len(features) // count]
        yield _Column(feature, column, kind.dtype == "int64", *of_ids.get(column, ()))


def _read(data: PreparedData, split: str, on_rows: Callable[[int], Any]) -> _Sample:
    spec = data.spec
    row_bytes = 8 + count_packed_bytes(spec) + 4 * len(spec.tasks)
    most = max(_READ_ROWS, min(MOST_ROWS, _MOST_BYTES // row_bytes))
    batches = (
        tf.data.TFRecordDataset(data.files(split))
        .take(most)
        .batch(_READ_ROWS)
        .map(lambda s: {**data.parse(s), "hash": tf.strings.to_hash_bucket_fast(s, 2**62)})
        .prefetch(1)
    )
    parts: dict[str, list[np.ndarray]] = {}
    for batch in batches.as_numpy_iterator():
        for name, values in batch.items():
            parts.setdefault(name, []).append(values)
        on_rows(len(batch["hash"]))
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    features = {kind.section: columns[kind.section] for kind in spec.by_kind()}
    return _Sample(columns["hash"], features, columns[LABELS])


def _edges(values: np.ndarray) -> np.ndarray:
    """Where bins of about equally many values end: midway between two of them, as trees split."""
    distinct = np.unique(values).astype(np.float64)
    ends = np.quantile(values, np.linspace(0, 1, _BINS), method="nearest")
    places = np.unique(np.searchsorted(distinct, ends))
    places = places[places < len(distinct) - 1]
    return (distinct[places] + distinct[places + 1]) / 2


def find_shared_files(shards: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Returns the files, or parts of TFDS data sets, of validation and test that train has, too.

    Args:
      shards: A source's shards by split.
    """
    train = [_file(shard) for shard in shards["train"] if isinstance(shard, str)]
    found = {}
    for split, others in shards.items():
        if split != "train":
            named = [(o, _file(o)) for o in others if isinstance(o, str)]
            found[split] = [o for o, file in named if any(_overlap(file, one) for one in train)]
    return found


def _file(shard: str) -> tuple[str, float, float]:
    """A file, or a data set and the first and the last of its rows (end excluded)."""
    part = re.fullmatch(r"(tfds:.*)\[(\d+):(\d+)\]", shard)
    if part:
        return part[1], int(part[2]), int(part[3])
    return os.path.realpath(shard) if "://" not in shard else shard, 0, math.inf


def _overlap(a: tuple[str, float, float], b: tuple[str, float, float]) -> bool:
    return a[0] == b[0] and a[1] < b[2] and b[1] < a[2]


def _describe_repeated(split: str, share: str) -> str:
    return (
        f"{share} of the {split} rows are training rows, too; metrics on them say nothing of new "
        f"rows: give --{split}_files rows of their own."
    )
