"""The REST client; it imports no TensorFlow."""

import base64
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from socket import SHUT_RDWR
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import numpy as np
import orjson
import urllib3

from mptrec_tf.errors import InputError
from mptrec_tf.serving.client.base import (
    Client,
    Interface,
    Prediction,
    ServingError,
    Signature,
    SignatureInput,
    UnavailableError,
)
from mptrec_tf.serving.client.gateway import Tls
from mptrec_tf.serving.client.values import make_kind

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TLS_REASONS = {
    "WRONG_VERSION_NUMBER": "the server does not speak it",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server requires a client certificate",
}
_MOVED = (301, 302, 303, 307, 308)


class _Response(NamedTuple):
    """An HTTP response, read whole."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class RestClient(Client):
    """Sends requests to a model over HTTP; threads may share it.

    Example:
      >>> rows = pd.read_csv("test.csv")  # doctest: +SKIP
      >>> with RestClient(
      ...     "https://gateway.example.com/models",
      ...     "mptrec",
      ...     headers=lambda: {"authorization": f"Bearer {current_token()}"},
      ...     tls=Tls(ca="ca.pem"),
      ... ) as client:
      ...     predictions = client.predict(rows)

    Args:
      url: The server, as "http://localhost:8501", or a gateway and its prefix.
      model: The model's name.
      **options: See `Client`.
    """

    def __init__(self, url: str, model: str, **options: Any):
        super().__init__(model, **options)
        _check_url(url)
        secure = url.lower().startswith("https://")
        if self._tls and not secure:
            raise InputError(f"{url!r} does not use TLS; give a URL with https://.")
        path = f"{url.rstrip('/')}/v1/models/{quote(model, safe='')}"
        if self._version is not None:
            path += f"/versions/{self._version}"
        elif self._label is not None:
            path += f"/labels/{quote(self._label, safe='')}"
        self._url = path
        tls = {}
        if secure:
            settings = self._tls or Tls()
            tls["ssl_context"] = settings.make_context()
            if settings.server_name:
                tls["server_hostname"] = settings.server_name
        self._pool = urllib3.PoolManager(maxsize=64, retries=False, **tls)

    @property
    def _where(self) -> str:
        return self._url

    def _send(self, arrays: Mapping[str, np.ndarray], timeout: float) -> Prediction:
        inputs = {name: _json_values(array) for name, array in arrays.items()}
        body = orjson.dumps({"signature_name": self._choose_signature(arrays), "inputs": inputs})
        response = self._request("POST", ":predict", timeout, body)
        outputs = self._content(response).get("outputs")
        # The output of a model with one task comes without a name, perhaps from a newer version.
        if isinstance(outputs, list):
            if len(self._known.outputs) != 1:
                self._known = self._fetch_interface(timeout)
            if len(self._known.outputs) == 1:
                outputs = {next(iter(self._known.outputs)): outputs}
        if not isinstance(outputs, dict):
            raise self._unexpected_response(response)
        try:
            predictions = {task: np.array(values, np.float32) for task, values in outputs.items()}
        except (ValueError, TypeError) as error:
            raise self._unexpected_response(response) from error
        version = response.headers.get("Model-Version", "")
        return Prediction(predictions, int(version) if version.isdigit() else None)

    def _fetch_interface(self, timeout: float) -> Interface:
        response = self._request("GET", "/metadata", timeout)
        try:
            signatures = self._content(response)["metadata"]["signature_def"]["signature_def"]
            described = {
                name: Signature(
                    {
                        key: SignatureInput(
                            make_kind(tensor["dtype"], _read_dims(tensor)), tensor.get("name", key)
                        )
                        for key, tensor in signature.get("inputs", {}).items()
                    },
                    {
                        key: [dim.get("name", "") for dim in _list_dimensions(tensor)]
                        for key, tensor in signature.get("outputs", {}).items()
                    },
                    list(signature.get("defaults", {})),
                )
                for name, signature in signatures.items()
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise self._unexpected_response(response) from error
        return self._make_interface(described)

    def _request(
        self, method: str, what: str, timeout: float, body: bytes | None = None
    ) -> _Response:
        end = time.monotonic() + timeout
        try:
            reply = self._pool.request(
                method,
                self._url + what,
                body=body,
                headers={"Content-Type": "application/json", **self._headers.read()},
                timeout=urllib3.Timeout(total=timeout),
                preload_content=False,
            )
            data = _read(reply, end)
        except urllib3.exceptions.NewConnectionError as error:
            raise UnavailableError(f"{self._where}: no server responds there ({error}).") from error
        except urllib3.exceptions.TimeoutError as error:
            raise self._deadline_error() from error
        except urllib3.exceptions.ProtocolError as error:
            raise UnavailableError(f"{self._where}: the connection broke ({error}).") from error
        except urllib3.exceptions.SSLError as error:
            raise self._tls_error(_explain_tls(error)) from error
        except urllib3.exceptions.HTTPError as error:
            raise ServingError(f"{self._where}: {error}", "UNKNOWN") from error
        response = _Response(reply.status, reply.headers, data)
        if response.status != 200:
            try:
                message = str(json.loads(data)["error"])
            except (ValueError, KeyError, TypeError):
                message = f"HTTP status {response.status}"
            if response.status in _MOVED:
                message += " redirects; give the client the URL where it leads"
            raise self._response_error(_CODES.get(response.status, "INTERNAL"), message)
        return response

    def _content(self, response: _Response) -> dict[str, Any]:
        try:
            content = json.loads(response.data)
        except ValueError as error:
            raise self._unexpected_response(response) from error
        if not isinstance(content, dict):
            raise self._unexpected_response(response)
        return content

    def _unexpected_response(self, response: _Response) -> ServingError:
        start = self._headers.hide(response.data[:4096].decode("utf-8", "replace"))[:80]
        return ServingError(f"{self._where} sent an unexpected response: {start}", "INTERNAL")

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()


def _read_dims(tensor: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Returns size and name of each dimension of a tensor in a server's metadata."""
    dims = tensor.get("tensor_shape", {}).get("dim", [])
    return [(int(dim.get("size", -1)), dim.get("name", "")) for dim in dims]


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InputError("the URL cannot be read; give one as http://localhost:8501.") from None
    # These two messages do not show the URL: it may hold a password or a token.
    if "@" in (parts.netloc or url):
        raise InputError("the URL holds a user or a password; give the client `headers` instead.")
    if parts.query or parts.fragment:
        raise InputError("the URL holds more than a path; give what follows ? or # as `headers`.")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{url!r} is not a URL; give one as http://localhost:8501.")


