"""The packed layout: what stands in prepared examples and in training batches, by name.

    categorical  [B, F] int64    ids into one table; the features' ids do not overlap
    numeric      [B, N] float32  scaled
    labels       [B, T] float32  what each task's kind makes of its column
    weight       [B] float32     where the data have one
    row          [B] int32       a training row's number, where rows are in memory

The first two are what the preprocessing graph makes of raw columns. Other kinds of features have a
tensor each, which is named like their section (see `features.base`).
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
    """How a tf.Example of raw columns is parsed: features only, one value each."""
    return {
        name: tf.io.FixedLenFeature([], _RAW[feature.raw_type(spec)])
        for name, feature in spec.raw_columns.items()
    }


def packed_feature_spec(spec: DatasetSpec) -> dict[str, tf.io.FixedLenFeature]:
    """How the packed features of a tf.Example are parsed: [n] by kind."""
    return {
        kind.section: tf.io.FixedLenFeature([kind.columns(features)], tf.as_dtype(kind.dtype))
        for kind, features in spec.by_kind().items()
    }


def count_packed_bytes(spec: DatasetSpec) -> int:
    """How many bytes the packed features of a row take."""
    return sum(of.shape[0] * of.dtype.size for of in packed_feature_spec(spec).values())


def parse_packed(serialized: tf.Tensor, spec: DatasetSpec) -> dict[str, tf.Tensor]:
    """Parses prepared tf.Examples [B]: labels, features and, where there is one, the weight."""
    features: dict[str, Any] = {LABELS: tf.io.FixedLenFeature([len(spec.tasks)], tf.float32)}
    features |= packed_feature_spec(spec)
    if spec.weight:
        features[WEIGHT] = tf.io.FixedLenFeature([], tf.float32)
    parsed: Mapping[str, tf.Tensor] = tf.io.parse_example(serialized, features)
    return dict(parsed)
