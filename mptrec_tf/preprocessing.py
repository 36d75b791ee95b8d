"""The preprocessing graph: raw columns in, packed ids and packed numbers out.

    categorical  [B, F] int64    ids into one table; feature f owns the rows from its offset on
    numeric      [B, N] float32  scaled

Fitted on the training rows alone by TensorFlow Transform, and inside every SavedModel. Labels
are not made here: a new task brings a new label, and the graph stays as it is.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from mptrec_tf.spec import Categorical, DatasetSpec

CATEGORICAL = "categorical"
NUMERIC = "numeric"
# Below this width in the training rows a numeric column counts as constant.
_CONSTANT = 1e-12


def raw_feature_spec(spec: DatasetSpec) -> dict[str, tf.io.FixedLenFeature]:
    """How a tf.Example of raw columns is parsed: features only, one value each."""
    return {f.name: tf.io.FixedLenFeature([], tf.string) for f in spec.categorical} | {
        f.name: tf.io.FixedLenFeature([], tf.float32) for f in spec.numeric
    }


def raw_metadata(spec: DatasetSpec) -> dataset_metadata.DatasetMetadata:
    """The raw features as TensorFlow Transform wants them described."""
    return dataset_metadata.DatasetMetadata(
        schema_utils.schema_from_feature_spec(raw_feature_spec(spec))
    )


def vocabulary_name(feature: str) -> str:
    """The name of a feature's vocabulary file in the transform graph."""
    return f"vocabulary_{feature}"


def make_preprocessing_fn(
    spec: DatasetSpec,
) -> Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """Returns the `preprocessing_fn` of a data set, for TensorFlow Transform.

    Each categorical feature gets one id per vocabulary value (or hash bucket) and one more, the
    last, for everything else; offsets keep the features apart in one table.
    """

    def preprocessing_fn(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = {}
        if spec.categorical:
            outputs[CATEGORICAL] = _pack_categorical(spec, inputs)
        if spec.numeric:
            outputs[NUMERIC] = _pack_numeric(spec, inputs)
        return outputs

    return preprocessing_fn


def _pack_categorical(spec: DatasetSpec, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    ids, sizes = zip(*(_ids_and_size(f, inputs[f.name]) for f in spec.categorical), strict=True)
    offsets = tf.cumsum(tf.stack(sizes), exclusive=True)
    return tf.stack(ids, axis=1) + offsets


def _ids_and_size(feature: Categorical, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Ids [B] of one feature, and how many ids it has, the one for unknown values included."""
    if feature.hash_buckets is not None:
        ids = tf.strings.to_hash_bucket_fast(values, feature.hash_buckets)
        return ids, tf.constant(feature.hash_buckets, tf.int64)
    name = vocabulary_name(feature.name)
    ids = tft.compute_and_apply_vocabulary(
        values,
        frequency_threshold=feature.min_count,
        num_oov_buckets=1,
        vocab_filename=name,
    )
    return ids, tft.experimental.get_vocabulary_size_by_name(name) + 1


def _pack_numeric(spec: DatasetSpec, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    raw = tf.stack([inputs[f.name] for f in spec.numeric], axis=1)
    is_log = tf.constant([f.scale == "log" for f in spec.numeric])
    values = tf.where(is_log, tf.sign(raw) * tf.math.log1p(tf.abs(raw)), raw)
    low = tft.min(values, reduce_instance_dims=False)
    width = tft.max(values, reduce_instance_dims=False) - low
    mean = tft.mean(values, reduce_instance_dims=False)
    deviation = tf.sqrt(tft.var(values, reduce_instance_dims=False))
    is_min_max = tf.constant([f.scale == "min_max" for f in spec.numeric])
    shift = tf.where(is_min_max, low, mean)
    scale = tf.where(is_min_max, width, deviation)
    scaled = tf.math.divide_no_nan(values - shift, tf.where(scale > _CONSTANT, scale, 0.0))
    return tf.where(is_min_max, tf.clip_by_value(scaled, 0.0, 1.0), scaled)


def embedding_rows(spec: DatasetSpec, transform: tft.TFTransformOutput) -> int:
    """How many ids the packed categorical features use, the offsets included.

    Raises:
      ValueError: if the graph lacks a vocabulary of the spec.
    """
    return sum(
        f.hash_buckets
        if f.hash_buckets is not None
        else transform.vocabulary_size_by_name(vocabulary_name(f.name)) + 1
        for f in spec.categorical
    )


def parse_packed(
    serialized: tf.Tensor, spec: DatasetSpec, extra: Mapping[str, Any]
) -> dict[str, tf.Tensor]:
    """Parses a batch of prepared tf.Examples.

    Args:
      serialized: [B] string.
      spec: The data set's spec.
      extra: Feature spec of what stands beside the packed features.

    Returns:
      `categorical` [B, F], `numeric` [B, N], and what `extra` names.
    """
    features = dict(extra)
    if spec.categorical:
        features[CATEGORICAL] = tf.io.FixedLenFeature([len(spec.categorical)], tf.int64)
    if spec.numeric:
        features[NUMERIC] = tf.io.FixedLenFeature([len(spec.numeric)], tf.float32)
    return tf.io.parse_example(serialized, features)
