"""Converts TensorProtos to checked arrays, and back.

Nothing that a caller sends is trusted: a few bytes of a TensorProto can claim any shape.
"""

import functools
import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from mptrec_tf.serving.server.request_error import invalid
from mptrec_tf.serving.server.signature import Signature, Tensor

# A proto may give one value for a whole tensor, and a column one value for all rows: without a
# limit a few bytes would cost gigabytes.
MOST_ROWS = 1 << 16


def from_protos(
    signature: Signature, protos: Mapping[str, tensor_pb2.TensorProto]
) -> dict[str, np.ndarray]:
    """Returns the arrays of a gRPC request.

    Raises:
      RequestError: for inputs that the signature does not take, or that are damaged.
    """
    check_names(signature, protos)
    arrays = {n: _to_array(n, signature.inputs[n], proto) for n, proto in protos.items()}
    return fill_defaults(signature, arrays)


def check_names(signature: Signature, given: Mapping[str, object]) -> None:
    """Rejects missing and unknown inputs; one that has a default may be missing.

    Raises:
      RequestError: in TF Serving's words.
    """
    if given.keys() == signature.inputs.keys():
        return
    extra = sorted(given.keys() - signature.inputs.keys())
    missing = sorted(signature.inputs.keys() - given.keys() - signature.defaults.keys())
    if given and not extra and not missing:
        return
    raise invalid(
        f"input size does not match signature: {len(given)}!={len(signature.inputs)}. "
        f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}."
    )


def fill_defaults(signature: Signature, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns arrays with those of the inputs that a request left out, for as many rows."""
    if len(arrays) == len(signature.inputs):
        return arrays
    rows = max((array.shape[0] for array in arrays.values() if array.ndim), default=1)
    left_out = signature.inputs.keys() - arrays.keys()
    return arrays | {name: np.full(rows, signature.defaults[name]) for name in left_out}


def _to_array(name: str, tensor: Tensor, proto: tensor_pb2.TensorProto) -> np.ndarray:
    if proto.dtype != tensor.enum:
        try:
            received = tf.as_dtype(proto.dtype).name
        except TypeError:
            received = f"type {proto.dtype}"
        raise invalid(f"input {name!r} should be {tensor.dtype.name}, received {received}.")
    shape = proto.tensor_shape
    dims = [dim.size for dim in shape.dim]
    if shape.unknown_rank or (dims and min(dims) < 0):
        raise invalid(f"Tensor parsing error: {name}: its shape is not known.")
    check_shape(name, tensor, dims)
    count = math.prod(dims)
    # `make_ndarray` is many times slower than the two usual cases need.
    if tensor.dtype is tf.string:
        values = proto.string_val
        if len(values) != count:
            raise invalid(f"Tensor parsing error: {name}: {len(values)} values for shape {dims}.")
        array = np.fromiter(values, object, count)
        return array if len(dims) == 1 else array.reshape(dims)
    content = proto.tensor_content
    if content and len(content) == count * tensor.numpy.itemsize:
        return np.frombuffer(content, tensor.numpy).reshape(dims)
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError, OverflowError) as error:
        raise invalid(f"Tensor parsing error: {name}: {error}") from error


def check_shape(name: str, tensor: Tensor, dims: list[int] | tuple[int, ...]) -> None:
    """Rejects a shape that an input does not take.

    Raises:
      RequestError: with both shapes, or for more rows than `MOST_ROWS`.
    """
    expected = tensor.shape
    if expected == (-1,) and len(dims) == 1 and dims[0] <= MOST_ROWS:
        return  # a column, as nearly all are
    # The model itself bounds how many numbers a row has.
    per_row = math.prod(dims[1:]) if _has_fixed_rows(expected, dims) else 1
    if math.prod(dims) > MOST_ROWS * per_row:
        raise invalid(f"input {name!r} has more than {MOST_ROWS} values; send fewer rows.")
    if expected is None:
        return
    fits = len(dims) == len(expected) and all(
        dim in (-1, size) for dim, size in zip(expected, dims, strict=True)
    )
    if not fits:
        raise invalid(
            f"input {name!r} should have shape {list(tensor.shape)}, received {list(dims)}."
        )


def _has_fixed_rows(expected: tuple[int, ...] | None, dims: list[int] | tuple[int, ...]) -> bool:
    return bool(expected) and -1 not in expected[1:] and tuple(expected[1:]) == tuple(dims[1:])


@functools.cache
def _type_number(dtype: np.dtype) -> int:
    return tf.as_dtype(dtype).as_datatype_enum


def to_proto(array: np.ndarray) -> tensor_pb2.TensorProto:
    """Returns an output as a TensorProto."""
    if array.dtype == object:
        return tf.make_tensor_proto(array)
    proto = tensor_pb2.TensorProto(dtype=_type_number(array.dtype), tensor_content=array.tobytes())
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    return proto
