"""Throughput and latency of mptrec-serve, beside the bare call of the SavedModel.

    python benchmarks/serving.py --model=saved_models/mptrec

Starts a server for the model. Callers are in a process of their own, send requests that were
encoded before and do not decode the responses, so that the server alone is measured. `bare` is the
call of the SavedModel that `tf.saved_model.load` returns, from NumPy columns to NumPy outputs;
`session` is the faster call that the server makes. `own` is the share of the median latency of a
lone caller that is above the bare call; with 128 candidates or more it must be below 30%.
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time

import numpy as np
from absl import flags

from mptrec_tf.bin import program
from mptrec_tf.errors import InputError

BOUND = 0.3

_MODEL = flags.DEFINE_string("model", None, "Directory that mptrec-export wrote.")
_SECONDS = flags.DEFINE_float("seconds", 3.0, "Seconds for each measurement.", 0.1)
_CANDIDATES = flags.DEFINE_list("candidates", ["1", "16", "128"], "Rows of a request.")
_CALLERS = flags.DEFINE_list("callers", ["1", "4", "16", "64"], "Callers at a time.")
flags.mark_flags_as_required(["model"])


def main(_) -> None:
    """Runs the benchmark.

    Raises:
      InputError: if the server's own cost is above its bound.
    """
    from mptrec_tf.evaluation.report import print_table
    from mptrec_tf.inference.saved_model import LoadedModel
    from mptrec_tf.serving.server.servable import Servable

    model = LoadedModel(_MODEL.value)
    servable = Servable(model.path)
    ports = [_find_free_port(), _find_free_port()]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "mptrec_tf.bin.serve", "--model_name=m"),
            f"--model_base_path={os.path.dirname(model.path)}",
            f"--port={ports[0]}",
            f"--rest_api_port={ports[1]}",
        ],
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
    )
    try:
        if "serving" not in server.stdout.readline():
            raise InputError(f"mptrec-serve does not start with {_MODEL.value}.")
        table, missed = [], []
        for rows in map(int, _CANDIDATES.value):
            inputs = _make_inputs(servable, rows)
            bare, session = _measure_calls(model.path, servable, inputs)
            for protocol, port in zip(("gRPC", "REST"), ports, strict=True):
                for callers in map(int, _CALLERS.value):
                    measured = _measure_server(protocol, port, inputs, callers)
                    own = 1 - bare / measured["p50_ms"] if callers == 1 else None
                    table.append(
                        {"candidates": rows, "bare_ms": bare, "session_ms": session}
                        | {"protocol": protocol, "callers": callers, **measured}
                        | {"own": "" if own is None else f"{max(own, 0):.0%}"}
                    )
                    if own is not None and rows >= 128 and own >= BOUND:
                        missed.append(f"{protocol} with {rows} candidates: {own:.0%}")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    print_table(table, f"{model.path}, {_SECONDS.value:g} s each, {os.cpu_count()} cores")
    if missed:
        raise InputError(f"the server's own cost is not below {BOUND:.0%}: {', '.join(missed)}.")


def _find_free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def _make_inputs(servable, rows: int) -> dict[str, np.ndarray]:
    """Returns random values; most are in no vocabulary, which costs a model the same."""
    random = np.random.default_rng(1)
    inputs = {}
    for name, tensor in servable.signatures["columns"].inputs.items():
        if tensor.dtype.name == "string":
            values = np.empty(rows, object)
            values[:] = [str(value).encode() for value in random.integers(500, size=rows)]
        else:
            values = random.random(rows).astype(tensor.dtype.as_numpy_dtype)
        inputs[name] = values
    return inputs


def _measure_calls(path: str, servable, inputs) -> tuple[float, float]:
    """Returns the median milliseconds of a call of the SavedModel and of its session, in turn."""
    import tensorflow as tf

    model = tf.saved_model.load(path).signatures["columns"]

    def bare() -> None:
        outputs = model(**{name: tf.constant(values) for name, values in inputs.items()})
        for output in outputs.values():
            output.numpy()

    calls = (bare, lambda: servable.run("columns", inputs))
    times = [[] for _ in calls]
    for call in calls:
        call()
    end = time.perf_counter() + 2 * _SECONDS.value
    while time.perf_counter() < end:
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    return tuple(round(1e3 * statistics.median(own), 3) for own in times)


def _measure_server(protocol: str, port: int, inputs, callers: int) -> dict[str, float]:
    """Returns requests per second and percentiles, from callers in another process."""
    if protocol == "gRPC":
        body = _make_grpc_body(inputs)
    else:
        columns = {
            name: [v.decode() for v in values] if values.dtype == object else values.tolist()
            for name, values in inputs.items()
        }
        body = json.dumps({"signature_name": "columns", "inputs": columns}).encode()
    arguments = [sys.executable, "-c", _CALLER, protocol, str(port), str(callers)]
    done = subprocess.run(
        [*arguments, str(_SECONDS.value)], input=body, capture_output=True, check=False
    )
    if done.returncode:
        raise InputError(f"a request failed: {done.stderr.decode().strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def _make_grpc_body(inputs) -> bytes:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.model_spec.signature_name = "columns"
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return request.SerializeToString()


# A process that imports nothing heavy: it shares the cores with the server.
_CALLER = """
import asyncio, json, sys, time
protocol, port, callers, seconds = sys.argv[1], *map(float, sys.argv[2:])
body = sys.stdin.buffer.read()
times = []

async def one(send, end):
    while time.perf_counter() < end:
        start = time.perf_counter()
        await send()
        times.append(time.perf_counter() - start)

async def load(send):
    await send()
    start = time.perf_counter()
    await asyncio.gather(*(one(send, start + seconds) for _ in range(int(callers))))
    ordered, spent = sorted(times), time.perf_counter() - start
    at = lambda q: round(1e3 * ordered[min(len(ordered) - 1, int(q * len(ordered)))], 3)
    print(json.dumps({"requests/s": round(len(times) / spent),
                      "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)}))

async def main():
    if protocol == "gRPC":
        import grpc
        async with grpc.aio.insecure_channel(f"127.0.0.1:{int(port)}") as channel:
            call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            await load(lambda: call(body))
    else:
        import aiohttp
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            async def send():
                url = f"http://127.0.0.1:{int(port)}/v1/models/m:predict"
                async with session.post(url, data=body) as response:
                    content = await response.read()
                    assert response.status == 200, content
            await load(send)

asyncio.run(main())
"""


if __name__ == "__main__":
    program.run(main)
