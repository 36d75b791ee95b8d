"""The local server with its flags and files, and the clients with odd servers."""

import base64
import contextlib
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import any_pb2
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)

from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import WARMUP
from mptrec_tf.serving.client import GrpcClient, RestClient, ServingError
from mptrec_tf.serving.server.batching_parameters import (
    BatchingParameters,
    read_batching_parameters,
)
from mptrec_tf.serving.testing.load import TOLERANCE, measure_difference
from mptrec_tf.serving.testing.local_server import SERVE, LocalServer
from mptrec_tf.serving.testing.mutation import make_good_rows

LONG = 60.0  # seconds: a busy machine is slow
KINDS = ("gRPC", "REST")


def post(server, content, path="/v1/models/m:predict"):
    request = urllib.request.Request(server.url + path, data=json.dumps(content).encode())
    try:
        with urllib.request.urlopen(request, timeout=LONG) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.fixture(scope="module")
def examples(columns):
    return make_good_rows(columns).examples


def encoded(examples):
    return [{"b64": base64.b64encode(example).decode()} for example in examples]


class Configured:
    """A server of a models.config, which can be edited."""

    def __init__(self, prepared, folder):
        self.base, self.path, self.prepared = folder / "m", folder / "models.config", prepared
        self.base.mkdir()
        self.edit(stable=1, canary=2)
        flags = (f"--model_config_file={self.path}", "--model_config_file_poll_wait_seconds=1")
        self.server = LocalServer(None, folder, *flags)

    def edit(self, **labels):
        for number in labels.values():
            if not (self.base / str(number)).exists():
                self.prepared.push(self.base, number)
        versions = " ".join(f"versions: {number}" for number in labels.values())
        named = "\n".join(
            f'version_labels {{ key: "{label}" value: {n} }}' for label, n in labels.items()
        )
        self.write(
            f'model_config_list {{ config {{ name: "m" base_path: "{self.base}"\n'
            f"model_version_policy {{ specific {{ {versions} }} }}\n{named} }} }}"
        )

    def write(self, text):
        staging = self.path.with_suffix(".staging")
        staging.write_text(text)
        os.replace(staging, self.path)


@pytest.fixture(scope="module")
def configured(prepared, tmp_path_factory):
    running = Configured(prepared, tmp_path_factory.mktemp("configured"))
    with running.server:
        yield running


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def test_labels_lead_to_their_versions_also_when_they_move(configured, columns):
    server, expected = configured.server, configured.prepared.expected

    def predicted_version(kind, **choice):
        with server.make_client(kind, **choice) as client:
            prediction = client.predict(columns)
        assert measure_difference(prediction, expected[prediction.version]) < TOLERANCE
        return prediction.version

    for kind in KINDS:
        assert predicted_version(kind, label="stable") == predicted_version(kind, version=1) == 1
        assert predicted_version(kind, label="canary") == predicted_version(kind) == 2
        with pytest.raises(InputError, match="label: blue"):
            predicted_version(kind, label="blue")

    configured.edit(stable=2, canary=3)
    server.wait(
        lambda: server.read_states().get(3) == "AVAILABLE" and server.read_states()[1] == "END"
    )
    for kind in KINDS:
        assert predicted_version(kind, label="stable") == 2
        assert predicted_version(kind, label="canary") == 3
        with pytest.raises(ServingError, match="not found") as raised:
            predicted_version(kind, version=1)
        assert raised.value.code == "NOT_FOUND"

    configured.write("model_config_list { config { name: ")
    server.wait(lambda: "The models are served as before" in server.log.read_text())
    for kind in KINDS:
        assert predicted_version(kind, label="stable") == 2

    configured.edit(stable=3)
    server.wait(lambda: server.read_states()[2] == "END")
    for kind in KINDS:
        assert predicted_version(kind, label="stable") == 3
        with pytest.raises(InputError, match="label: canary"):
            predicted_version(kind, label="canary")


