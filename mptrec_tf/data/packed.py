"""The packed layout: what stands in prepared examples and in training batches, by name.

    categorical  [B, F] int64    ids into one table; the features' ids do not overlap
    numeric      [B, N] float32  scaled
    labels       [B, T] float32  what each task makes of its column
    weight       [B] float32     where the data have one
    row          [B] int32       a training row's number, where rows are in memory

The first two are what the preprocessing graph makes of raw columns.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mptrec_tf.data.spec import DatasetSpec

CATEGORICAL = "categorical"
NUMERIC = "numeric"
LABELS = "labels"
WEIGHT = "weight"
ROW = "row"


def raw_feature_spec(spec: DatasetSpec) -> dict[str, tf.io.FixedLenFeature]:
    """How a tf.Example of raw columns is parsed: features only, one value each."""
    return {f.name: tf.io.FixedLenFeature([], tf.string) for f in spec.text_features} | {
        f.name: tf.io.FixedLenFeature([], tf.float32) for f in spec.numeric
    }


def parse_packed(serialized: tf.Tensor, spec: DatasetSpec) -> dict[str, tf.Tensor]:
    """Parses prepared tf.Examples [B]: labels, features and, where there is one, the weight."""
    features: dict[str, Any] = {LABELS: tf.io.FixedLenFeature([len(spec.tasks)], tf.float32)}
    if spec.categorical:
        features[CATEGORICAL] = tf.io.FixedLenFeature([len(spec.categorical)], tf.int64)
    if spec.numeric:
        features[NUMERIC] = tf.io.FixedLenFeature([len(spec.numeric)], tf.float32)
    if spec.weight:
        features[WEIGHT] = tf.io.FixedLenFeature([], tf.float32)
    parsed: Mapping[str, tf.Tensor] = tf.io.parse_example(serialized, features)
    return dict(parsed)
