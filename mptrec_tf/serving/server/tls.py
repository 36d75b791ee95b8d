"""Configures TLS for gRPC by TF Serving's ssl_config_file.

TF Serving has no TLS for REST, and neither has this server: what works here should work there.
"""

import os
import ssl

import grpc

from mptrec_tf.errors import InputError
from mptrec_tf.serving.server.model_config import read_text_proto
from mptrec_tf.serving.server.rebuilt_protos import build_message

_FIELDS = {
    "server_key": "string",
    "server_cert": "string",
    "custom_ca": "string",
    "client_verify": "bool",
}


def read_ssl_config(path: str) -> grpc.ServerCredentials:
    """Reads an ssl_config_file: TF Serving's SSLConfig in text format, its values PEM text.

    Raises:
      InputError: if the file, or a key, certificate or authority in it, is invalid. No message
        shows the file's content.
    """
    config = read_text_proto(path, build_message("SSLConfig", _FIELDS), secret=True)
    for name in ("server_key", "server_cert", "custom_ca"):
        value = getattr(config, name)
        if not value and name != "custom_ca":
            raise InputError(f"{path} has no {name}; give it as PEM text.")
        if value and "-----BEGIN " not in value:
            raise InputError(
                f"{path}: {name} is not PEM text (-----BEGIN ...); give the content of its file, "
                "with \\n for the ends of lines, not the file's name."
            )
    if config.client_verify and not config.custom_ca:
        raise InputError(
            f"{path}: client_verify needs custom_ca, the authority that signed the clients' "
            "certificates."
        )
    _check(path, config)
    key, certificate = config.server_key.encode(), config.server_cert.encode()
    return grpc.ssl_server_credentials(
        [(key, certificate)],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def _check(path: str, config) -> None:
    """Rejects keys and certificates that gRPC would reject without a reason."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # In memory: a key must not be written to another disk.
    files = {name: os.memfd_create(name) for name in ("server_key", "server_cert")}
    try:
        for name, file in files.items():
            os.write(file, getattr(config, name).encode())
        names = [f"/proc/self/fd/{files[name]}" for name in ("server_cert", "server_key")]
        # Without a password OpenSSL would prompt for one at the terminal.
        context.load_cert_chain(*names, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        raise InputError(
            f"{path}: server_key and server_cert are not a key without a password and its "
            f"certificate ({why})."
        ) from error
    finally:
        for file in files.values():
            os.close(file)
    if config.custom_ca:
        try:
            context.load_verify_locations(cadata=config.custom_ca)
        except (ssl.SSLError, ValueError) as error:
            why = getattr(error, "reason", None) or type(error).__name__
            raise InputError(f"{path}: custom_ca is not a certificate ({why}).") from error
