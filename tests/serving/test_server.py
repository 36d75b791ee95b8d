"""The clients and the local server, each against the other."""

import contextlib
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pandas as pd
import pytest
import yaml
from tensorflow_serving.apis import predict_pb2

from mptrec_tf.errors import InputError
from mptrec_tf.serving.client import GrpcClient, RestClient, ServingError
from mptrec_tf.serving.testing.local_server import SERVE, LocalServer, find_free_port

COMPOSE = Path(__file__).parents[2] / "saved_models" / "docker-compose.yaml"
LONG = 60.0  # seconds: a busy machine is slow


def in_docker(folder):
    """Returns the command that runs TF Serving in a container; None without Docker."""
    if not shutil.which("docker") or subprocess.run(["docker", "info"], check=False).returncode:
        return None
    image = yaml.safe_load(COMPOSE.read_text())["services"]["serving"]["image"]
    mounted = ["--network=host", f"--volume={folder}:{folder}:ro"]
    return ["docker", "run", "--rm", *mounted, "--entrypoint=tensorflow_model_server", image]


@pytest.fixture(scope="module", params=["mptrec-serve", "tensorflow_model_server", "docker"])
def server(request, exported, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    command = SERVE
    if request.param == "tensorflow_model_server":
        if not shutil.which(request.param):
            pytest.skip(f"{request.param} is not on the PATH")
        command = [request.param]
    elif request.param == "docker":
        command = in_docker(folder)
        if not command:
            pytest.skip("Docker does not run here")
    shutil.copytree(exported, folder / "m")
    with LocalServer(folder / "m", folder, command=command) as running:
        yield running


@pytest.fixture(scope="module", params=["gRPC", "REST"])
def kind(request):
    return request.param


@pytest.fixture
def client(server, kind):
    with server.make_client(kind) as client:
        yield client


def check(predictions, expected, rows=slice(None)):
    assert set(predictions) == set(expected)
    for task, values in expected.items():
        # Another batch size may change the last bit.
        np.testing.assert_allclose(predictions[task], values[rows], rtol=1e-5)


def test_rows_in_every_form_are_predicted(client, columns, expected):
    check(client.predict(columns), expected)
    frame = pd.DataFrame(columns)
    check(client.predict(frame), expected)
    check(client.predict(frame.to_dict("records")), expected)
    check(client.predict(frame.to_dict("records")[3:4]), expected, slice(3, 4))


def test_a_version_can_be_requested(server, kind, columns, expected):
    with server.make_client(kind, version=1) as client:
        check(client.predict(columns), expected)
    missing = pytest.raises(ServingError, match=r"is not served: .*m, 7")
    with server.make_client(kind, version=7) as client, missing as raised:
        client.predict(columns)
    assert raised.value.code == "NOT_FOUND"
    with server.make_client(kind, label="blue") as client, pytest.raises(InputError, match="label"):
        client.predict(columns)


def test_a_callers_mistakes_are_named(client, columns):
    for change, message in (
        ({"user_age": ["old"] * 20}, "row 1, column 'user_age': 'old' is not a finite number"),
        ({"user_age": [np.nan] * 20}, "row 1, column 'user_age': nan is not a finite"),
        ({"hour": [["1"]] * 20}, "column 'hour' holds lists"),
        ({"hour": [1j] * 20}, "row 1, column 'hour': 1j is not text"),
        ({"hour": ["1"] * 3}, "column 'hour' has 3 values, others have 20"),
    ):
        with pytest.raises(InputError, match=message):
            client.predict({**columns, **change})
    without = {name: values for name, values in columns.items() if name != "hour"}
    with pytest.raises(InputError, match="has no column 'hour'"):
        client.predict(without)
    with pytest.raises(InputError, match="no rows"):
        client.predict([])


def test_an_unknown_model_is_named(server, columns):
    for client, where in (
        (RestClient(server.url, "x"), "models/x"),
        (GrpcClient(server.address, "x"), "'x'"),
    ):
        with client, pytest.raises(ServingError, match=f"{where}.* is not served: ") as raised:
            client.predict(columns)
        assert raised.value.code == "NOT_FOUND"


def test_a_slow_response_is_given_up_at_the_deadline():
    """Every byte comes in time; all of them would take half a minute."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def send_slowly():
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
                for _ in range(100):
                    connection.sendall(b" ")
                    time.sleep(0.3)

        thread = threading.Thread(target=send_slowly, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        late = pytest.raises(ServingError, match="did not respond in time")
        with RestClient(url, "m", timeout=1.0) as client, late:
            client.predict([{"a": 1}])
        thread.join(5)  # its connection is closed
        assert not thread.is_alive()


@pytest.mark.parametrize("opened", ["gRPC", "REST"])
def test_a_missing_server_is_retried_until_the_deadline(opened, columns):
    port = find_free_port()
    client = (
        GrpcClient(f"127.0.0.1:{port}", "m", timeout=0.3)
        if opened == "gRPC"
        else RestClient(f"http://127.0.0.1:{port}", "m", timeout=0.3)
    )
    with client, pytest.raises(ServingError) as raised:
        client.predict(columns)
    assert raised.value.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


def test_the_rest_client_imports_no_tensorflow():
    code = "import sys, mptrec_tf.serving.client.rest; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


def rest(server, body, path="/v1/models/m:predict"):
    request = urllib.request.Request(server.url + path, data=body)
    try:
        with urllib.request.urlopen(request, timeout=LONG) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_an_encoded_slash_is_a_part_of_a_name(server):
    for path in ("m/versions/1", "m%2Fversions%2F1"):
        request = urllib.request.Request(f"{server.url}/v1/models/{path}")
        try:
            status = urllib.request.urlopen(request, timeout=LONG).status
        except urllib.error.HTTPError as error:
            status = error.code
        assert status == (200 if "%" not in path else 404)


def test_rows_and_columns_in_json(server, columns, expected):
    plain = [
        values.tolist() if values.dtype.kind in "fiu" else values.astype(str).tolist()
        for values in columns.values()
    ]
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*plain, strict=True)]
    content = {"signature_name": "columns", "instances": rows}
    status, response = rest(server, json.dumps(content).encode())
    assert status == 200, response
    for task, values in expected.items():
        actual = [row[task] for row in response["predictions"]]
        np.testing.assert_allclose(actual, values, rtol=1e-5)


def test_malformed_requests_are_rejected_and_a_good_one_succeeds(server, columns, expected, kind):
    draw = random.Random(1)
    values = [draw.choice([None, "x", 1e39, -1, [], {}, [[1]], True]) for _ in range(150)]
    with server.make_client(kind) as client:
        if kind == "REST":
            for value in values:
                body = json.dumps({"signature_name": "columns", "inputs": {"hour": value}})
                assert rest(server, body.encode())[0] == 400
                assert rest(server, body[: draw.randrange(len(body))].encode())[0] == 400
            assert rest(server, b"[" * 100_000)[0] == 400
            assert rest(server, b"\xff{}")[0] == 400
            assert rest(server, b" " * (17 << 20))[0] in (400, 413)
        else:
            with grpc.insecure_channel(server.address) as channel:
                call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
                good = predict_pb2.PredictRequest()
                good.model_spec.name = "m"
                good.inputs["examples"].dtype = 7
                good.inputs["examples"].tensor_shape.dim.add(size=1 << 40)
                good.inputs["examples"].string_val.append(b"no example")
                body = good.SerializeToString()
                for number in range(200):
                    cut = body if not number else body[: draw.randrange(len(body))]
                    with pytest.raises(grpc.RpcError) as raised:
                        call(cut, timeout=LONG)
                    assert raised.value.code().name in (
                        "INVALID_ARGUMENT",
                        "NOT_FOUND",
                        "FAILED_PRECONDITION",
                        "INTERNAL" if "model_server" in str(server.process.args) else "",
                    )
        check(client.predict(columns), expected)


def test_metrics_and_a_graceful_end(exported, tmp_path, columns):
    running = LocalServer(exported, tmp_path)
    with running.make_client("REST") as client:
        client.predict(columns)
    with urllib.request.urlopen(f"{running.url}/monitoring/prometheus/metrics") as response:
        text = response.read().decode()
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 1.0' in text
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(LONG) == 0, running.log.read_text()
