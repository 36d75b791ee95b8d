"""The preprocessing graph: raw columns in, packed ids and packed numbers out (`packed`).

TensorFlow Transform fits it on the training rows only, and every SavedModel contains it. Labels
are not part of it, so that a new task with a new label leaves the graph unchanged.
"""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.transform.shared_columns import list_sizes, repeat_column
from mptrec_tf.data.transform.transform_fingerprint import list_nodes
from mptrec_tf.storage.directories import copy_directory

# The operation of a graph that takes shared columns.
_ROWS = "count_rows"


def make_raw_metadata(spec: DatasetSpec) -> dataset_metadata.DatasetMetadata:
    """Returns the description of the raw features for TensorFlow Transform."""
    # Arrow columns hold NaN where a number is missing; a schema takes no default.
    columns = {
        name: tf.io.FixedLenFeature(of.shape, of.dtype)
        if isinstance(of, tf.io.FixedLenFeature)
        else of
        for name, of in raw_feature_spec(spec).items()
    }
    return dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(columns))


def open_transform(directory: str) -> tft.TFTransformOutput:
    """Opens what TensorFlow Transform wrote: the fitted graph, its vocabularies and its schema."""
    return tft.TFTransformOutput(directory)


def make_preprocessing_fn(
    spec: DatasetSpec,
) -> Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """Returns the `preprocessing_fn` of a data set, for TensorFlow Transform.

    It returns one packed tensor [B, n] per kind of feature, named after the kind's section, or
    several of them, see `Feature.pack`.
    """

    def preprocessing_fn(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        outputs = {}
        rows = _count_rows(inputs)
        complete = {
            name: repeat_column(column, rows) if isinstance(column, tf.Tensor) else column
            for name, column in inputs.items()
        }
        for kind, features in spec.by_kind().items():
            if kind.takes_shared:
                packed = repeat_column(kind.pack(spec, features, inputs), rows)
            else:
                packed = kind.pack(spec, features, complete)
            outputs |= packed if kind.packed_parts else {kind.section: packed}
        return outputs

    return preprocessing_fn


def _count_rows(columns: Mapping[str, Any]) -> tf.Tensor:
    """Returns the number of rows, of columns [B, ...] and of columns [1] that all rows share."""
    dense = [column for column in columns.values() if isinstance(column, tf.Tensor)]
    sizes = [list_sizes(dense)] if dense else []
    for column in columns.values():
        if isinstance(column, tf.SparseTensor):
            sizes.append(tf.cast(column.dense_shape[:1], tf.int32))
        elif isinstance(column, tf.RaggedTensor):
            sizes.append(tf.cast(column.nrows(), tf.int32)[tf.newaxis])
    return tf.reduce_max(tf.concat(sizes, axis=0), name=_ROWS)


def get_input_shapes(spec: DatasetSpec, transform: tft.TFTransformOutput) -> tuple[InputShape, ...]:
    """Returns the shapes of the features of each kind for a model, in the order of x.

    Raises:
      ValueError: if the graph lacks what the spec needs.
    """
    return tuple(
        InputShape(
            kind.section,
            kind.columns(features),
            kind.rows(spec, features, transform),
            kind.sizes(features),
            kind.tables(spec, features, transform),
        )
        for kind, features in spec.by_kind().items()
    )


def get_id_ranges(
    spec: DatasetSpec, transform: tft.TFTransformOutput
) -> list[tuple[int, int, int]]:
    """Returns (column, first id, number of ids) of each feature.

    Columns count over the ids of all kinds, concatenated; ids count from 0 in each kind.

    Raises:
      ValueError: if the graph lacks a vocabulary that the spec needs.
    """
    ranges, columns = [], 0
    for kind, features in spec.by_kind().items():
        if not kind.packed_parts and kind.rows(spec, features, transform):
            of_kind = kind.id_ranges(spec, features, transform)
            ranges += [(columns + column, first, count) for column, first, count in of_kind]
            columns += kind.columns(features)
    return ranges


def schema_directory(transform_dir: str) -> str:
    """Returns the directory of a preprocessing graph's schema of raw columns, if it has one."""
    return f"{transform_dir}/{tft.TFTransformOutput.RAW_METADATA_DIR}"


def has_schema(transform_dir: str) -> bool:
    """Whether a pipeline fitted a graph on the columns of a schema.

    Such a graph takes columns in the schema's shapes, which may be [B, 1]; others take [B].
    """
    return tf.io.gfile.isdir(schema_directory(transform_dir))


def copy_graph(transform_dir: str, directory: str) -> None:
    """Copies a preprocessing graph, with the schema of raw columns if it has one.

    Args:
      transform_dir: The graph's directory.
      directory: A directory that does not exist.
    """
    for name in (
        tft.TFTransformOutput.TRANSFORM_FN_DIR,
        tft.TFTransformOutput.TRANSFORMED_METADATA_DIR,
        tft.TFTransformOutput.RAW_METADATA_DIR,
    ):
        if tf.io.gfile.isdir(f"{transform_dir}/{name}"):
            copy_directory(f"{transform_dir}/{name}", f"{directory}/{name}")


class Preprocessing(tf.Module):
    """A fitted preprocessing graph: raw feature columns [B] in, packed features out.

    Args:
      transform_dir: Directory of the graph.

    Attributes:
      takes_shared: Whether it takes columns [1] of one value that all rows share, beside columns
        [B]; graphs of older versions do not.

    Raises:
      ValueError: if the directory holds no graph.
    """

    def __init__(self, transform_dir: str):
        super().__init__()
        transform = open_transform(transform_dir)
        layer = transform.transform_features_layer()
        # Of a Keras layer that is saved, Keras traces functions that servers do not call: only its
        # call and what it tracks, the vocabularies among it, are held.
        self._transform = layer.call
        self._tracked = dict(tf.train.TrackableView.children(layer))
        self.takes_shared = any(node.name == _ROWS for node in list_nodes(transform_dir))
        self._shapes = {}
        if has_schema(transform_dir):
            spec = transform.raw_feature_spec()
            # Columns with any number of values have no shape.
            self._shapes = {name: getattr(of, "shape", None) for name, of in spec.items()}

    def __call__(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Packs raw feature columns [B], as `tf.io.parse_example` returns them, or [1]."""
        shaped = {
            name: tf.reshape(column, [-1, *self._shapes[name]])
            if self._shapes.get(name)
            else column
            for name, column in columns.items()
        }
        return self._transform(shaped)
