"""Clients behind a gateway: headers, TLS, and errors when these are wrong."""

import contextlib
import datetime
import http.server
import ipaddress
import json
import ssl
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import any_pb2
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from mptrec_tf.errors import InputError
from mptrec_tf.serving.client import GrpcClient, RestClient, ServingError, Tls

LONG = 60.0  # seconds: a busy machine is slow
TOKEN = "s3cret-t0ken"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "x-tenant": "7"}
ROWS = {"x": [1.0, 2.0]}
PREDICTION = [0.25, 0.5]


class Authority:
    """Signs certificates into a folder."""

    def __init__(self, folder, name):
        self.folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.certificate = str(folder / f"{name}.pem")
        own = self._sign(self._name, self._key, [], authority=True)
        self._write(self.certificate, own.public_bytes(serialization.Encoding.PEM))

    def _sign(self, name, key, names, authority):
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .add_extension(
                x509.KeyUsage(*[True] + [False] * 4 + [authority] * 2 + [False] * 2),
                critical=True,
            )
        )
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return made.sign(self._key, hashes.SHA256())

    def issue(self, name, *names):
        """Writes a certificate and its key; returns their paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        signed = self._sign(subject, key, names, authority=False)
        paths = str(self.folder / f"{name}.pem"), str(self.folder / f"{name}.key")
        self._write(paths[0], signed.public_bytes(serialization.Encoding.PEM))
        self._write(
            paths[1],
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
        return paths

    def _write(self, path, content):
        Path(path).write_bytes(content)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"), "authority")


@pytest.fixture(scope="module")
def here(authority):
    """Certificate and key of a server at this machine's addresses."""
    local = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return authority.issue("here", x509.DNSName("localhost"), local)


@pytest.fixture(scope="module")
def named(authority):
    """Certificate and key of a server whose name differs from its address."""
    return authority.issue("models.example", x509.DNSName("models.example"))


class Gateway:
    """A server that admits callers with the token, and remembers the headers of requests.

    Args:
      kind: "gRPC" or "REST".
      pair: Optional. Certificate and key; without them it has no TLS.
      callers: Optional. The authority that callers need a certificate of.
      token: The token that it accepts; None if it admits every caller.
      status: The status for other callers: 401 or 403, or gRPC's equivalent.
      message: The error message for other callers.
    """

    def __init__(self, kind, pair=None, callers=None, token=None, status=401, message="who is it?"):
        self.kind, self.token, self.status, self.message = kind, token, status, message
        self.requests = []  # headers of each request, names in lower case
        self.port, self.close = (self._grpc if kind == "gRPC" else self._rest)(pair, callers)

    def make_client(self, host="localhost", **options):
        options = {"timeout": LONG} | options
        if self.kind == "gRPC":
            return GrpcClient(f"{host}:{self.port}", "m", **options)
        scheme = options.pop("scheme", "https" if "tls" in options else "http")
        return RestClient(f"{scheme}://{host}:{self.port}/a/prefix/", "m", **options)

    def _admits(self, headers):
        self.requests.append(headers)
        return self.token is None or headers.get("authorization") == f"Bearer {self.token}"

    def _grpc(self, pair, callers):
        gateway = self

        class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
            def Predict(self, request, context):  # noqa: N802 (gRPC's name)
                self.check(context)
                proto = tf.make_tensor_proto(PREDICTION, tf.float32)
                return predict_pb2.PredictResponse(outputs={"a": proto})

            def GetModelMetadata(self, request, context):  # noqa: N802
                self.check(context)
                signatures = get_model_metadata_pb2.SignatureDefMap()
                signature = signatures.signature_def["columns"]
                signature.inputs["x"].dtype = types_pb2.DT_FLOAT
                signature.outputs["a"].dtype = types_pb2.DT_FLOAT
                packed = any_pb2.Any()
                packed.Pack(signatures)
                return get_model_metadata_pb2.GetModelMetadataResponse(
                    metadata={"signature_def": packed}
                )

            def check(self, context):
                if not gateway._admits(dict(context.invocation_metadata())):
                    codes = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
                    context.abort(grpc.StatusCode[codes[gateway.status]], gateway.message)

        server = grpc.server(futures.ThreadPoolExecutor(2))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
        if pair:
            certificate, key = (Path(path).read_bytes() for path in pair)
            roots = Path(callers).read_bytes() if callers else None
            credentials = grpc.ssl_server_credentials([(key, certificate)], roots, bool(callers))
            port = server.add_secure_port("localhost:0", credentials)
        else:
            port = server.add_insecure_port("localhost:0")
        server.start()
        return port, lambda: server.stop(None).wait()

    def _rest(self, pair, callers):
        gateway = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                signature = {
                    "inputs": {"x": {"dtype": "DT_FLOAT"}},
                    "outputs": {"a": {"dtype": "DT_FLOAT"}},
                }
                metadata = {"signature_def": {"signature_def": {"columns": signature}}}
                self.respond({"metadata": metadata})

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.respond({"outputs": PREDICTION})

            def respond(self, content):
                status = 200
                if not gateway._admits({k.lower(): v for k, v in self.headers.items()}):
                    status, content = gateway.status, {"error": gateway.message}
                elif not self.path.startswith("/a/prefix/v1/models/m"):
                    status, content = 404, {"error": self.path}
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request, address):
                with contextlib.suppress(OSError):  # of a caller that does not trust it
                    if pair:
                        request = context.wrap_socket(request, server_side=True)
                    super().finish_request(request, address)

        if pair:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=callers)
            context.load_cert_chain(*pair)
            if callers:
                context.verify_mode = ssl.CERT_REQUIRED
        server = Server(("localhost", 0), Handler)
        serve = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        serve.start()

        def close():
            server.shutdown()
            server.server_close()

        return server.server_port, close


