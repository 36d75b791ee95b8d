"""Malformed requests by the thousand: each gets an error of the right kind, in time.

Shared by `serving_faults.py` and the tests of the server. A mutation is a function that makes a
request from a good one; its decorator says what may be answered, and how many rows of a good answer
may be others than those of the good request.
"""

import base64
import collections
import concurrent.futures
import copy
import gzip
import json
import random
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import grpc
import numpy as np
import tensorflow as tf
import urllib3
from tensorflow_serving.apis import predict_pb2

MAX_BYTES = 1 << 20  # what the server should be told to take (--max_request_bytes)
TOLERANCE = 1e-5
_DEADLINE = 30.0  # seconds; a server that does not answer within them hangs
_THREADS = 8
_HUNDRED = 100

_WRONG = ("INVALID_ARGUMENT",)
_NAMED = ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION")
_HARMLESS = ("OK", *_NAMED)
_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_ENCODED = {"x", "shared", "specific"}  # what the signature `encode` answers
_CLOSED = "closed"  # a connection, without an answer: only for what is no HTTP


class Good(NamedTuple):
    """What requests are mutated from: raw columns, the same as tf.Examples, and which rows."""

    columns: Mapping[str, Sequence[Any]]
    examples: Sequence[bytes]
    rows: Sequence[int] = ()

    def drawn(self, draw: random.Random) -> "Good":
        """Some of the rows."""
        count = draw.randint(1, 8)
        chosen = [draw.randrange(len(self.examples)) for _ in range(count)]
        columns = {name: [v[i] for i in chosen] for name, v in self.columns.items()}
        return Good(columns, [self.examples[i] for i in chosen], chosen)

    def texts(self) -> list[str]:
        """Names of the columns of text."""
        return [name for name, values in self.columns.items() if isinstance(values[0], str)]

    def numbers(self) -> list[str]:
        """Names of the columns of numbers."""
        return [name for name, values in self.columns.items() if not isinstance(values[0], str)]


class Mutation(NamedTuple):
    """A kind of malformed request.

    Attributes:
      name: What is done to it.
      protocol: "gRPC" or "REST".
      make: Makes one.
      allowed: Statuses that it may be answered with.
      changed: How many rows it may change; None where that is not known.
    """

    name: str
    protocol: str
    make: Callable[[random.Random, Good], Any]
    allowed: tuple[str, ...]
    changed: int | None


class Http(NamedTuple):
    """An HTTP request."""

    body: bytes
    path: str = "/v1/models/m:predict"
    method: str = "POST"
    headers: Mapping[str, str] = {}


class Raw(NamedTuple):
    """Bytes that a client of its own kind sends; it waits for the answer, or only for a while."""

    parts: Sequence[bytes]
    waits: bool = True


class Call(NamedTuple):
    """A gRPC request."""

    body: bytes
    method: str = _PREDICT


_MUTATIONS: list[Mutation] = []


def _mutation(protocol: str, *allowed: str, changed: int | None = None):
    def register(make):
        name = make.__name__.removeprefix("_").removesuffix("_rest").replace("_", " ")
        _MUTATIONS.append(Mutation(name, protocol, make, allowed, changed))
        return make

    return register


# gRPC


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


def _sent(request: Any) -> Call:
    return Call(request.SerializeToString(deterministic=True))


@_mutation("gRPC", "OK", changed=0)
def _untouched(draw, good):
    return _sent(_any_request(draw, good))


@_mutation("gRPC", *_NAMED)
def _truncated(draw, good):
    body = _any_request(draw, good).SerializeToString(deterministic=True)
    return Call(body[: draw.randrange(len(body))])


@_mutation("gRPC", *_HARMLESS)
def _flipped_bytes(draw, good):
    body = bytearray(_any_request(draw, good).SerializeToString(deterministic=True))
    for _ in range(draw.randint(1, 8)):
        body[draw.randrange(len(body))] = draw.randrange(256)
    return Call(bytes(body))


@_mutation("gRPC", *_NAMED)
def _noise(draw, good):
    return Call(draw.randbytes(draw.randrange(2000)))


