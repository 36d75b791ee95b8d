"""Converts TF Serving's JSON, rows (`instances`) or columns (`inputs`), to arrays, and back."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import tensorflow as tf

from mptrec_tf.serving.server import tensors
from mptrec_tf.serving.server.request_error import invalid
from mptrec_tf.serving.server.signature import Signature, Tensor

_BYTES_SUFFIX = "_bytes"
# A text, in which NaN is part of a value, or NaN itself.
_TEXT_OR_NAN = re.compile(rb'"(?:[^"\\]|\\.)*"|NaN', re.DOTALL)


def parse(body: bytes, takes_missing: bool = False) -> dict[str, Any]:
    """Returns the JSON object in a request's body.

    Args:
      body: The body.
      takes_missing: Whether `NaN`, which TF Serving takes and JSON has not, is read as null.

    Raises:
      RequestError: if it is not a JSON object.
    """
    if takes_missing and b"NaN" in body:
        body = _TEXT_OR_NAN.sub(lambda m: b"null" if m[0] == b"NaN" else m[0], body)
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error}") from error
    if not isinstance(content, dict):
        raise invalid("Request body should be a JSON object.")
    return content


def read_signature_name(content: Mapping[str, Any]) -> str:
    """Returns the signature that a request names.

    Raises:
      RequestError: if it is not a string.
    """
    name = content.get("signature_name", "serving_default")
    if not isinstance(name, str):
        raise invalid("'signature_name' should be a string.")
    return name


def is_rows(content: Mapping[str, Any]) -> bool:
    """Whether a request is in row format; otherwise it is columnar.

    Raises:
      RequestError: if it is neither, or both.
    """
    rows, columns = "instances" in content, "inputs" in content
    if rows and columns:
        raise invalid("Not formatted correctly: expects either 'instances' or 'inputs', not both.")
    if not rows and not columns:
        raise invalid("Missing 'inputs' or 'instances' key")
    return rows


def to_arrays(signature: Signature, content: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Returns the arrays of a request, by input.

    Raises:
      RequestError: for inputs that do not fit the signature.
    """
    columns = (
        _columns_of_rows(signature, content["instances"])
        if is_rows(content)
        else _by_name(signature, content["inputs"])
    )
    if signature.spec_names and columns.keys() <= signature.spec_names.keys():
        left_out = signature.spec_names.keys() - columns.keys()
        if {signature.spec_names[name] for name in left_out} <= signature.defaults.keys():
            columns = {signature.spec_names[name]: values for name, values in columns.items()}
    tensors.check_names(signature, columns)
    arrays = {
        name: _to_array(name, signature.inputs[name], v, signature.defaults.get(name))
        for name, v in columns.items()
    }
    return tensors.fill_defaults(signature, arrays)


def _by_name(signature: Signature, value: Any) -> Mapping[str, Any]:
    """Returns values by input; a single input needs no name."""
    if isinstance(value, dict) and not _is_base64(value):
        return value
    if len(signature.inputs) != 1:
        raise invalid(
            f"signature {signature.name!r} has {len(signature.inputs)} inputs: each value needs "
            "the name of one."
        )
    return {next(iter(signature.inputs)): value}


def _columns_of_rows(signature: Signature, rows: Any) -> Mapping[str, Any]:
    if not isinstance(rows, list) or not rows:
        raise invalid("'instances' should be a list that is not empty.")
    first = _by_name(signature, rows[0])
    columns: dict[str, list[Any]] = {name: [] for name in first}
    for number, row in enumerate(rows):
        values = _by_name(signature, row)
        if values.keys() != first.keys():
            odd = sorted(values.keys() ^ first.keys())
            raise invalid(f"instance {number} and the first differ in {odd[0]!r}.")
        for name, column in columns.items():
            column.append(values[name])
    return columns


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"}


def _to_array(
    name: str, tensor: Tensor, value: Any, default: np.generic | None = None
) -> np.ndarray:
    shape, flat = _flatten(name, value)
    tensors.check_shape(name, tensor, shape)
    kinds = set(map(type, flat))
    if default is not None and type(None) in kinds:
        flat = [default.item() if v is None else v for v in flat]
        kinds = set(map(type, flat))
    if tensor.dtype is tf.string:
        array = np.empty(len(flat), object)
        # TensorFlow encodes text as UTF-8 itself, and the parser lets no other text through.
        array[:] = flat if kinds == {str} else [_to_bytes(name, v) for v in flat]
        return array.reshape(shape)
    if tensor.numpy.kind == "f" and kinds == {float}:
        with np.errstate(over="ignore"):
            return np.array(flat, tensor.numpy).reshape(shape)
    if tensor.dtype == tf.bool:
        allowed = {bool}
    else:
        allowed = {int, float} if tensor.dtype.is_floating else {int}
    wrong = kinds - allowed
    if wrong:
        raise invalid(
            f"input {name!r} should be {tensor.dtype.name}, received {_json_type(wrong.pop())}."
        )
    dtype = tensor.dtype.as_numpy_dtype
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, object).astype(dtype).reshape(shape)
    except OverflowError as error:
        raise invalid(f"input {name!r}: a value does not fit {tensor.dtype.name}.") from error


def _flatten(name: str, value: Any) -> tuple[list[int], Sequence[Any]]:
    """Returns the shape of nested lists, and their values in one list."""
    # A plain list, the usual case, needs no copies.
    if isinstance(value, list) and list not in set(map(type, value)):
        return [len(value)], value
    shape: list[int] = []
    flat = [value]
    while flat and isinstance(flat[0], list):
        size = len(flat[0])
        if not all(isinstance(v, list) and len(v) == size for v in flat):
            raise invalid(f"input {name!r}: its lists differ in length or depth.")
        shape.append(size)
        flat = [inner for v in flat for inner in v]
    return shape, flat


def _to_bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if _is_base64(value) and isinstance(value["b64"], str):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid(f"input {name!r}: invalid base64 ({error}).") from error
    raise invalid(f"input {name!r} should be string, received {_json_type(type(value))}.")


def _json_type(kind: type) -> str:
    names = {str: "string", int: "int", float: "float", bool: "bool", dict: "object", list: "list"}
    return names.get(kind, "null")


def encode_response(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """Returns the body of a response, in the format of the request."""
    plain = {name: _to_json(name, array) for name, array in outputs.items()}
    if not rows:
        content = {"outputs": plain if len(plain) > 1 else next(iter(plain.values()))}
    elif len(plain) == 1:
        content = {"predictions": next(iter(plain.values()))}
    else:
        names = list(plain)
        content = {
            "predictions": [
                dict(zip(names, values, strict=True))
                for values in zip(*plain.values(), strict=True)
            ]
        }
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def _to_json(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        encode = (
            (lambda v: {"b64": base64.b64encode(v).decode()})
            if name.endswith(_BYTES_SUFFIX)
            else (lambda v: v.decode("utf-8", "replace"))
        )
        return np.vectorize(encode, otypes=[object])(array).tolist() if array.size else []
    # The encoder takes C order only.
    return np.ascontiguousarray(array)
