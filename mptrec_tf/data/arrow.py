"""Raw rows as Arrow columns, for Beam, TensorFlow Transform and tf.Example coders."""

import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from tfx_bsl.coders import example_coder

from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec

# The tag of an example's only field.
_FEATURES = b"\n"


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
    in training, depend on the bytes: they are those of a deterministic `SerializeToString`. For
    this, each feature is encoded alone, and the features are put together in the order of names.
    """
    names = sorted(batch.schema.names, key=str.encode)
    of_features = [
        example_coder.RecordBatchToExamplesEncoder().encode(
            pa.RecordBatch.from_arrays([batch.column(batch.schema.get_field_index(name))], [name])
        )
        for name in names
    ]
    return [_join_features(row) for row in zip(*of_features, strict=True)]


def _join_features(examples: Sequence[bytes]) -> bytes:
    """Returns one example with the features of several, which have one feature each."""
    features = b"".join([example[_header_size(len(example)) :] for example in examples])
    return _FEATURES + _encode_length(len(features)) + features


@functools.lru_cache(maxsize=1 << 16)
def _header_size(size: int) -> int:
    """Returns how many of an example's bytes are the tag and the length of its features."""
    return next(at for at in range(2, 12) if len(_encode_length(size - at)) == at - 1)


@functools.lru_cache(maxsize=1 << 16)
def _encode_length(length: int) -> bytes:
    """Encodes a length as Protocol Buffers do: seven bits in a byte, the lowest first."""
    encoded = bytearray()
    while length > 127:
        encoded.append(length & 127 | 128)
        length >>= 7
    return bytes([*encoded, length])
