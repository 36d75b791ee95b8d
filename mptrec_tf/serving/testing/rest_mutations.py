"""Malformed requests over REST."""

import base64
import gzip
import json
import random
from typing import Any

from mptrec_tf.serving.testing.mutation import (
    CLOSED,
    MAX_BYTES,
    Good,
    Http,
    Raw,
    mutation,
    pick_odd_name,
    pick_odd_text,
)


def _columnar(good: Good) -> dict[str, Any]:
    return {"signature_name": "columns", "inputs": {k: list(v) for k, v in good.columns.items()}}


def _json(draw: random.Random, good: Good) -> dict[str, Any]:
    """Returns a good request in one of the forms."""
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


@mutation("REST", "200", changed=0)
def _untouched_rest(draw, good):
    return _body(_json(draw, good))


@mutation("REST", "400")
def _truncated_rest(draw, good):
    body = json.dumps(_json(draw, good)).encode()
    return Http(body[: draw.randrange(len(body))])


@mutation("REST", "200", "400")
def _flipped_bytes_rest(draw, good):
    body = bytearray(json.dumps(_json(draw, good)).encode())
    for _ in range(draw.randint(1, 8)):
        body[draw.randrange(len(body))] = draw.randrange(256)
    return Http(bytes(body))


@mutation("REST", "400")
def _invalid_utf8_rest(draw, good):
    content = _columnar(good)
    content["inputs"][draw.choice(good.texts())][0] = "MARK"
    odd = draw.choice([b"\xff\xfe", b"\xc3(", b"\xed\xa0\x80", b"\\ud800", b"\\udfff", b"\\u12"])
    return Http(json.dumps(content).encode().replace(b"MARK", odd))


@mutation("REST", "400")
def _wrong_type_rest(draw, good):
    content = _columnar(good)
    if draw.random() < 0.5:
        name, odd = draw.choice(good.texts()), [1, 0.5, True, None, {}, {"b64": "%"}, {"b64": 1}]
    else:
        name, odd = draw.choice(good.numbers()), ["1", "", True, None, {}, {"b64": "MQ=="}]
    values = content["inputs"][name]
    values[draw.randrange(len(values))] = draw.choice(odd)
    return _body(content)


@mutation("REST", "400")
def _wrong_shape_rest(draw, good):
    content = _columnar(good)
    name = draw.choice(list(good.columns))
    values = content["inputs"][name]
    odd = [values[0], [values], [[value] for value in values], [*values, []], [[], values], {}]
    content["inputs"][name] = draw.choice(odd)
    return _body(content)


