"""gRPC with TLS, by TF Serving's ssl_config_file."""

import asyncio
import datetime
import ipaddress
import json
import shutil

import grpc
import pytest
import tensorflow as tf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from mptrec_tf.errors import InputError
from mptrec_tf.serving.server.model_config import ModelConfig
from mptrec_tf.serving.server.process import Server, ServerOptions
from mptrec_tf.serving.server.tls import read_ssl_config

LONG = 60.0


class Signed:
    """A key and its certificate, as PEM text, signed by another or by itself."""

    def __init__(self, name, by=None):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        signer = by or self
        now = datetime.datetime.now(datetime.timezone.utc)
        here = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(signer._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([here]), critical=False)
            .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
            .sign(signer._key, hashes.SHA256())
        )
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.key = self.text(serialization.NoEncryption())

    def text(self, encryption):
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        return self._key.private_bytes(*form, encryption).decode()


@pytest.fixture(scope="module")
def authority():
    return Signed("authority")


@pytest.fixture(scope="module")
def own(authority):
    return Signed("server", by=authority)


@pytest.fixture
def write(tmp_path):
    """Writes an ssl_config_file; returns its path."""

    def write(**values):
        path = tmp_path / "ssl.config"
        # JSON's strings and booleans are those of text format.
        path.write_text("".join(f"{name}: {json.dumps(v)}\n" for name, v in values.items()))
        return str(path)

    return write


@pytest.fixture
def call_server(small, tmp_path):
    """Starts a server with a config and calls it with some credentials; returns values or codes."""

    async def call(config, channels):
        base = tmp_path / "m"
        shutil.copytree(small, base / "1", dirs_exist_ok=True)
        options = ServerOptions(port=0, rest_port=None, credentials=read_ssl_config(config))
        server = Server([ModelConfig("m", str(base))], options)
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "m"
        request.inputs["x"].CopyFrom(tf.make_tensor_proto([3.0]))
        results = []
        try:
            await server.start()
            for credentials in channels:
                where = f"127.0.0.1:{server.port}"
                channel = (
                    grpc.aio.secure_channel(where, credentials)
                    if credentials
                    else grpc.aio.insecure_channel(where)
                )
                async with channel:
                    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                    try:
                        response = await stub.Predict(request, timeout=LONG)
                        results.append(tf.make_ndarray(response.outputs["a"]).tolist())
                    except grpc.aio.AioRpcError as error:
                        results.append(error.code().name)
        finally:
            await server.stop()
        return results

    return lambda *args: asyncio.run(call(*args))


def test_callers_who_trust_the_authority_are_served(call_server, write, authority, own):
    config = write(server_key=own.key, server_cert=own.certificate)
    trusting = grpc.ssl_channel_credentials(authority.certificate.encode())
    others = grpc.ssl_channel_credentials(Signed("another").certificate.encode())
    assert call_server(config, [trusting, others, None]) == [[6.0], "UNAVAILABLE", "UNAVAILABLE"]


def test_callers_are_verified_if_they_should_be(call_server, write, authority, own):
    config = write(
        server_key=own.key,
        server_cert=own.certificate,
        custom_ca=authority.certificate,
        client_verify=True,
    )
    root = authority.certificate.encode()

    def channel(signed):
        return grpc.ssl_channel_credentials(root, signed.key.encode(), signed.certificate.encode())

    known = channel(Signed("caller", by=authority))
    stranger = channel(Signed("stranger", by=Signed("another")))
    nameless = grpc.ssl_channel_credentials(root)
    assert call_server(config, [known, stranger, nameless]) == [[6.0], "UNAVAILABLE", "UNAVAILABLE"]


def test_what_is_wrong_with_the_file_is_named_without_secrets(write, own, tmp_path):
    good = {"server_key": own.key, "server_cert": own.certificate}
    locked = own.text(serialization.BestAvailableEncryption(b"secret"))
    for values, message in (
        ({}, "has no server_key; give it as PEM text"),
        ({"server_key": own.key}, "has no server_cert"),
        (good | {"server_key": "/etc/key.pem"}, "server_key is not PEM text"),
        (good | {"custom_ca": "ca.pem"}, "custom_ca is not PEM text"),
        (good | {"server_key": Signed("x").key}, "not a key without a password and its cert"),
        (good | {"server_key": locked}, "not a key without a password and its cert"),
        (good | {"server_cert": own.key}, "not a key without a password and its cert"),
        (good | {"client_verify": True}, "client_verify needs custom_ca"),
        (good | {"custom_ca": own.key}, "custom_ca is not a certificate"),
    ):
        path = write(**values)
        with pytest.raises(InputError, match=message) as raised:
            read_ssl_config(path)
        assert path in str(raised.value)
        assert "BEGIN PRIVATE" not in str(raised.value)
    path = tmp_path / "broken.config"
    path.write_text('server_cert: ""\nserver_key: "MIGHAgEA" MIGHAgEB')
    broken = pytest.raises(InputError, match=r"not a valid SSLConfig in text format: see line 2\.")
    with broken as raised:
        read_ssl_config(str(path))
    assert "MIGH" not in str(raised.value)
    with pytest.raises(InputError, match="cannot read"):
        read_ssl_config(str(tmp_path / "none"))
