"""Malformed requests over gRPC."""

import copy
import random
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from mptrec_tf.serving.testing.mutation import (
    CLOSED,
    HARMLESS,
    MAX_BYTES,
    NAMED,
    WRONG,
    Call,
    Good,
    Raw,
    mutation,
    pick_odd_name,
    pick_odd_text,
)


def _request(good: Good, signature: str = "columns") -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature
    if signature == "columns":
        for name, values in good.columns.items():
            kind = np.float32 if name in good.numbers() else object
            request.inputs[name].CopyFrom(tf.make_tensor_proto(np.array(values, kind)))
    else:
        request.inputs["examples"].CopyFrom(tf.make_tensor_proto(list(good.examples)))
    return request


def _any_request(draw: random.Random, good: Good) -> predict_pb2.PredictRequest:
    return _request(good, draw.choice(["columns", "columns", "serving_default", "encode"]))


def _call(request: Any) -> Call:
    return Call(request.SerializeToString(deterministic=True))


@mutation("gRPC", "OK", changed=0)
def _untouched(draw, good):
    return _call(_any_request(draw, good))


@mutation("gRPC", *NAMED)
def _truncated(draw, good):
    body = _any_request(draw, good).SerializeToString(deterministic=True)
    return Call(body[: draw.randrange(len(body))])


@mutation("gRPC", *HARMLESS)
def _flipped_bytes(draw, good):
    body = bytearray(_any_request(draw, good).SerializeToString(deterministic=True))
    for _ in range(draw.randint(1, 8)):
        body[draw.randrange(len(body))] = draw.randrange(256)
    return Call(bytes(body))


@mutation("gRPC", *NAMED)
def _noise(draw, good):
    return Call(draw.randbytes(draw.randrange(2000)))


@mutation("gRPC", *HARMLESS)
def _noise_for_other_methods(draw, good):
    method = draw.choice(["PredictionService/GetModelMetadata", "ModelService/GetModelStatus"])
    body = b"" if draw.random() < 0.1 else b"\n\x03\n\x01m" + draw.randbytes(draw.randrange(50))
    return Call(body, f"/tensorflow.serving.{method}")


@mutation("gRPC", "UNIMPLEMENTED")
def _unknown_method(draw, good):
    method = draw.choice(["PredictionService/Classify", "SessionService/SessionRun", "x/y"])
    return Call(
        _request(good).SerializeToString(deterministic=True), f"/tensorflow.serving.{method}"
    )


@mutation("gRPC", *WRONG)
def _wrong_dtype(draw, good):
    request = _request(good)
    name = draw.choice(list(good.columns))
    right = request.inputs[name].dtype
    wrong = [kind for kind in (*range(24), 101, 107, 999) if kind != right]
    request.inputs[name].dtype = draw.choice(wrong)
    return _call(request)


@mutation("gRPC", *WRONG)
def _wrong_shape(draw, good):
    request = _request(good)
    shape = request.inputs[draw.choice(list(good.columns))].tensor_shape
    rows = shape.dim[0].size
    del shape.dim[:]
    sizes = [
        [],
        [rows, 1],
        [-1],
        [1 << 40],
        [rows + 1, rows],
        [1, 1 << 62],
        [1] * 300,
        [-(1 << 63)],
    ]
    for size in draw.choice(sizes):
        shape.dim.add(size=size)
    shape.unknown_rank = draw.random() < 0.1
    return _call(request)


@mutation("gRPC", *WRONG)
def _columns_of_different_length(draw, good):
    request = _request(good)
    name = draw.choice(good.texts())
    values = ["x"] * (len(good.examples) + draw.randint(2, 5))
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    if len(good.examples) == 1:  # a single value stands for all rows
        other = draw.choice([n for n in good.texts() if n != name])
        request.inputs[other].CopyFrom(tf.make_tensor_proto([*values, "y"]))
    return _call(request)


@mutation("gRPC", *WRONG)
def _too_few_values(draw, good):
    request = _request(good)
    proto = request.inputs[draw.choice(good.texts())]
    proto.tensor_shape.dim[0].size += draw.choice([1, 1000, 1 << 50])
    return _call(request)


@mutation("gRPC", *WRONG)
def _one_value_for_many_rows(draw, good):
    # A few bytes; with single values in all other columns they would cost a server gigabytes.
    request = _request(Good({k: v[:1] for k, v in good.columns.items()}, good.examples[:1]))
    proto = request.inputs[draw.choice(good.numbers())]
    proto.ClearField("tensor_content")
    proto.float_val[:] = [1.0]
    proto.tensor_shape.dim[0].size = draw.randrange(1 << 17, 1 << 18)
    return _call(request)


