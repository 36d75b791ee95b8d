"""The preprocessing graph: raw columns in, packed ids and packed numbers out (`packed`).

Fitted on the training rows alone by TensorFlow Transform, and inside every SavedModel. Labels
are not made here: a new task brings a new label, and the graph stays as it is.
"""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from mptrec_tf.data.packed import CATEGORICAL, NUMERIC, raw_feature_spec
from mptrec_tf.data.spec import Categorical, DatasetSpec
from mptrec_tf.data.transform.canonical_graph import canonical_text, number_text
from mptrec_tf.data.transform.vocabulary import apply_vocabulary, vocabulary_size, vocabulary_sizes


def raw_metadata(spec: DatasetSpec) -> dataset_metadata.DatasetMetadata:
    """The raw features as TensorFlow Transform wants them described."""
    return dataset_metadata.DatasetMetadata(
        schema_utils.schema_from_feature_spec(raw_feature_spec(spec))
    )


def make_preprocessing_fn(
    spec: DatasetSpec,
) -> Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """Returns the `preprocessing_fn` of a data set, for TensorFlow Transform.

    Text is taken in its canonical form. Each categorical feature gets one id per vocabulary value,
    one of which may be that it is missing, and one more for everything else, or one id per hash
    bucket. Offsets keep the features apart in one table, the hashed ones first.
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
    hashed, known = _by_kind(spec)
    ids, offset = {}, 0
    text = {
        f.name: inputs[f.name] if f in spec.text_features else number_text(inputs[f.name])
        for f in spec.categorical
    }
    if hashed:
        values = tf.stack([text[feature.name] for feature in hashed], axis=1)
        canonical = _canonical(spec, hashed)(values, tf.range(len(hashed)))
        columns = tf.unstack(canonical, axis=1)
        for feature, column in zip(hashed, columns, strict=True):
            bucket = tf.strings.to_hash_bucket_fast(column, feature.hash_buckets)
            ids[feature.name] = bucket + offset
            offset += feature.hash_buckets
    if known:
        values = tf.stack([text[feature.name] for feature in known], axis=1)
        looked_up = apply_vocabulary(known, values, _canonical(spec, known)) + offset
        columns = tf.unstack(looked_up, axis=1)
        ids |= {feature.name: column for feature, column in zip(known, columns, strict=True)}
    return tf.stack([ids[feature.name] for feature in spec.categorical], axis=1)


def _canonical(
    spec: DatasetSpec, features: Sequence[Categorical]
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns what makes the canonical forms of values [..., n], given each one's feature [n]."""
    exact = [feature.exact for feature in features]

    def canonical(values: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        if all(exact):
            return values
        found = canonical_text(values, spec.missing_values)
        return tf.where(tf.gather(exact, columns), values, found) if any(exact) else found

    return canonical


def _by_kind(spec: DatasetSpec) -> tuple[list[Categorical], list[Categorical]]:
    """The hashed features, and those with a vocabulary."""
    hashed = [f for f in spec.categorical if f.hash_buckets is not None]
    return hashed, [f for f in spec.categorical if f.hash_buckets is None]


def _pack_numeric(spec: DatasetSpec, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
    # Statistics of large numbers that differ little need more than float32.
    raw = tf.cast(tf.stack([inputs[f.name] for f in spec.numeric], axis=1), tf.float64)
    is_log = tf.constant([f.scale == "log" for f in spec.numeric])
    values = tf.where(is_log, tf.sign(raw) * tf.math.log1p(tf.abs(raw)), raw)
    low = tft.min(values, reduce_instance_dims=False)
    high = tft.max(values, reduce_instance_dims=False)
    mean = tft.mean(values, reduce_instance_dims=False)
    deviation = tf.sqrt(tft.var(values, reduce_instance_dims=False))
    is_min_max = tf.constant([f.scale == "min_max" for f in spec.numeric])
    shift = tf.where(is_min_max, low, mean)
    scale = tf.where(is_min_max, high - low, deviation)
    scaled = tf.math.divide_no_nan(values - shift, tf.where(high > low, scale, 0.0))
    scaled = tf.where(is_min_max, tf.clip_by_value(scaled, 0.0, 1.0), scaled)
    return tf.cast(scaled, tf.float32)


def embedding_rows(spec: DatasetSpec, transform: tft.TFTransformOutput) -> int:
    """How many ids the packed categorical features use, the offsets included.

    Raises:
      ValueError: if the graph has no vocabulary, and the spec wants one.
    """
    hashed, known = _by_kind(spec)
    return sum(f.hash_buckets for f in hashed) + (vocabulary_size(transform) if known else 0)


def id_ranges(spec: DatasetSpec, transform: tft.TFTransformOutput) -> list[tuple[int, int, int]]:
    """Where the ids of each categorical feature are: its column, its first id, how many it has.

    Raises:
      ValueError: if the graph has no vocabulary, and the spec wants one.
    """
    hashed, known = _by_kind(spec)
    sizes = {feature.name: feature.hash_buckets for feature in hashed}
    if known:
        sizes |= vocabulary_sizes(transform, known)
    columns = {feature.name: column for column, feature in enumerate(spec.categorical)}
    ranges, first = [], 0
    for name, size in sizes.items():
        ranges.append((columns[name], first, size))
        first += size
    return sorted(ranges)


def schema_directory(transform_dir: str) -> str:
    """Where a preprocessing graph keeps the schema of its raw columns, if it has one."""
    return f"{transform_dir}/{tft.TFTransformOutput.RAW_METADATA_DIR}"


def has_schema(transform_dir: str) -> bool:
    """Whether a graph was fitted by a pipeline, and so on the columns of a schema.

    It takes them in the schema's shapes, which may be [B, 1]; every other graph takes [B].
    """
    return tf.io.gfile.isdir(schema_directory(transform_dir))


class Preprocessing(tf.Module):
    """A fitted preprocessing graph: raw feature columns [B] in, packed features out.

    Args:
      transform_dir: Directory of the graph.

    Raises:
      ValueError: if it is none.
    """

    def __init__(self, transform_dir: str):
        super().__init__()
        transform = tft.TFTransformOutput(transform_dir)
        self._layer = transform.transform_features_layer()
        self._shapes = {}
        if has_schema(transform_dir):
            spec = transform.raw_feature_spec()
            self._shapes = {name: feature.shape for name, feature in spec.items()}

    def __call__(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Packs raw feature columns [B]."""
        shaped = {
            name: tf.reshape(column, [-1, *self._shapes[name]])
            if self._shapes.get(name)
            else column
            for name, column in columns.items()
        }
        return self._layer(shaped)