def test_encoded_examples_are_predicted_in_rows_and_columns(configured, columns, examples):
    with configured.server.make_client("REST") as client:
        expected = client.predict(columns)
    sent = encoded(examples)
    for body in ({"inputs": sent}, {"inputs": {"examples": sent}}):
        status, response = post(configured.server, body)
        assert status == 200, response
        for task, values in expected.items():
            np.testing.assert_allclose(response["outputs"][task], values, rtol=1e-5)
    for rows in (sent, [{"examples": example} for example in sent]):
        status, response = post(configured.server, {"instances": rows})
        assert status == 200, response
        for task, values in expected.items():
            actual = [row[task] for row in response["predictions"]]
            np.testing.assert_allclose(actual, values, rtol=1e-5)


def test_columns_of_the_user_may_be_sent_once(configured, kind, columns):
    once = {k: v[:1] if k.startswith("user_") else v for k, v in columns.items()}
    repeated = {k: np.repeat(v, 20) if len(v) == 1 else v for k, v in once.items()}
    with configured.server.make_client(kind) as client:
        expected, plain = client.predict(repeated), client.predict(columns)
        for rows in (once, {k: v[0] if len(v) == 1 else v for k, v in once.items()}):
            prediction = client.predict(rows)
            for task, values in expected.items():
                np.testing.assert_allclose(prediction[task], values, rtol=1e-5)
                assert not np.allclose(plain[task], values, rtol=1e-5)


@pytest.fixture(scope="module")
def batching(exported, tmp_path_factory):
    """A server that runs nothing before there are four rows of a kind, for three callers."""
    folder = tmp_path_factory.mktemp("batching")
    path = folder / "batching_parameters.txt"
    path.write_text(
        "max_batch_size { value: 4 } batch_timeout_micros { value: 600000000 }\n"
        "num_batch_threads { value: 2 } max_enqueued_batches { value: 100 }"
    )
    flags = (
        f"--batching_parameters_file={path}",
        "--max_concurrent_requests=3",
        "--rest_api_timeout_in_ms=600000",
    )
    with LocalServer(exported, folder, *flags) as server:
        yield server


def request_for(examples):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["examples"].CopyFrom(tf.make_tensor_proto(list(examples)))
    return request


@pytest.mark.parametrize("bad", [b"\x07 is no example", b"\x07\xff\xfe", b"\x07\xc3("])
def test_a_bad_request_fails_alone_among_those_it_is_merged_with(batching, examples, expected, bad):
    counted = "mptrec_serve_batch_rows_(count|sum)"
    before = batching.read_metric(counted)
    with grpc.insecure_channel(batching.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        good = stub.Predict.future(request_for(examples[:1]), timeout=LONG)
        spoiled = stub.Predict.future(request_for([bad]), timeout=LONG)
        status, response = post(batching, {"inputs": encoded(examples[1:3])})
        assert status == 200, response
        outputs = good.result().outputs
        with pytest.raises(grpc.RpcError) as raised:
            spoiled.result()
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    for task, values in expected.items():
        np.testing.assert_allclose(response["outputs"][task], values[1:3], rtol=1e-5)
        np.testing.assert_allclose(tf.make_ndarray(outputs[task]), values[:1], rtol=1e-5)
    assert batching.read_metric(counted) == before + 1 + 4  # one run, of four rows


def test_more_requests_than_allowed_are_rejected_and_served_when_there_is_room(
    batching, examples, columns
):
    four = {name: values[:4] for name, values in columns.items()}
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(batching.make_client(kind)) for kind in KINDS]
        for client in clients:
            client.predict(four)
        channel = stack.enter_context(grpc.insecure_channel(batching.address))
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        held = [stub.Predict.future(request_for(examples[:1]), timeout=600) for _ in range(3)]
        try:
            batching.wait(lambda: batching.read_metric("mptrec_serve_requests_in_flight ") == 3)
            with pytest.raises(grpc.RpcError) as raised:
                stub.Predict(request_for(examples[:4]), timeout=LONG)
            assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
            status, response = post(batching, {"inputs": encoded(examples[:4])})
            assert status == 503
            assert "3 requests are in flight already" in response["error"]
            for client in clients:
                with pytest.raises(ServingError) as rejected:
                    client.predict(four, timeout=0.5)
                assert rejected.value.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
            with futures.ThreadPoolExecutor(2) as pool:
                waiting = [pool.submit(client.predict, four) for client in clients]
                for call in held:
                    call.cancel()
                for response in waiting:
                    assert response.result().version == 1
        finally:
            for call in held:
                call.cancel()