def _explain_tls(error: urllib3.exceptions.SSLError) -> str:
    """Returns what is wrong with a connection over TLS."""
    cause = error.args[0] if error.args else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {cause.verify_message}"
    reason = getattr(cause, "reason", None) or str(cause)
    return _TLS_REASONS.get(reason, reason)


def _read(response: Any, end: float) -> bytes:
    """Reads a body until the deadline; urllib3 bounds each single read only."""
    late = threading.Timer(max(end - time.monotonic(), 0.0), _break_off, [response])
    late.start()
    try:
        data = response.read()
    except urllib3.exceptions.ProtocolError as error:
        if time.monotonic() >= end:
            raise urllib3.exceptions.ReadTimeoutError(None, None, "the body is late") from error
        raise
    finally:
        late.cancel()
    response.release_conn()
    return data


def _break_off(response: Any) -> None:
    socket = getattr(response.connection, "sock", None)
    if socket is not None:
        with contextlib.suppress(OSError):  # it ended by itself
            socket.shutdown(SHUT_RDWR)


def _json_values(array: np.ndarray) -> Any:
    if array.dtype != object:
        if array.dtype.kind == "f" and np.isnan(array).any():
            # TF Serving takes NaN and not null; JSON proper, which orjson writes, has no NaN.
            return orjson.Fragment(json.dumps(array.tolist()))
        return array.tolist()
    values = []
    for value in array:
        try:
            values.append(value.decode())
        except UnicodeDecodeError:
            values.append({"b64": base64.b64encode(value).decode()})
    return values


def _list_dimensions(tensor: Mapping[str, Any]) -> Sequence[Mapping[str, str]]:
    """Returns the dimensions of a tensor in a server's metadata."""
    return tensor.get("tensor_shape", {}).get("dim", [])
