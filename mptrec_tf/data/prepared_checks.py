"""Checks prepared data for problems that give good metrics and bad models.

These are: a feature that reveals a label; validation or test rows that are training rows; values
that the training rows do not have; numbers that are mostly one value; and those of `label_checks`.
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
from mptrec_tf.data.training_data import detect_compression

# At most so many rows, and so many bytes, of each split are checked.
MOST_ROWS = 500_000
_MOST_BYTES = 1 << 28
_READ_ROWS = 10_000
_BINS = 256  # of a numeric feature
# Shares of a split's rows above which there is a warning.
_MOSTLY = 0.5
_NEARLY_ALL = 0.9


@dataclasses.dataclass(frozen=True)
class _Sample:
    """The first rows of a split: their hashes [n], packed features by name, labels [n, T]."""

    hashes: np.ndarray
    features: Mapping[str, np.ndarray]
    labels: np.ndarray


class DataChecks:
    """Checks of prepared data.

    Args:
      data: The data; of each split the first `MOST_ROWS` rows are read.
      on_rows: Called with the number of rows of each batch that was read.
      shared: Files of validation and test that are also files of train, see `find_shared_files`.

    Attributes:
      unknown: By split and feature, the share of rows whose value has no id of its own; only
        features with an id for unknown values.
      missing_ids: By kind, the number of features that have an id for a missing value.

    Example:
      for sentence in DataChecks(PreparedData("prepared")).warnings():
          print(sentence)
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
        self._samples = {split: _read_sample(data, split, on_rows) for split in data.splits}
        transform = tft.TFTransformOutput(data.transform_dir)
        self._columns = []
        self.missing_ids: dict[str, int] = {}
        for kind, features in data.spec.by_kind().items():
            ranges = kind.id_ranges(data.spec, features, transform)
            self._columns += _list_columns(kind, features, ranges)
            self.missing_ids[kind.section] = kind.missing_ids(features, transform)
        self.unknown = {split: self._share_unknown(of) for split, of in self._samples.items()}

    def _share_unknown(self, sample: _Sample) -> dict[str, float]:
        """Returns the share of values with the id for unknown ones, by feature that has it."""
        shares = {}
        for at in self._columns:
            if at.size and at.feature.has_unknown:
                known = at.first + at.size - at.feature.unknown_ids
                shares[at.feature.name] = float(np.mean(at.values(sample) >= known))
        return shares

    def warnings(self) -> list[str]:
        """Returns a sentence for each problem."""
        return [
            *find_label_warnings(self._spec, self._data.survey),
            *self._check_repeated_rows(),
            *self._check_unknown_values(),
            *self._check_separating_features(),
            *self._check_kinds(),
        ]

    def _check_repeated_rows(self) -> Iterator[str]:
        for split, files in self._shared.items():
            if files:
                yield (
                    f"the {split} rows of {', '.join(files[:3])} are training rows, too; "
                    f"metrics on them do not hold for new rows: give other rows by --{split}_files."
                )
        train = self._samples["train"].hashes
        known, counts = np.unique(train, return_counts=True)
        # If most rows have duplicates anyway, a repeated row is no evidence.
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

    def _check_unknown_values(self) -> Iterator[str]:
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
                        "training rows do not have (or too few times), which the model cannot "
                        "distinguish; check whether production has them, too."
                    )

    def _check_separating_features(self) -> Iterator[str]:
        train, validation = self._samples["train"].labels, self._samples["validation"].labels
        features = len(self._spec.features)
        for i, task in enumerate(self._spec.tasks):
            of_train, of_validation = ~np.isnan(train[:, i]), ~np.isnan(validation[:, i])
            if not of_train.any() or not of_validation.any():
                continue  # only a sample of the rows is checked
            bins = ((n, a[of_train], b[of_validation]) for n, a, b in self._bin_values())
            labels = train[of_train, i], validation[of_validation, i]
            yield from task.separating_features(bins, features, *labels)

    def _bin_values(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yields each feature's values as small integers, of training and of validation rows."""
        train, validation = self._samples["train"], self._samples["validation"]
        for at in self._columns:
            fitted, other = at.row_values(train), at.row_values(validation)
            if at.size:
                yield at.feature.name, fitted - at.first, other - at.first
            elif not at.has_ids:
                edges = _find_edges(fitted)
                yield (
                    at.feature.name,
                    np.searchsorted(edges, fitted),
                    np.searchsorted(edges, other),
                )

    def _check_kinds(self) -> Iterator[str]:
        for kind, features in self._spec.by_kind().items():
            yield from kind.warnings(self._spec, features, self._data.survey["train"])


@dataclasses.dataclass(frozen=True)
class _Column:
    """A column of a packed tensor.

    Attributes:
      feature: The column's feature.
      column: int. Its index in the packed tensor.
      has_ids: bool. Whether it holds ids.
      first: int. The first of its ids.
      size: int. The number of its ids; 0 if it is unknown, or the column holds numbers.
    """

    feature: Feature
    column: int
    has_ids: bool
    first: int = 0
    size: int = 0

    def values(self, sample: _Sample) -> np.ndarray:
        """Returns all values of the column: [n], unless rows may have several."""
        return self.feature.packed_values(sample.features, self.column)

    def row_values(self, sample: _Sample) -> np.ndarray:
        """Returns a value of each row [n]; the first one where rows may have several."""
        return self.feature.packed_values(sample.features, self.column, first=True)


def _list_columns(
    kind: type[Feature], features: Sequence[Feature], ranges: Sequence[tuple[int, int, int]]
) -> Iterator[_Column]:
    """Yields the columns of a packed tensor."""
    of_ids = {column: (first, size) for column, first, size in ranges}
    for column, feature in enumerate(kind.column_features(features)):
        yield _Column(feature, column, kind.dtype == "int64", *of_ids.get(column, ()))


def _read_sample(data: PreparedData, split: str, on_rows: Callable[[int], Any]) -> _Sample:
    spec = data.spec
    files = data.files(split)
    row_bytes = 8 + count_packed_bytes(spec) + 4 * len(spec.tasks)
    most = max(_READ_ROWS, min(MOST_ROWS, _MOST_BYTES // row_bytes))
    batches = (
        tf.data.TFRecordDataset(files, detect_compression(files))
        .take(most)
        .batch(_READ_ROWS)
        .map(lambda s: {**_parse(data, s), "hash": tf.strings.to_hash_bucket_fast(s, 2**62)})
        .prefetch(1)
    )
    parts: dict[str, list[np.ndarray]] = {}
    for batch in batches.as_numpy_iterator():
        for name, values in batch.items():
            parts.setdefault(name, []).append(values)
        on_rows(len(batch["hash"]))
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    features = {name: columns[name] for kind in spec.by_kind() for name in kind.packed_names()}
    return _Sample(columns["hash"], features, columns[LABELS])


def _parse(data: PreparedData, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
    """Parses examples [B]; of what varies from row to row the values of all rows."""
    return {name: getattr(of, "flat_values", of) for name, of in data.parse(serialized).items()}


def _find_edges(values: np.ndarray) -> np.ndarray:
    """Returns edges of bins with about equally many values, midway between two of them."""
    distinct = np.unique(values).astype(np.float64)
    ends = np.quantile(values, np.linspace(0, 1, _BINS), method="nearest")
    places = np.unique(np.searchsorted(distinct, ends))
    places = places[places < len(distinct) - 1]
    return (distinct[places] + distinct[places + 1]) / 2


def find_shared_files(shards: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """Returns the files, or parts of TFDS data sets, of validation and test that are also in train.

    Args:
      shards: A source's shards by split.
    """
    train = [_parse_shard(shard) for shard in shards.get("train", ()) if isinstance(shard, str)]
    shared = {}
    for split, others in shards.items():
        if split != "train":
            parsed = [(o, _parse_shard(o)) for o in others if isinstance(o, str)]
            shared[split] = [o for o, rows in parsed if any(_overlap(rows, one) for one in train)]
    return shared


def _parse_shard(shard: str) -> tuple[str, float, float]:
    """Returns a file or data set, and the range of its rows (end excluded)."""
    part = re.fullmatch(r"(tfds:.*)\[(\d+):(\d+)\]", shard)
    if part:
        return part[1], int(part[2]), int(part[3])
    return os.path.realpath(shard) if "://" not in shard else shard, 0, math.inf


def _overlap(a: tuple[str, float, float], b: tuple[str, float, float]) -> bool:
    return a[0] == b[0] and a[1] < b[2] and b[1] < a[2]


def _describe_repeated(split: str, share: str) -> str:
    return (
        f"{share} of the {split} rows are training rows, too; metrics on them do not hold for new "
        f"rows: give other rows by --{split}_files."
    )