def test_an_invalid_batching_file_is_named(exported, tmp_path):
    path = tmp_path / "batching.txt"
    path.write_text("max_batch_size { value: 512 } max_batches: 3")
    done = subprocess.run(
        [
            *SERVE,
            f"--model_base_path={exported}",
            f"--batching_parameters_file={path}",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG,
    )
    assert done.returncode == 1
    assert f"{path} is not a valid BatchingParameters in text format" in done.stderr
    for text, message in (
        ("max_batch_size { value: 0 }", "1 or more"),
        ("num_batch_threads { value: -1 }", "1 or more"),
        ("max_batch_size: 3", "text format"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_batching_parameters(str(path), BatchingParameters())
    with pytest.raises(InputError, match="cannot read"):
        read_batching_parameters(str(tmp_path / "none"), BatchingParameters())


def test_batching_parameters_are_those_of_the_file(tmp_path):
    path = tmp_path / "batching.txt"
    path.write_text(
        "max_batch_size { value: 64 } batch_timeout_micros { value: 1500 }\n"
        "max_enqueued_batches { value: 7 } pad_variable_length_inputs: true\n"
        "allowed_batch_sizes: 8 allowed_batch_sizes: 64"
    )
    parameters = read_batching_parameters(str(path), BatchingParameters(num_batch_threads=3))
    assert parameters == BatchingParameters(64, 0.0015, 3, 7)


@pytest.fixture(scope="module")
def hurried(exported, tmp_path_factory):
    """A server that waits five seconds for a body."""
    folder = tmp_path_factory.mktemp("hurried")
    shutil.copytree(exported, folder / "m")
    with LocalServer(folder / "m", folder, "--rest_api_timeout_in_ms=5000") as server:
        yield server


def other_signature():
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "other"
    return log.SerializeToString()


@pytest.mark.parametrize(
    ("number", "record"),
    [(2, None), (3, other_signature()), (4, b"no PredictionLog")],
    ids=["no records", "of a signature that is not there", "records of something else"],
)
def test_a_version_is_served_only_if_its_warm_up_requests_succeed(hurried, columns, number, record):
    [good] = [n for n, state in hurried.read_states().items() if state == "AVAILABLE"]
    staging = hurried.base / f"{number}.staging"
    shutil.copytree(hurried.base / str(good), staging)
    original = (staging / WARMUP).read_bytes()
    if record is None:
        (staging / WARMUP).write_bytes(b"no records at all")
    else:
        with tf.io.TFRecordWriter(str(staging / WARMUP)) as writer:
            writer.write(record)
    os.rename(staging, hurried.base / str(number))
    hurried.wait(lambda: hurried.read_states().get(number) == "END")
    assert hurried.read_states()[good] == "AVAILABLE"
    for kind in KINDS:
        with hurried.make_client(kind) as client:
            assert client.predict(columns).version == good
    # Once fixed, it is served.
    (hurried.base / str(number)).rename(staging)
    (staging / WARMUP).write_bytes(original)
    staging.rename(hurried.base / str(number))
    hurried.wait(lambda: hurried.read_states()[number] == "AVAILABLE")
    fixed = str(hurried.base / str(number) / WARMUP)
    requests = len(list(tf.compat.v1.io.tf_record_iterator(fixed)))
    assert requests > 0
    served = rf"m {number} is served: [0-9.]+ s, {requests} warm-up requests"
    assert re.search(served, hurried.log.read_text())


def test_a_body_that_does_not_come_is_not_waited_for(hurried):
    with socket.create_connection(("127.0.0.1", hurried.rest_port), timeout=LONG) as connection:
        connection.sendall(
            b"POST /v1/models/m:predict HTTP/1.1\r\nHost: m\r\nContent-Length: 100\r\n\r\n{"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"POST /v1/models/m:predict HTTP/1.1\r\nHost: m\r\nX"])
def test_headers_that_do_not_come_are_not_waited_for(hurried, sent):
    address = ("127.0.0.1", hurried.rest_port)
    # A connection that has sent a request stays open.
    used = http.client.HTTPConnection(*address, timeout=LONG)
    used.request("GET", "/v1/models/m")
    assert used.getresponse().read()
    with socket.create_connection(address, timeout=LONG) as connection:
        connection.sendall(sent)
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
        assert connection.recv(100) == b""
    used.request("GET", "/v1/models/m")
    assert used.getresponse().status == 200
    used.close()


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_a_body_that_cannot_be_unpacked_is_the_callers_mistake(hurried, packing):
    request = urllib.request.Request(
        f"{hurried.url}/v1/models/m:predict", b"not packed at all", {"Content-Encoding": packing}
    )
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=LONG)
    assert raised.value.code == 400


STATUS = {
    "INVALID_ARGUMENT": 400,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class Fake:
    """A server that responds to each request for a prediction with the next of its replies.

    A reply is the name of a code, or values by task; the last one is repeated. `reports` is the
    version that the server reports.
    """

    def __init__(self, kind, replies, outputs=("a", "b"), reports=None, **options):
        self.replies, self.outputs, self.requests = replies, outputs, 0
        self.reports, self.options = reports, {"timeout": LONG} | options
        self.client = (self._grpc if kind == "gRPC" else self._rest)()

    def next_reply(self):
        self.requests += 1
        return self.replies[min(self.requests, len(self.replies)) - 1]

    def _grpc(self):
        fake = self

        class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
            def Predict(self, request, context):  # noqa: N802 (gRPC's name)
                reply = fake.next_reply()
                if isinstance(reply, str):
                    context.abort(grpc.StatusCode[reply], "as configured")
                response = predict_pb2.PredictResponse()
                if fake.reports:
                    response.model_spec.version.value = fake.reports
                for task, values in reply.items():
                    response.outputs[task].CopyFrom(tf.make_tensor_proto(values, tf.float32))
                return response

            def GetModelMetadata(self, request, context):  # noqa: N802
                signatures = get_model_metadata_pb2.SignatureDefMap()
                signature = signatures.signature_def["columns"]
                signature.inputs["x"].dtype = types_pb2.DT_FLOAT
                for task in fake.outputs:
                    signature.outputs[task].dtype = types_pb2.DT_FLOAT
                packed = any_pb2.Any()
                packed.Pack(signatures)
                return get_model_metadata_pb2.GetModelMetadataResponse(
                    metadata={"signature_def": packed}
                )

        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), self._server)
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.close = lambda: self._server.stop(None).wait()
        return GrpcClient(f"127.0.0.1:{port}", "m", **self.options)

    def _rest(self):
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                signature = {
                    "inputs": {"x": {"dtype": "DT_FLOAT"}},
                    "outputs": {task: {"dtype": "DT_FLOAT"} for task in fake.outputs},
                }
                metadata = {"signature_def": {"signature_def": {"columns": signature}}}
                self.send(200, {"metadata": metadata})

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                reply = fake.next_reply()
                if isinstance(reply, str):
                    self.send(STATUS[reply], {"error": "as configured"})
                else:
                    outputs = next(iter(reply.values())) if len(reply) == 1 else reply
                    self.send(200, {"outputs": outputs})

            def send(self, status, content):
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if fake.reports:
                    self.send_header("Model-Version", str(fake.reports))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        serve = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        serve.start()

        def close():
            self._server.shutdown()
            self._server.server_close()

        self.close = close
        return RestClient(f"http://127.0.0.1:{self._server.server_port}", "m", **self.options)