@pytest.fixture(params=["gRPC", "REST"])
def gateway(request):
    with contextlib.ExitStack() as stack:

        def make(**options):
            gateway = Gateway(request.param, **options)
            stack.callback(gateway.close)
            return gateway

        yield make


def check(client):
    with client:
        np.testing.assert_array_equal(client.predict(ROWS)["a"], np.array(PREDICTION, np.float32))


def failure(client):
    """Returns the error of a client whose request fails."""
    with client, pytest.raises(ServingError) as raised:
        client.predict(ROWS)
    shown = "".join(map(str, chain(raised.value)))
    assert TOKEN not in shown
    return raised.value


def chain(error):
    while error is not None:
        yield error
        error = error.__cause__


def test_every_request_has_the_headers(gateway):
    server = gateway(token=TOKEN)
    check(server.make_client(headers=HEADERS))
    assert len(server.requests) == 2  # for the signatures and for the prediction
    assert [request["x-tenant"] for request in server.requests] == ["7", "7"]


def test_a_token_that_expires_is_fetched_for_each_request(gateway):
    server = gateway(token="1st-token")
    current = ["1st-token"]
    with server.make_client(headers=lambda: {"Authorization": f"Bearer {current[0]}"}) as client:
        client.predict(ROWS)
        server.token = current[0] = "2nd-token"
        client.predict(ROWS)
    assert [request["authorization"] for request in server.requests] == [
        "Bearer 1st-token",
        "Bearer 1st-token",
        "Bearer 2nd-token",
    ]


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "UNAUTHENTICATED", r"needs to know who calls \(who is it\?\); give .* `headers`"),
        (403, "PERMISSION_DENIED", r"does not permit this caller .* \(who is it\?\); give"),
    ],
)
def test_a_caller_that_is_not_admitted_gets_an_error_without_retries(
    gateway, status, code, message
):
    server = gateway(token="another", status=status)
    error = failure(server.make_client(headers=HEADERS))
    assert error.code == code
    assert len(server.requests) == 1
    with pytest.raises(ServingError, match=message):
        raise error