@_mutation("gRPC", *_HARMLESS)
def _noise_for_other_methods(draw, good):
    method = draw.choice(["PredictionService/GetModelMetadata", "ModelService/GetModelStatus"])
    body = b"" if draw.random() < 0.1 else b"\n\x03\n\x01m" + draw.randbytes(draw.randrange(50))
    return Call(body, f"/tensorflow.serving.{method}")


@_mutation("gRPC", "UNIMPLEMENTED")
def _unknown_method(draw, good):
    method = draw.choice(["PredictionService/Classify", "SessionService/SessionRun", "x/y"])
    return Call(
        _request(good).SerializeToString(deterministic=True), f"/tensorflow.serving.{method}"
    )


@_mutation("gRPC", *_WRONG)
def _wrong_dtype(draw, good):
    request = _request(good)
    name = draw.choice(list(good.columns))
    right = request.inputs[name].dtype
    wrong = [kind for kind in (*range(24), 101, 107, 999) if kind != right]
    request.inputs[name].dtype = draw.choice(wrong)
    return _sent(request)


@_mutation("gRPC", *_WRONG)
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
    return _sent(request)


@_mutation("gRPC", *_WRONG)
def _columns_of_different_length(draw, good):
    request = _request(good)
    name = draw.choice(good.texts())
    values = ["x"] * (len(good.examples) + draw.randint(2, 5))
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    if len(good.examples) == 1:  # a single value stands for all rows
        other = draw.choice([n for n in good.texts() if n != name])
        request.inputs[other].CopyFrom(tf.make_tensor_proto([*values, "y"]))
    return _sent(request)


@_mutation("gRPC", *_WRONG)
def _too_few_values(draw, good):
    request = _request(good)
    proto = request.inputs[draw.choice(good.texts())]
    proto.tensor_shape.dim[0].size += draw.choice([1, 1000, 1 << 50])
    return _sent(request)


@_mutation("gRPC", *_WRONG)
def _one_value_for_many_rows(draw, good):
    # A few bytes; with single values in all other columns they would cost a server gigabytes.
    request = _request(Good({k: v[:1] for k, v in good.columns.items()}, good.examples[:1]))
    proto = request.inputs[draw.choice(good.numbers())]
    proto.ClearField("tensor_content")
    proto.float_val[:] = [1.0]
    proto.tensor_shape.dim[0].size = draw.randrange(1 << 17, 1 << 18)
    return _sent(request)


@_mutation("gRPC", *_HARMLESS)
def _values_in_other_fields(draw, good):
    request = _request(good)
    proto = request.inputs[draw.choice(good.numbers())]
    proto.tensor_content = draw.randbytes(draw.choice([0, 1, 4, 4 * len(good.examples)]))
    proto.float_val[:] = [1.0] * draw.randrange(3)
    proto.int64_val[:] = [1] * draw.randrange(3)
    return _sent(request)


@_mutation("gRPC", *_WRONG)
def _missing_column(draw, good):
    request = _request(good)
    for name in draw.sample(list(good.columns), draw.randint(1, len(good.columns))):
        del request.inputs[name]
    return _sent(request)


def _odd_name(draw: random.Random) -> str:
    return draw.choice(["colour", "", "\0", "hour ", "x" * 5000, "\N{GRINNING FACE}" * 3000])


@_mutation("gRPC", *_WRONG)
def _extra_column(draw, good):
    request = _request(good)
    request.inputs[_odd_name(draw)].CopyFrom(tf.make_tensor_proto(["x"]))
    return _sent(request)


@_mutation("gRPC", *_WRONG)
def _nan(draw, good):
    request = _request(good)
    name = draw.choice(good.numbers())
    values = np.array(good.columns[name], np.float32)
    values[draw.randrange(len(values))] = np.nan
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return _sent(request)


@_mutation("gRPC", "OK", *_WRONG, changed=1)
def _huge_number(draw, good):
    request = _request(good)
    name = draw.choice(good.numbers())
    values = np.array(good.columns[name], np.float32)
    values[draw.randrange(len(values))] = draw.choice([np.inf, -np.inf, 3e38, -3e38, 1e-44])
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return _sent(request)


def _odd_text(draw: random.Random) -> bytes:
    return draw.choice([b"x" * 500_000, b"\0" * 9, b"\xff\xfe", b"\xc3(", draw.randbytes(99)])


