"""Raw rows as Arrow columns, for Beam, TensorFlow Transform and tf.Example coders."""

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx_bsl.coders import example_coder

from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec


def read_raw_features(spec: DatasetSpec, block: Block) -> dict[str, pa.Array]:
    """Returns the feature columns of n raw rows: lists [n] of one value each.

    Raises:
      InputError: for a missing column or a value that the spec does not allow, with its place.
    """
    return {name: feature.read(spec, block) for name, feature in spec.raw_columns.items()}


def encode_text(values: np.ndarray) -> pa.Array:
    """Converts an object array [n] of str to UTF-8 bytes."""
    return pa.array(values, pa.string()).cast(pa.large_binary())


def make_lists(values: pa.Array, width: int = 1) -> pa.Array:
    """Groups values [n * width] into n lists of `width`."""
    offsets = np.arange(0, len(values) + 1, width, dtype=np.int64)
    return pa.LargeListArray.from_arrays(pa.array(offsets), values)


def serialize_rows(batch: pa.RecordBatch) -> list[bytes]:
    """Serializes n rows as tf.Examples; equal rows give equal bytes, in every process.

    The encoder orders the features of each row at random, but fingerprints of rows, and their order
    in training, depend on the bytes.
    """
    encoded = example_coder.RecordBatchToExamplesEncoder().encode(batch)
    return [tf.train.Example.FromString(e).SerializeToString(deterministic=True) for e in encoded]