@mutation("gRPC", *HARMLESS)
def _values_in_other_fields(draw, good):
    request = _request(good)
    proto = request.inputs[draw.choice(good.numbers())]
    proto.tensor_content = draw.randbytes(draw.choice([0, 1, 4, 4 * len(good.examples)]))
    proto.float_val[:] = [1.0] * draw.randrange(3)
    proto.int64_val[:] = [1] * draw.randrange(3)
    return _call(request)


@mutation("gRPC", *WRONG)
def _missing_column(draw, good):
    request = _request(good)
    for name in draw.sample(list(good.columns), draw.randint(1, len(good.columns))):
        del request.inputs[name]
    return _call(request)


@mutation("gRPC", *WRONG)
def _extra_column(draw, good):
    request = _request(good)
    request.inputs[pick_odd_name(draw)].CopyFrom(tf.make_tensor_proto(["x"]))
    return _call(request)


@mutation("gRPC", *WRONG)
def _nan(draw, good):
    request = _request(good)
    name = draw.choice(good.numbers())
    values = np.array(good.columns[name], np.float32)
    values[draw.randrange(len(values))] = np.nan
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return _call(request)


@mutation("gRPC", "OK", *WRONG, changed=1)
def _huge_number(draw, good):
    request = _request(good)
    name = draw.choice(good.numbers())
    values = np.array(good.columns[name], np.float32)
    values[draw.randrange(len(values))] = draw.choice([np.inf, -np.inf, 3e38, -3e38, 1e-44])
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return _call(request)


@mutation("gRPC", "OK", changed=1)
def _odd_text_in_a_column(draw, good):
    request = _request(good)
    name = draw.choice(good.texts())
    values = [value.encode() for value in good.columns[name]]
    values[draw.randrange(len(values))] = pick_odd_text(draw)
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return _call(request)


@mutation("gRPC", *WRONG)
def _not_an_example(draw, good):
    examples = list(good.examples)
    examples[draw.randrange(len(examples))] = b"\x07" + pick_odd_text(draw)
    return _call(_request(Good(good.columns, examples), draw.choice(["serving_default", "encode"])))


@mutation("gRPC", *HARMLESS, changed=1)
def _damaged_example(draw, good):
    examples = list(good.examples)
    at = draw.randrange(len(examples))
    damaged = bytearray(examples[at])
    damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    examples[at] = bytes(damaged[: draw.randint(1, len(damaged))])
    return _call(_request(Good(good.columns, examples), "serving_default"))


@mutation("gRPC", *WRONG)
def _other_example(draw, good):
    examples = list(good.examples)
    at = draw.randrange(len(examples))
    example = tf.train.Example.FromString(examples[at])
    feature = example.features.feature[draw.choice(list(good.columns))]
    change = draw.randrange(3)
    if change == 0:
        feature.Clear()
    elif change == 1:
        feature.int64_list.value[:] = [1]
    else:
        feature.MergeFrom(copy.deepcopy(feature))  # two values
    examples[at] = example.SerializeToString(deterministic=True)
    return _call(_request(Good(good.columns, examples), "serving_default"))


@mutation("gRPC", *NAMED)
def _other_model_version_signature_or_output(draw, good):
    request = _request(good)
    spec = request.model_spec
    change = draw.randrange(5)
    if change == 0:
        spec.name = pick_odd_name(draw)
    elif change == 1:
        spec.version.value = draw.choice([0, -1, 2, (1 << 63) - 1])
    elif change == 2:
        spec.version_label = pick_odd_name(draw)
    elif change == 3:
        spec.signature_name = pick_odd_name(draw) or "x"
    else:
        request.output_filter.append(pick_odd_name(draw))
    return _call(request)


@mutation("gRPC", *WRONG)
def _name_that_is_not_text(draw, good):
    name = draw.choice([b"\xff\xfe", b"\xc3("])
    return Call(b"\n" + bytes([len(name) + 2]) + b"\n" + bytes([len(name)]) + name)


@mutation("gRPC", "RESOURCE_EXHAUSTED")
def _oversized(draw, good):
    request = _request(good)
    text = b"x" * (MAX_BYTES + draw.randrange(1000))
    request.inputs[draw.choice(good.texts())].string_val[0] = text
    return _call(request)


@mutation("gRPC", CLOSED)
def _hangs_up(draw, good):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    noise = preface + draw.randbytes(draw.randrange(100))
    return Raw([noise[: draw.randrange(1, len(noise))]], waits=False)
