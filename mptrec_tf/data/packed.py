"""The packed layout: the tensors of prepared examples and of training batches, by name.

    categorical  [B, F] int64    ids into one table; the features' ids do not overlap
    numeric      [B, N] float32  scaled
    labels       [B, T] float32  of all tasks
    weight       [B] float32     if the data have one
    task_weights [B, T] float32  of all tasks, if they differ: `weight` times each task's own
    row          [B] int32       the number of a training row, if rows are held in memory

The first two are outputs of the preprocessing graph. Each other kind of feature has one more
tensor, named after its section, or several (see `Feature.packed_spec`).
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mptrec_tf.data.features.base import NUMBER, NUMBERS, TEXT, TEXTS, Feature
from mptrec_tf.data.labels import has_task_weights
from mptrec_tf.data.spec import DatasetSpec

CATEGORICAL = "categorical"
NUMERIC = "numeric"
LABELS = "labels"
WEIGHT = "weight"
TASK_WEIGHTS = "task_weights"
ROW = "row"


_RAW = {TEXT: tf.string, NUMBER: tf.float32, TEXTS: tf.string, NUMBERS: tf.float32}


def raw_feature_spec(
    spec: DatasetSpec,
) -> dict[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]:
    """Returns how to parse tf.Examples of raw columns: features only.

    A column has one value in each row, or a fixed number of them, or any number (VarLenFeature). A
    number that may be missing is NaN in an example without the feature.
    """
    return {name: _parse_raw(spec, feature) for name, feature in spec.raw_columns.items()}


def _parse_raw(spec: DatasetSpec, feature: Feature) -> tf.io.FixedLenFeature | tf.io.VarLenFeature:
    values, dtype = feature.values_per_row, _RAW[feature.raw_type(spec)]
    if values is None:
        return tf.io.VarLenFeature(dtype)
    default = float("nan") if feature.name in spec.optional_numbers else None
    return tf.io.FixedLenFeature([] if values == 1 else [values], dtype, default)


def request_specs(spec: DatasetSpec) -> dict[str, tf.TensorSpec]:
    """Returns what the signature `columns` takes for each raw column.

    That is one value for each row, or [B, n] of a column with n numbers in each row. Of a column
    with any number of texts it is one text, see `list_values`.
    """
    return {
        name: tf.TensorSpec(
            [None, feature.values_per_row] if (feature.values_per_row or 1) > 1 else [None],
            _RAW[feature.raw_type(spec)],
        )
        for name, feature in spec.raw_columns.items()
    }


def packed_feature_spec(spec: DatasetSpec) -> dict[str, Any]:
    """Returns how to parse the packed features of tf.Examples: [n] by kind, see `packed_spec`."""
    return {
        name: of
        for kind, features in spec.by_kind().items()
        for name, of in kind.packed_spec(features).items()
    }


def count_packed_bytes(spec: DatasetSpec) -> int:
    """Returns the bytes of a row's packed features; the most where rows differ."""
    return sum(kind.packed_bytes(features) for kind, features in spec.by_kind().items())


def parse_packed(serialized: tf.Tensor, spec: DatasetSpec) -> dict[str, tf.Tensor]:
    """Parses prepared tf.Examples [B]: labels, features and, if there are any, weights."""
    features: dict[str, Any] = {LABELS: tf.io.FixedLenFeature([len(spec.tasks)], tf.float32)}
    features |= packed_feature_spec(spec)
    if spec.weight:
        features[WEIGHT] = tf.io.FixedLenFeature([], tf.float32)
    if has_task_weights(spec):
        features[TASK_WEIGHTS] = tf.io.FixedLenFeature([len(spec.tasks)], tf.float32)
    parsed: Mapping[str, tf.Tensor] = tf.io.parse_example(serialized, features)
    return dict(parsed)