def test_a_token_that_the_server_repeats_is_not_shown(gateway):
    server = gateway(token="another", message=f"no such token: {TOKEN}")
    assert "no such token: ***" in str(failure(server.make_client(headers=HEADERS)))


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Authorization": f"Bearer {TOKEN}\n"}, "'Authorization' should be printable"),
        ({"Authorization": TOKEN.encode()}, "'Authorization' should be text"),
        ({"Authorization": None}, "'Authorization' should be text"),
        ({"x tenant": "7"}, "'x tenant' is not a header's name"),
        ({"x-tenant-bin": "7"}, "'x-tenant-bin' is not a header's"),
        ({"Content-Type": "text/plain"}, "'Content-Type' is set by the client"),
        ("Bearer", "should be a dict"),
    ],
)
def test_headers_that_cannot_be_sent_are_named_without_their_values(gateway, headers, message):
    for given in (headers, lambda: headers):
        with (
            pytest.raises(InputError, match=message) as raised,
            gateway().make_client(headers=given) as client,
        ):
            client.predict(ROWS)
        assert TOKEN not in str(raised.value)


def test_a_users_own_authority_is_trusted(gateway, authority, here):
    server = gateway(pair=here, token=TOKEN)
    check(server.make_client(tls=Tls(ca=authority.certificate), headers=HEADERS))


def test_a_server_may_have_another_name_than_its_address(gateway, authority, named):
    server = gateway(pair=named)
    tls = Tls(ca=authority.certificate, server_name="models.example")
    check(server.make_client(tls=tls))


def test_a_server_may_require_a_client_certificate(gateway, authority, here, tmp_path):
    certificate, key = authority.issue("caller")
    server = gateway(pair=here, callers=authority.certificate)
    check(server.make_client(tls=Tls(authority.certificate, certificate, key)))
    both = tmp_path / "both.pem"
    both.write_text(Path(certificate).read_text() + Path(key).read_text())
    check(server.make_client(tls=Tls(authority.certificate, str(both))))


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("unknown authority", "certificate is not trusted: .*local issuer"),
        ("another name", "(?i)host ?name"),
        ("no TLS", "the server does not speak it"),
    ],
)
def test_a_server_that_is_not_trusted_is_named_and_not_retried(
    gateway, authority, here, named, case, message
):
    server = gateway(pair={"another name": named, "no TLS": None}.get(case, here))
    tls = Tls() if case == "unknown authority" else Tls(ca=authority.certificate)
    begin = time.monotonic()
    error = failure(server.make_client(tls=tls))
    assert time.monotonic() - begin < LONG / 2
    assert error.code == "UNAVAILABLE"
    with pytest.raises(ServingError, match=f"no connection over TLS: .*({message}).*`tls`"):
        raise error


def test_a_server_that_requires_a_certificate_gets_no_request_without(gateway, authority, here):
    server = gateway(pair=here, callers=authority.certificate)
    error = failure(server.make_client(tls=Tls(ca=authority.certificate), timeout=2))
    assert error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    assert not server.requests


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ca": "none.pem"}, "cannot use `ca` none.pem: No such file"),
        ({"ca": __file__}, "cannot use `ca` .*test_gateway.py"),
        ({"certificate": "none.pem"}, "cannot use `certificate` none.pem: No such file"),
        ({"certificate": __file__, "key": __file__}, "cannot use `certificate` .* and "),
        ({"key": "me.key"}, "has a `key` and no `certificate`"),
    ],
)
def test_files_of_tls_that_cannot_be_used_are_named(settings, message):
    for client, server in ((GrpcClient, "localhost:1"), (RestClient, "https://localhost:1")):
        with pytest.raises(InputError, match=message):
            client(server, "m", tls=Tls(**settings))


def test_settings_that_contradict_each_other_are_named():
    with pytest.raises(InputError, match="give a URL with https://"):
        RestClient("http://localhost:1", "m", tls=Tls())
    with pytest.raises(InputError, match="not both"):
        GrpcClient("localhost:1", "m", tls=Tls(), credentials=grpc.ssl_channel_credentials())


@pytest.mark.parametrize(
    "url", [f"https://me:{TOKEN}@host", f"me:{TOKEN}@host", f"http://h/?k={TOKEN}"]
)
def test_a_secret_in_a_url_is_not_shown(url):
    with pytest.raises(InputError, match="`headers`") as raised:
        RestClient(url, "m")
    assert TOKEN not in str(raised.value)
