"""The REST side: TF Serving's /v1/models/... and its Prometheus metrics."""

import asyncio
import re
import socket
from typing import Any
from urllib.parse import unquote

import grpc
import orjson
import prometheus_client
from aiohttp import http_exceptions, web
from google.protobuf import json_format
from tensorflow_serving.apis import model_pb2

from mptrec_tf.serving.server import json_tensors, listening
from mptrec_tf.serving.server.options import METRICS_PATH
from mptrec_tf.serving.server.predicting import Predictor, internal
from mptrec_tf.serving.server.request_error import RequestError, invalid, not_found

# TF Serving's REST responses do not name their version. This header does.
VERSION_HEADER = "Model-Version"
_MODEL = re.compile(
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<action>/metadata|:[a-z_]+)?"
)
_MOST_VERSION = 2**63 - 1
_NO_HEADERS = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class RestService:
    """The HTTP server.

    Args:
      predictor: Responds to requests.
      max_request_bytes: Larger bodies are rejected.
      grace: Seconds that requests in flight have at the end.
      metrics_path: Path of the metrics; None for none.
      cors: Whether pages of other origins may send requests.
    """

    def __init__(
        self,
        predictor: Predictor,
        max_request_bytes: int,
        grace: float,
        metrics_path: str | None = METRICS_PATH,
        cors: bool = False,
    ):
        self._predictor = predictor
        # Connections without a request so far, and the timers that close them.
        self._idle: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        application = web.Application(client_max_size=max_request_bytes)
        self._sockets: list[socket.socket] = []
        self._listening: list[asyncio.Server] = []
        self._cors = cors
        if cors:
            application.on_response_prepare.append(_allow_origins)
        if metrics_path:
            application.router.add_get(metrics_path, self._get_metrics)
        application.router.add_route("*", "/{path:.*}", self._respond)
        self._runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=grace
        )

    def listen(self, host: str, port: int) -> int:
        """Opens a port; returns its number, which is chosen where 0 is given.

        Callers can connect from now on; their requests wait for `start`.

        Raises:
          InputError: if the address is taken or not this machine's.
        """
        self._sockets = listening.listen(host, port, "REST", "--rest_api_port")
        return self._sockets[0].getsockname()[1]

    async def start(self) -> None:
        """Begins to accept requests."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        for taken in self._sockets:
            self._listening.append(
                await loop.create_server(
                    self._make_connection, sock=taken, backlog=listening.BACKLOG
                )
            )

    async def stop(self) -> None:
        """Accepts no more requests and waits for those in flight, or until the grace is over."""
        for server in self._listening:
            server.close()
        for taken in self._sockets:
            taken.close()
        await self._runner.cleanup()

    def _make_connection(self) -> asyncio.BaseProtocol:
        """Returns a new connection; aiohttp itself would wait for its first request for ever."""
        connection = self._runner.server()
        loop = asyncio.get_running_loop()
        self._idle[connection] = loop.call_later(
            self._predictor.timeout, self._close_idle, connection
        )
        return connection

    def _close_idle(self, connection: asyncio.BaseProtocol) -> None:
        del self._idle[connection]
        if connection.transport is not None:
            connection.transport.write(_NO_HEADERS)
            connection.transport.close()

    def _on_headers(self, request: web.Request) -> None:
        if timer := self._idle.pop(request.protocol, None):
            timer.cancel()

    async def _get_metrics(self, request: web.Request) -> web.Response:
        self._on_headers(request)
        return web.Response(
            body=self._predictor.metrics.text(),
            headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST},
        )

    async def _respond(self, request: web.Request) -> web.Response:
        self._on_headers(request)
        try:
            return await self._dispatch(request)
        except RequestError as error:
            return _error_response(error.http_status, error.message)
        except web.HTTPRequestEntityTooLarge as error:
            return _error_response(error.status, f"The request's body is too large: {error.text}")
        except (web.RequestPayloadError, http_exceptions.HttpProcessingError) as error:
            return _error_response(400, f"The request's body is damaged: {error}")
        # A caller that hung up; nobody reads the response.
        except ConnectionError as error:
            return _error_response(400, f"The connection broke: {error}")
        # The boundary: a fault of this program becomes a response, and the server goes on.
        except Exception as error:
            return _error_response(500, internal(error).message)

    async def _dispatch(self, request: web.Request) -> web.Response:
        # Not `request.path`: a %2F in a name is not a slash.
        match = _MODEL.fullmatch(request.rel_url.raw_path)
        if not match:
            raise _malformed_error(request)
        spec, action = _parse_spec(match), match["action"]
        if action == ":predict" and request.method == "POST":
            return await self._predict(request, spec)
        if action == "/metadata" and request.method == "GET":
            return self._get_metadata(spec)
        if action is None and request.method == "GET":
            return _message_response(self._predictor.models.get_status(spec))
        if self._cors and request.method == "OPTIONS":
            return web.Response()
        if action in (":classify", ":regress") and request.method == "POST":
            raise RequestError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"This server has no {action}; use :predict, or TF Serving itself.",
            )
        raise _malformed_error(request)

    async def _predict(self, request: web.Request, spec: model_pb2.ModelSpec) -> web.Response:
        with self._predictor.measure(spec.name, "predict", "REST"):
            try:
                body = await asyncio.wait_for(request.read(), self._predictor.timeout)
            except asyncio.TimeoutError:
                response = _error_response(
                    408, f"The request's body did not come within {self._predictor.timeout} s."
                )
                response.force_close()
                return response
            # A model that is not served is reported before any mistake in the body.
            with self._predictor.version(spec) as version:
                content = json_tensors.parse(body, version.servable.takes_missing)
                name = json_tensors.read_signature_name(content)
                rows = json_tensors.is_rows(content)
                prediction = await self._predictor.predict(
                    version, name, lambda signature: json_tensors.to_arrays(signature, content)
                )
            if rows:
                _check_rows(prediction.outputs)
            return web.Response(
                body=json_tensors.encode_response(prediction.outputs, rows),
                content_type="application/json",
                headers={VERSION_HEADER: str(prediction.spec.version.value)},
            )

    def _get_metadata(self, spec: model_pb2.ModelSpec) -> web.Response:
        reached, signatures = self._predictor.get_metadata(spec)
        return _json_response(
            {
                "model_spec": {
                    "name": reached.name,
                    "signature_name": "",
                    "version": str(reached.version.value),
                },
                "metadata": {"signature_def": _to_dict(signatures)},
            }
        )


def _parse_spec(match: re.Match) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=unquote(match["name"]))
    if match["version"]:
        number = int(match["version"])
        if number > _MOST_VERSION:
            raise not_found(f"Servable not found for request: Specific({spec.name}, {number})")
        spec.version.value = number
    elif match["label"]:
        spec.version_label = unquote(match["label"])
    return spec


async def _allow_origins(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
    response.headers["Access-Control-Allow-Headers"] = "*"


def _malformed_error(request: web.Request) -> RequestError:
    return invalid(f"Malformed request: {request.method} {request.path}")


def _check_rows(outputs: Any) -> None:
    if len({array.shape[:1] for array in outputs.values()}) != 1:
        raise invalid(
            "The outputs of this signature differ in their number of rows: use the columnar format."
        )


def _to_dict(message: Any) -> dict[str, Any]:
    # The flag for default values depends on protobuf's version.
    for flag in ("always_print_fields_with_no_presence", "including_default_value_fields"):
        try:
            return json_format.MessageToDict(
                message, preserving_proto_field_name=True, **{flag: True}
            )
        except TypeError:
            continue
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _message_response(message: Any) -> web.Response:
    content = _to_dict(message)
    for status in content.get("model_version_status", ()):
        status.setdefault("status", {"error_code": "OK", "error_message": ""})
    return _json_response(content)


def _json_response(content: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")


def _error_response(status: int, message: str) -> web.Response:
    return _json_response({"error": message}, status)
