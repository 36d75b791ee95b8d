"""Packs record batches of raw rows by a fitted preprocessing graph."""

import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.public import tfxio
from tfx_bsl.tfxio import tensor_representation_util, tensor_to_arrow

from mptrec_tf.data.arrow import serialize_rows
from mptrec_tf.data.features.base import NUMBER, NUMBERS, TEXT, TEXTS
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.transform.graph import Preprocessing, has_schema, make_raw_metadata

# Prefix of columns that bypass the preprocessing graph; a feature's name never has a tab.
BYPASS = "\t"


def make_raw_config(
    spec: DatasetSpec, bypassing: dict[str, pa.DataType], transform_dir: str | None = None
) -> tfxio.TensorAdapterConfig:
    """Returns how TensorFlow reads the features of a record batch.

    Args:
      spec: The data set's spec.
      bypassing: Types of the columns that the graph does not read, by name.
      transform_dir: A graph that was fitted elsewhere, perhaps on the columns of a schema.
    """
    values = dict.fromkeys((TEXT, TEXTS), pa.large_binary())
    values |= dict.fromkeys((NUMBER, NUMBERS), pa.float32())
    kinds = {name: values[feature.raw_type(spec)] for name, feature in spec.raw_columns.items()}
    fields = [(name, pa.large_list(kind)) for name, kind in (kinds | bypassing).items()]
    names = set(spec.feature_names)
    schema = make_raw_metadata(spec).schema
    if transform_dir and has_schema(transform_dir):
        given = tft.TFTransformOutput(transform_dir).raw_metadata.schema
        schema = schema_pb2.Schema(feature=[f for f in given.feature if f.name in names])
    representations = tensor_representation_util.InferTensorRepresentationsFromMixedSchema(schema)
    return tfxio.TensorAdapterConfig(pa.schema(fields), representations)


class PackRows:
    """Packs the features of n raw rows; returns serialized tf.Examples.

    It can be pickled: each worker loads the graph when it needs it.

    Args:
      transform_dir: Directory of the graph.
      config: Which columns there are, see `make_raw_config`.
    """

    def __init__(self, transform_dir: str, config: tfxio.TensorAdapterConfig):
        self._transform_dir = transform_dir
        self._config = config
        self._loaded = None

    def __getstate__(self):
        return {**vars(self), "_loaded": None}

    def __call__(self, batch: pa.RecordBatch) -> list[bytes]:
        """Packs a batch; columns that bypass the graph are kept."""
        if self._loaded is None:
            pack = tf.function(Preprocessing(self._transform_dir).__call__, reduce_retracing=True)
            self._loaded = tfxio.TensorAdapter(self._config), pack
        adapter, pack = self._loaded
        packed = pack(adapter.ToBatchTensors(batch, produce_eager_tensors=True))
        specs = {name: _without_rows(tensor) for name, tensor in packed.items()}
        features = tensor_to_arrow.TensorsToRecordBatchConverter(specs).convert(packed)
        columns = dict(zip(features.schema.names, features.columns, strict=True))
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if name.startswith(BYPASS):
                columns[name.removeprefix(BYPASS)] = column
        return serialize_rows(pa.RecordBatch.from_arrays(list(columns.values()), list(columns)))


def _without_rows(tensor: tf.Tensor | tf.RaggedTensor) -> tf.TypeSpec:
    """Returns a tensor's type with any number of rows."""
    if isinstance(tensor, tf.RaggedTensor):
        return tf.RaggedTensorSpec([None, *tensor.shape[1:]], tensor.dtype, tensor.ragged_rank)
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)