@mutation("REST", "400")
def _deep_rest(draw, good):
    depth = draw.choice([30, 200, 1000, 1025, 20_000, 400_000])
    opened, closed = draw.choice([(b"[", b"]"), (b'{"a":', b"}")])
    nested = opened * depth + b"1" + closed * depth
    if draw.random() < 0.3:
        return Http((opened * depth)[: MAX_BYTES // 2])
    name = json.dumps(next(iter(good.columns))).encode()
    body = b'{"signature_name":"columns","inputs":{' + name + b":" + nested + b"}}"
    return Http(body if len(body) < MAX_BYTES else nested[: MAX_BYTES // 2])


@mutation("REST", "400")
def _missing_or_extra_column_rest(draw, good):
    content = _columnar(good)
    if draw.random() < 0.5:
        del content["inputs"][draw.choice(list(good.columns))]
    else:
        content["inputs"][pick_odd_name(draw)] = ["x"] * len(good.examples)
    return _body(content)


@mutation("REST", "400")
def _uneven_rows_rest(draw, good):
    rows = [{k: v[0] for k, v in good.columns.items()} for _ in range(3)]
    at = draw.randrange(3)
    change = draw.randrange(3)
    if change == 0:
        del rows[at][draw.choice(list(good.columns))]
    elif change == 1:
        rows[at][pick_odd_name(draw)] = 1
    else:
        rows[at] = draw.choice([None, 1, "x", [], {}])
    return _body({"signature_name": "columns", "instances": rows})


@mutation("REST", "400")
def _nan_rest(draw, good):
    content = _columnar(good)
    values = content["inputs"][draw.choice(good.numbers())]
    values[draw.randrange(len(values))] = "MARK"
    odd = draw.choice([b"NaN", b"nan", b"Infinity", b"-Infinity", b"1.", b"0x1", b"+1"])
    return Http(json.dumps(content).encode().replace(b'"MARK"', odd))


@mutation("REST", "200", "400", changed=1)
def _huge_number_rest(draw, good):
    content = _columnar(good)
    values = content["inputs"][draw.choice(good.numbers())]
    values[draw.randrange(len(values))] = "MARK"
    odd = draw.choice([b"1e39", b"1e400", b"-1e400", b"9" * 400, b"1e-400", b"0." + b"1" * 9999])
    return Http(json.dumps(content).encode().replace(b'"MARK"', odd))


@mutation("REST", "200", changed=1)
def _odd_text_in_a_column_rest(draw, good):
    content = _columnar(good)
    values = content["inputs"][draw.choice(good.texts())]
    odd = pick_odd_text(draw)
    encoded = {"b64": base64.b64encode(odd).decode()}
    at = draw.randrange(len(values))
    values[at] = draw.choice([encoded, odd.decode("latin-1"), "\N{GRINNING FACE}" * 9])
    return _body(content)


@mutation("REST", "400")
def _not_an_example_rest(draw, good):
    odd = draw.choice([b"\x07", b"\x07\xff\xfe", b"\x07" + draw.randbytes(50)])
    encoded = [{"b64": base64.b64encode(e).decode()} for e in (*good.examples, odd)]
    draw.shuffle(encoded)
    return _body({draw.choice(["instances", "inputs"]): encoded})


@mutation("REST", "400")
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


@mutation("REST", "413")
def _oversized_rest(draw, good):
    body = json.dumps(_columnar(good)).encode()
    body += b" " * (MAX_BYTES + draw.randrange(1000))
    return Http(body)


@mutation("REST", "413")
def _oversized_when_unpacked_rest(draw, good):
    packed = gzip.compress(b" " * (MAX_BYTES * draw.randint(2, 30)), mtime=0)
    return Http(packed, headers={"Content-Encoding": "gzip"})


@mutation("REST", "400", "408")  # 408: the server waits for the end of the data
def _damaged_packing_rest(draw, good):
    packed = gzip.compress(json.dumps(_columnar(good)).encode(), mtime=0)
    kind = draw.choice(["gzip", "deflate"])
    cut = draw.choice([b"no gzip at all", packed[: len(packed) // 2], packed[5:]])
    return Http(cut, headers={"Content-Encoding": kind})


@mutation("REST", "400", "404")
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


@mutation("REST", "400", "501")
def _other_method_rest(draw, good):
    method = draw.choice(["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "POST"])
    path = draw.choice([":classify", ":regress"]) if method == "POST" else ":predict"
    return Http(_body(_columnar(good)).body, f"/v1/models/m{path}", method)


_START = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: m\r\n"


@mutation("REST", "400", "404", "408", "413", "501", "505", CLOSED)
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


@mutation("REST", "400", "408")
def _damaged_chunks_rest(draw, good):
    odd = draw.choice([b"zz\r\n{}\r\n", b"-2\r\n{}\r\n", b"2\r\n{}{}{}{}\r\n0\r\n\r\n"])
    return Raw([_START + b"Transfer-Encoding: chunked\r\n\r\n", odd])


@mutation("REST", "408", "400")
def _slow_body_rest(draw, good):
    length = draw.choice([b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
    start = [b"2\r\n{", b"}"] if length.startswith(b"T") else [b"{", b'"', b"a"]
    return Raw([_START + length, *start])


@mutation("REST", CLOSED)
def _hangs_up_rest(draw, good):
    body = _body(_columnar(good)).body
    whole = _START + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return Raw([whole[: draw.randrange(1, len(whole))]], waits=False)