@pytest.fixture
def fake(kind):
    with contextlib.ExitStack() as stack:

        def make(*replies, **options):
            server = Fake(kind, replies, **options)
            stack.callback(server.close)
            stack.enter_context(server.client)
            return server

        yield make


ROWS = {"x": [1.0, 2.0]}
RIGHT = {"a": [0.25, 0.5], "b": [0.75, 1.0]}


def test_an_unavailable_server_is_retried_until_it_responds(fake):
    server = fake("UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE", RIGHT)
    prediction = server.client.predict(ROWS)
    assert server.requests == 4
    assert {task: values.tolist() for task, values in prediction.items()} == RIGHT


OTHER_CODES = sorted(
    code.name for code in grpc.StatusCode if code.name not in ("OK", "UNAVAILABLE")
)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("gRPC", code) for code in OTHER_CODES]
    + [("REST", code) for code in OTHER_CODES if code in STATUS],
)
def test_other_codes_are_not_retried(fake, code):
    server = fake(code, RIGHT)
    with pytest.raises((InputError, ServingError)) as raised:
        server.client.predict(ROWS)
    assert server.requests == 1
    if code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION"):
        assert isinstance(raised.value, InputError)
    else:
        assert raised.value.code == code


@pytest.mark.parametrize(
    "response",
    [
        {"a": [0.25, 0.5], "b": [0.75]},
        {"a": [0.25, 0.5], "b": [0.75, 1.0, 0.5]},
        {"a": [0.25, 0.5], "b": [[[0.75]], [[1.0]]]},
        {"a": [0.25, 0.5], "b": [0.75, float("nan")]},
        {"a": [0.25, 0.5], "b": [0.75, float("inf")]},
    ],
    ids=["missing row", "extra row", "more dimensions", "NaN", "infinite"],
)
def test_a_response_that_does_not_fit_the_rows_is_named(fake, response):
    with pytest.raises(ServingError, match="for 'b'; expected 2 finite numbers") as raised:
        fake(response).client.predict(ROWS)
    assert raised.value.code == "INTERNAL"