@_mutation("gRPC", "OK", changed=1)
def _odd_text_in_a_column(draw, good):
    request = _request(good)
    name = draw.choice(good.texts())
    values = [value.encode() for value in good.columns[name]]
    values[draw.randrange(len(values))] = _odd_text(draw)
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return _sent(request)


@_mutation("gRPC", *_WRONG)
def _no_example(draw, good):
    examples = list(good.examples)
    examples[draw.randrange(len(examples))] = b"\x07" + _odd_text(draw)
    return _sent(_request(Good(good.columns, examples), draw.choice(["serving_default", "encode"])))


@_mutation("gRPC", *_HARMLESS, changed=1)
def _damaged_example(draw, good):
    examples = list(good.examples)
    at = draw.randrange(len(examples))
    damaged = bytearray(examples[at])
    damaged[draw.randrange(len(damaged))] = draw.randrange(256)
    examples[at] = bytes(damaged[: draw.randint(1, len(damaged))])
    return _sent(_request(Good(good.columns, examples), "serving_default"))


@_mutation("gRPC", *_WRONG)
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
    return _sent(_request(Good(good.columns, examples), "serving_default"))


@_mutation("gRPC", *_NAMED)
def _other_model_version_signature_or_output(draw, good):
    request = _request(good)
    spec = request.model_spec
    change = draw.randrange(5)
    if change == 0:
        spec.name = _odd_name(draw)
    elif change == 1:
        spec.version.value = draw.choice([0, -1, 2, (1 << 63) - 1])
    elif change == 2:
        spec.version_label = _odd_name(draw)
    elif change == 3:
        spec.signature_name = _odd_name(draw) or "x"
    else:
        request.output_filter.append(_odd_name(draw))
    return _sent(request)


@_mutation("gRPC", *_WRONG)
def _name_that_is_no_text(draw, good):
    name = draw.choice([b"\xff\xfe", b"\xc3("])
    return Call(b"\n" + bytes([len(name) + 2]) + b"\n" + bytes([len(name)]) + name)


@_mutation("gRPC", "RESOURCE_EXHAUSTED")
def _oversized(draw, good):
    request = _request(good)
    text = b"x" * (MAX_BYTES + draw.randrange(1000))
    request.inputs[draw.choice(good.texts())].string_val[0] = text
    return _sent(request)


# REST


def _columnar(good: Good) -> dict[str, Any]:
    return {"signature_name": "columns", "inputs": {k: list(v) for k, v in good.columns.items()}}


def _json(draw: random.Random, good: Good) -> dict[str, Any]:
    """A good request of one of the forms."""
    encoded = [{"b64": base64.b64encode(example).decode()} for example in good.examples]
    rows = [
        dict(zip(good.columns, values, strict=True))
        for values in zip(*good.columns.values(), strict=True)
    ]
    return draw.choice(
        [
            _columnar(good),
            {"signature_name": "columns", "instances": rows},
            {"instances": encoded},
            {"inputs": {"examples": encoded}},
        ]
    )


def _body(content: Any) -> Http:
    return Http(json.dumps(content).encode())


@_mutation("REST", "200", changed=0)
def _untouched_rest(draw, good):
    return _body(_json(draw, good))


@_mutation("REST", "400")
def _truncated_rest(draw, good):
    body = json.dumps(_json(draw, good)).encode()
    return Http(body[: draw.randrange(len(body))])


@_mutation("REST", "200", "400")
def _flipped_bytes_rest(draw, good):
    body = bytearray(json.dumps(_json(draw, good)).encode())
    for _ in range(draw.randint(1, 8)):
        body[draw.randrange(len(body))] = draw.randrange(256)
    return Http(bytes(body))


@_mutation("REST", "400")
def _invalid_utf8_rest(draw, good):
    content = _columnar(good)
    content["inputs"][draw.choice(good.texts())][0] = "MARK"
    odd = draw.choice([b"\xff\xfe", b"\xc3(", b"\xed\xa0\x80", b"\\ud800", b"\\udfff", b"\\u12"])
    return Http(json.dumps(content).encode().replace(b"MARK", odd))


@_mutation("REST", "400")
def _wrong_type_rest(draw, good):
    content = _columnar(good)
    if draw.random() < 0.5:
        name, odd = draw.choice(good.texts()), [1, 0.5, True, None, {}, {"b64": "%"}, {"b64": 1}]
    else:
        name, odd = draw.choice(good.numbers()), ["1", "", True, None, {}, {"b64": "MQ=="}]
    values = content["inputs"][name]
    values[draw.randrange(len(values))] = draw.choice(odd)
    return _body(content)


