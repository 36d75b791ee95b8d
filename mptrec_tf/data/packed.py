"""The packed layout: the tensors of prepared examples and of training batches, by name.

    categorical  [B, F] int64    ids into one table; the features' ids do not overlap
    numeric      [B, N] float32  scaled
    labels       [B, T] float32  of all tasks
    weight       [B] float32     if the data have one
    row          [B] int32       the number of a training row, if rows are held in memory

The first two are outputs of the preprocessing graph. Each other kind of feature has one more
tensor, named after its section (see `features.base`).
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mptrec_tf.data.features.base import NUMBER, TEXT
from mptrec_tf.data.spec import DatasetSpec

CATEGORICAL = "categorical"
NUMERIC = "numeric"
LABELS = "labels"
WEIGHT = "weight"
ROW = "row"


_RAW = {TEXT: tf.string, NUMBER: tf.float32}


def raw_feature_spec(spec: DatasetSpec) -> dict[str, tf.io.FixedLenFeature]:
    """Returns how to parse tf.Examples of raw columns: features only, one value each."""
    return {
        name: tf.io.FixedLenFeature([], _RAW[feature.raw_type(spec)])
        for name, feature in spec.raw_columns.items()
    }


def packed_feature_spec(spec: DatasetSpec) -> dict[str, tf.io.FixedLenFeature]:
    """Returns how to parse the packed features of tf.Examples: [n] by kind."""
    return {
        kind.section: tf.io.FixedLenFeature([kind.columns(features)], tf.as_dtype(kind.dtype))
        for kind, features in spec.by_kind().items()
    }


def count_packed_bytes(spec: DatasetSpec) -> int:
    """Returns the bytes of a row's packed features."""
    return sum(of.shape[0] * of.dtype.size for of in packed_feature_spec(spec).values())


def parse_packed(serialized: tf.Tensor, spec: DatasetSpec) -> dict[str, tf.Tensor]:
    """Parses prepared tf.Examples [B]: labels, features and, if there is one, the weight."""
    features: dict[str, Any] = {LABELS: tf.io.FixedLenFeature([len(spec.tasks)], tf.float32)}
    features |= packed_feature_spec(spec)
    if spec.weight:
        features[WEIGHT] = tf.io.FixedLenFeature([], tf.float32)
    parsed: Mapping[str, tf.Tensor] = tf.io.parse_example(serialized, features)
    return dict(parsed)