def test_a_response_without_tasks_is_named(fake):
    with pytest.raises(ServingError, match="returned no task"):
        fake({}).client.predict(ROWS)


def test_another_version_than_the_requested_one_is_named(fake):
    with pytest.raises(ServingError, match="1 was requested, but version 2 responded") as raised:
        fake(RIGHT, reports=2, version=1).client.predict(ROWS)
    assert raised.value.code == "INTERNAL"
    # TF Serving does not report the version over REST.
    assert fake(RIGHT, version=1).client.predict(ROWS).version is None


def test_other_tasks_than_those_of_the_requested_version_are_named(fake):
    response = {"b": [0.25, 0.5], "c": [0.75, 1.0]}
    with pytest.raises(ServingError, match="returned b, c; version 1 has the tasks a, b") as raised:
        fake(response, reports=1, version=1).client.predict(ROWS)
    assert raised.value.code == "INTERNAL"
    # The newest version may be newer than what the client knows.
    assert fake(response, reports=2).client.predict(ROWS).keys() == response.keys()


def test_the_last_of_the_tasks_is_predicted_when_others_are_removed(fake):
    server = fake(RIGHT, {"a": [0.5, 0.25]})
    server.client.predict(ROWS)
    server.outputs = ("a",)  # the next version; over REST its output has no name
    prediction = server.client.predict(ROWS)
    assert {task: values.tolist() for task, values in prediction.items()} == {"a": [0.5, 0.25]}