@_mutation("REST", "400")
def _wrong_shape_rest(draw, good):
    content = _columnar(good)
    name = draw.choice(list(good.columns))
    values = content["inputs"][name]
    odd = [values[0], [values], [[value] for value in values], [*values, []], [[], values], {}]
    content["inputs"][name] = draw.choice(odd)
    return _body(content)


@_mutation("REST", "400")
def _deep_rest(draw, good):
    depth = draw.choice([30, 200, 1000, 1025, 20_000, 400_000])
    opened, closed = draw.choice([(b"[", b"]"), (b'{"a":', b"}")])
    nested = opened * depth + b"1" + closed * depth
    if draw.random() < 0.3:
        return Http((opened * depth)[: MAX_BYTES // 2])
    body = b'{"signature_name":"columns","inputs":{"hour":' + nested + b"}}"
    return Http(body if len(body) < MAX_BYTES else nested[: MAX_BYTES // 2])


@_mutation("REST", "400")
def _missing_or_extra_column_rest(draw, good):
    content = _columnar(good)
    if draw.random() < 0.5:
        del content["inputs"][draw.choice(list(good.columns))]
    else:
        content["inputs"][_odd_name(draw)] = ["x"] * len(good.examples)
    return _body(content)


@_mutation("REST", "400")
def _uneven_rows_rest(draw, good):
    rows = [{k: v[0] for k, v in good.columns.items()} for _ in range(3)]
    at = draw.randrange(3)
    change = draw.randrange(3)
    if change == 0:
        del rows[at][draw.choice(list(good.columns))]
    elif change == 1:
        rows[at][_odd_name(draw)] = 1
    else:
        rows[at] = draw.choice([None, 1, "x", [], {}])
    return _body({"signature_name": "columns", "instances": rows})


@_mutation("REST", "400")
def _nan_rest(draw, good):
    content = _columnar(good)
    values = content["inputs"][draw.choice(good.numbers())]
    values[draw.randrange(len(values))] = "MARK"
    odd = draw.choice([b"NaN", b"nan", b"Infinity", b"-Infinity", b"1.", b"0x1", b"+1"])
    return Http(json.dumps(content).encode().replace(b'"MARK"', odd))


@_mutation("REST", "200", "400", changed=1)
def _huge_number_rest(draw, good):
    content = _columnar(good)
    values = content["inputs"][draw.choice(good.numbers())]
    values[draw.randrange(len(values))] = "MARK"
    odd = draw.choice([b"1e39", b"1e400", b"-1e400", b"9" * 400, b"1e-400", b"0." + b"1" * 9999])
    return Http(json.dumps(content).encode().replace(b'"MARK"', odd))


@_mutation("REST", "200", changed=1)
def _odd_text_in_a_column_rest(draw, good):
    content = _columnar(good)
    values = content["inputs"][draw.choice(good.texts())]
    odd = _odd_text(draw)
    encoded = {"b64": base64.b64encode(odd).decode()}
    at = draw.randrange(len(values))
    values[at] = draw.choice([encoded, odd.decode("latin-1"), "\N{GRINNING FACE}" * 9])
    return _body(content)


@_mutation("REST", "400")
def _no_example_rest(draw, good):
    odd = draw.choice([b"\x07", b"\x07\xff\xfe", b"\x07" + draw.randbytes(50)])
    encoded = [{"b64": base64.b64encode(e).decode()} for e in (*good.examples, odd)]
    draw.shuffle(encoded)
    return _body({draw.choice(["instances", "inputs"]): encoded})


@_mutation("REST", "400")
def _not_the_format_rest(draw, good):
    content = _columnar(good)
    odd = [
        None,
        [],
        [content],
        "x",
        1,
        {},
        {**content, "instances": [1]},
        {**content, "signature_name": draw.choice([None, 1, [], "x" * 5000, "\0"])},
        {"signature_name": "columns"},
        {"signature_name": "columns", "instances": draw.choice([[], {}, None, "x", 1])},
        {"signature_name": "columns", "inputs": draw.choice([[], {}, None, "x", 1])},
    ]
    return _body(draw.choice(odd))


@_mutation("REST", "413")
def _oversized_rest(draw, good):
    body = json.dumps(_columnar(good)).encode()
    body += b" " * (MAX_BYTES + draw.randrange(1000))
    return Http(body)


@_mutation("REST", "413")
def _oversized_when_unpacked_rest(draw, good):
    packed = gzip.compress(b" " * (MAX_BYTES * draw.randint(2, 30)), mtime=0)
    return Http(packed, headers={"Content-Encoding": "gzip"})


@_mutation("REST", "400", "408")  # what seems to have no end is waited for
def _damaged_packing_rest(draw, good):
    packed = gzip.compress(json.dumps(_columnar(good)).encode(), mtime=0)
    kind = draw.choice(["gzip", "deflate"])
    cut = draw.choice([b"no gzip at all", packed[: len(packed) // 2], packed[5:]])
    return Http(cut, headers={"Content-Encoding": kind})


@_mutation("REST", "400", "404")
def _other_path_rest(draw, good):
    paths = [
        "/",
        "//",
        "/v1/models",
        "/v1/models/",
        "/v1/models/x:predict",
        "/v1/models/m/versions/2:predict",
        "/v1/models/m/versions/" + "9" * draw.choice([5, 19, 20, 3000]),
        "/v1/models/m/versions/-1",
        "/v1/models/m/labels/x:predict",
        "/v1/models/m/labels/%ff%fe:predict",
        "/v1/models/%00:predict",
        "/v1/models/%ff",
        "/v1/models/../../../etc/passwd",
        "/v1/models/m:" + "x" * 3000,
        "/v1/models/m%2Fversions%2F1",
        "/monitoring",
    ]
    return Http(_body(_columnar(good)).body, draw.choice(paths), draw.choice(["POST", "GET"]))


@_mutation("REST", "400", "501")
def _other_method_rest(draw, good):
    method = draw.choice(["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "POST"])
    path = draw.choice([":classify", ":regress"]) if method == "POST" else ":predict"
    return Http(_body(_columnar(good)).body, f"/v1/models/m{path}", method)


_START = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: m\r\n"


@_mutation("REST", "400", "404", "408", "413", "501", "505", _CLOSED)
def _not_http_rest(draw, good):
    odd = [
        draw.randbytes(200) + b"\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"POST\r\n\r\n",
        b"POST /v1/models/m:predict HTTP/9.9\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: m\r\n\r\n",
        b"GET //[ HTTP/1.1\r\nHost: m\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: m\r\n\r\n",
        _START + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        _START + b"Content-Length: -1\r\n\r\n{}",
        _START + b"Content-Length: x\r\n\r\n{}",
        _START + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        _START + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        _START + b"X\0Y: 1\r\n\r\n",
    ]
    return Raw([draw.choice(odd)])


@_mutation("REST", "400", "408")
def _damaged_chunks_rest(draw, good):
    odd = draw.choice([b"zz\r\n{}\r\n", b"-2\r\n{}\r\n", b"2\r\n{}{}{}{}\r\n0\r\n\r\n"])
    return Raw([_START + b"Transfer-Encoding: chunked\r\n\r\n", odd])


@_mutation("REST", "408", "400")
def _slow_body_rest(draw, good):
    length = draw.choice([b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
    start = [b"2\r\n{", b"}"] if length.startswith(b"T") else [b"{", b'"', b"a"]
    return Raw([_START + length, *start])


@_mutation("REST", _CLOSED)
def _hangs_up_rest(draw, good):
    body = _body(_columnar(good)).body
    whole = _START + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return Raw([whole[: draw.randrange(1, len(whole))]], waits=False)


@_mutation("gRPC", _CLOSED)
def _hangs_up(draw, good):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    noise = preface + draw.randbytes(draw.randrange(100))
    return Raw([noise[: draw.randrange(1, len(noise))]], waits=False)


# A few kinds take long or much, and come less often than others.
_RARE = {
    "slow body": 0.1,
    "damaged chunks": 0.1,
    "oversized when unpacked": 0.3,
    "oversized": 0.3,
    "deep": 0.5,
}


class Target:
    """A server, and how it is asked.

    Args:
      server: With `address`, `port`, `url` and `rest_port`.
    """

    def __init__(self, server: Any):
        self._server = server
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
        self._channel = grpc.insecure_channel(server.address, options=unlimited)
        self._pool = urllib3.PoolManager(maxsize=_THREADS, retries=False, timeout=_DEADLINE)

    def ask(
        self, mutation: Mutation, request: Call | Http | Raw
    ) -> tuple[str, Mapping[str, np.ndarray] | None]:
        """Returns the answer's status, or what happened instead; and a prediction's outputs."""
        try:
            if isinstance(request, Call):
                body = self._channel.unary_unary(request.method)(request.body, timeout=_DEADLINE)
                if request.method != _PREDICT:
                    return "OK", None
                outputs = predict_pb2.PredictResponse.FromString(body).outputs
                return "OK", {name: tf.make_ndarray(proto) for name, proto in outputs.items()}
            if isinstance(request, Http):
                return self._http(request)
            return self._raw(mutation, request), None
        except grpc.RpcError as error:
            return error.code().name, None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return type(error).__name__, None

    def _http(self, request: Http) -> tuple[str, Mapping[str, np.ndarray] | None]:
        answer = self._pool.request(
            request.method,
            self._server.url + request.path,
            body=request.body,
            # What a server does to one request's connection must not be seen in the next.
            headers={"Connection": "close", **request.headers},
        )
        try:
            content = json.loads(answer.data)
            if answer.status != 200:
                return f"{answer.status}{'' if content['error'] else ' without a sentence'}", None
            if "predictions" in content:
                rows = content["predictions"]
                outputs = {name: [row[name] for row in rows] for name in rows[0]}
            else:
                outputs = content["outputs"]
            return "200", {name: np.array(v, np.float64) for name, v in outputs.items()}
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return f"{answer.status} with {answer.data[:100]!r}", None

    def _raw(self, mutation: Mutation, request: Raw) -> str:
        port = self._server.port if mutation.protocol == "gRPC" else self._server.rest_port
        with socket.create_connection(("127.0.0.1", port), timeout=_DEADLINE) as connection:
            for part in request.parts:
                connection.sendall(part)
                time.sleep(0.05)
            if not request.waits:
                return _CLOSED
            if mutation.name == "not http":  # some of it seems to have no end
                connection.shutdown(socket.SHUT_WR)
            try:
                start = connection.recv(100)
            except ConnectionError:
                return _CLOSED
        return start.split(b" ")[1].decode() if start.startswith(b"HTTP/") else _CLOSED

    def close(self) -> None:
        """Closes the connections."""
        self._channel.close()
        self._pool.clear()


class Result:
    """What was answered.

    Attributes:
      problems: Answers that are none of the allowed ones, and good requests that failed.
      good: Number of good requests that were answered in between.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.good = 0
        self._codes: dict[tuple[str, str], collections.Counter[str]] = {}
        self._longest: collections.Counter[tuple[str, str]] = collections.Counter()

    def add(
        self, mutation: Mutation, code: str, wrong: str | None, seconds: float, shown: str
    ) -> None:
        """Counts an answer.

        Args:
          mutation: What it answers.
          code: Its status.
          wrong: What is wrong with its outputs; None if nothing is.
          seconds: How long it took.
          shown: The request.
        """
        key = mutation.name, mutation.protocol
        self._codes.setdefault(key, collections.Counter())[code] += 1
        self._longest[key] = max(self._longest[key], seconds)
        if code not in mutation.allowed:
            self.problems.append(f"{mutation.protocol}, {mutation.name}: {code} for {shown}")
        elif wrong:
            self.problems.append(f"{mutation.protocol}, {mutation.name}: {wrong} for {shown}")

    def table(self) -> list[dict[str, Any]]:
        """A row for each kind of request."""
        return [
            {
                "protocol": protocol,
                "mutation": name,
                "requests": sum(codes.values()),
                "answers": ", ".join(f"{code} {n}" for code, n in codes.most_common()),
                "longest_s": round(self._longest[name, protocol], 2),
            }
            for (name, protocol), codes in sorted(self._codes.items())
        ]


def malformed(good: Good, seed: int, number: int) -> tuple[Mutation, Good, Call | Http | Raw]:
    """Makes a request: how, from which rows, and what it is; the same for the same numbers.

    Args:
      good: The rows to choose from.
      seed: Of all requests.
      number: Of this one.
    """
    own = random.Random(f"{seed} {number}")
    weights = [_RARE.get(mutation.name, 1.0) for mutation in _MUTATIONS]
    [mutation] = own.choices(_MUTATIONS, weights)
    drawn = good.drawn(own)
    return mutation, drawn, mutation.make(own, drawn)


def fuzz(
    server: Any,
    columns: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    count: int,
    seed: int,
) -> Result:
    """Sends malformed requests, several at a time, and good ones after each hundred.

    Args:
      server: A `faults.LocalServer` whose limit of a request's size is `MAX_BYTES`.
      columns: Raw columns of good rows.
      expected: What is due for these.
      count: How many malformed requests.
      seed: Chooses them.
    """
    draw, result, target = random.Random(seed), Result(), Target(server)
    rows = good_rows(columns)

    def send(number: int) -> None:
        mutation, drawn, request = malformed(rows, seed, number)
        start = time.monotonic()
        code, outputs = target.ask(mutation, request)
        seconds = time.monotonic() - start
        wrong = None
        if outputs is not None:
            due = {task: values[drawn.rows] for task, values in expected.items()}
            wrong = wrong_outputs(outputs, due, mutation.changed)
        result.add(mutation, code, wrong, seconds, f"number {number}: {request!r:.300}")

    numbers = list(range(count))
    draw.shuffle(numbers)
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        clients = [server.client(kind) for kind in ("gRPC", "REST")]
        for start in range(0, count, _HUNDRED):
            list(pool.map(send, numbers[start : start + _HUNDRED]))
            for client in clients:
                try:
                    answer = client.predict(columns)
                    for task, values in expected.items():
                        np.testing.assert_allclose(answer[task], values, rtol=TOLERANCE)
                    result.good += 1
                # Whatever it is, the good request was not answered.
                except Exception as error:
                    result.problems.append(f"a good request after {start + _HUNDRED}: {error!r}")
            if server.process.poll() is not None:
                result.problems.append(f"the server ended: {server.log.read_text()[-2000:]}")
                break
        for client in clients:
            client.close()
    target.close()
    return result


def wrong_outputs(
    outputs: Mapping[str, np.ndarray], due: Mapping[str, np.ndarray], changed: int | None
) -> str | None:
    """Says what is wrong with the answer to a harmless request; None if nothing is.

    Args:
      outputs: The answer.
      due: Probabilities that are due for the good request.
      changed: How many rows may have others; None if all of them, and if there may be more or fewer
        rows and fewer tasks.
    """
    if not outputs or not all(np.isfinite(values).all() for values in outputs.values()):
        return f"no finite numbers ({', '.join(outputs)})"
    if len({len(values) for values in outputs.values()}) > 1:
        return "outputs of different length"
    encoded = outputs.keys() == _ENCODED
    if not encoded and not all(((v >= 0) & (v <= 1)).all() for v in outputs.values()):
        return "no probabilities"
    if not encoded and not outputs.keys() <= due.keys():
        return f"answers of {', '.join(outputs)}"
    if encoded or changed is None:
        return None
    if outputs.keys() != due.keys():
        return f"no answers of {', '.join(due.keys() - outputs.keys())}"
    other = np.zeros(len(next(iter(due.values()))), bool)
    for task, values in due.items():
        if outputs[task].shape != values.shape:
            return f"{task} of shape {outputs[task].shape} instead of {values.shape}"
        other |= ~np.isclose(outputs[task], values, rtol=TOLERANCE, atol=0)
    return f"{other.sum()} rows are answered as others" if other.sum() > changed else None


def good_rows(columns: Mapping[str, np.ndarray]) -> Good:
    """Plain values of raw columns, and the same rows as tf.Examples."""
    plain = {
        name: values.tolist() if values.dtype.kind in "fiu" else values.astype(str).tolist()
        for name, values in columns.items()
    }
    examples = []
    for row in zip(*plain.values(), strict=True):
        example = tf.train.Example()
        for name, value in zip(plain, row, strict=True):
            feature = example.features.feature[name]
            if isinstance(value, str):
                feature.bytes_list.value.append(value.encode())
            else:
                feature.float_list.value.append(value)
        examples.append(example.SerializeToString(deterministic=True))
    return Good(plain, examples)
