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
from mptrec_tf.serving.server.monitoring_config import METRICS_PATH
from mptrec_tf.serving.server.predicting import Predictor, internal
from mptrec_tf.serving.server.request_error import RequestError, invalid, not_found

# TF Serving's REST answers do not say which version they come from. This header does.
VERSION_HEADER = "Model-Version"
_MODEL = re.compile(
    r"/v1/models/(?P<name>[^/:]+)"
    r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
    r"(?P<what>/metadata|:[a-z_]+)?"
)
_MOST_VERSION = 2**63 - 1
_NO_HEADERS = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class RestService:
    """The HTTP server.

    Args:
      predictor: What answers.
      max_request_bytes: Larger bodies are rejected.
      grace: Seconds that requests in flight have at the end.
      metrics_path: Where the metrics are; None for none.
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
        # Connections that have asked nothing so far, and when they are given up.
        self._silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        application = web.Application(client_max_size=max_request_bytes)
        self._sockets: list[socket.socket] = []
        self._listening: list[asyncio.Server] = []
        self._cors = cors
        if cors:
            application.on_response_prepare.append(_allow_origins)
        if metrics_path:
            application.router.add_get(metrics_path, self._metrics)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            application, access_log=None, handle_signals=False, shutdown_timeout=grace
        )

    def listen(self, host: str, port: int) -> int:
        """Takes a port; returns it, since it is chosen where 0 is given.

        Callers can connect from now on; their requests wait for `start`.

        Raises:
          InputError: if the address is taken or not this machine's.
        """
        self._sockets = listening.listen(host, port, "REST", "--rest_api_port")
        return self._sockets[0].getsockname()[1]

    async def start(self) -> None:
        """Begins to take requests."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        for taken in self._sockets:
            self._listening.append(
                await loop.create_server(self._connected, sock=taken, backlog=listening.BACKLOG)
            )

    async def stop(self) -> None:
        """Takes no more requests and ends when those in flight are answered, or time is up."""
        for server in self._listening:
            server.close()
        for taken in self._sockets:
            taken.close()
        await self._runner.cleanup()

    def _connected(self) -> asyncio.BaseProtocol:
        """A new connection; aiohttp itself would wait for its first request for ever."""
        connection = self._runner.server()
        loop = asyncio.get_running_loop()
        self._silent[connection] = loop.call_later(
            self._predictor.timeout, self._give_up, connection
        )
        return connection

    def _give_up(self, connection: asyncio.BaseProtocol) -> None:
        del self._silent[connection]
        if connection.transport is not None:
            connection.transport.write(_NO_HEADERS)
            connection.transport.close()

    def _headers_came(self, request: web.Request) -> None:
        if timer := self._silent.pop(request.protocol, None):
            timer.cancel()

    async def _metrics(self, request: web.Request) -> web.Response:
        self._headers_came(request)
        return web.Response(
            body=self._predictor.metrics.text(),
            headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST},
        )

    async def _answer(self, request: web.Request) -> web.Response:
        self._headers_came(request)
        try:
            return await self._dispatch(request)
        except RequestError as error:
            return _error(error.http_status, error.message)
        except web.HTTPRequestEntityTooLarge as error:
            return _error(error.status, f"The request's body is too large: {error.text}")
        except (web.RequestPayloadError, http_exceptions.HttpProcessingError) as error:
            return _error(400, f"The request's body is damaged: {error}")
        # A caller that hung up; nobody reads the answer.
        except ConnectionError as error:
            return _error(400, f"The connection broke: {error}")
        # The boundary: a fault of this program is an answer too, and the server goes on.
        except Exception as error:
            return _error(500, internal(error).message)

    async def _dispatch(self, request: web.Request) -> web.Response:
        # Not `request.path`: a %2F in a name is no slash.
        match = _MODEL.fullmatch(request.rel_url.raw_path)
        if not match:
            raise _malformed(request)
        spec, what = _spec(match), match["what"]
        if what == ":predict" and request.method == "POST":
            return await self._predict(request, spec)
        if what == "/metadata" and request.method == "GET":
            return self._metadata(spec)
        if what is None and request.method == "GET":
            return _message(self._predictor.models.status(spec))
        if self._cors and request.method == "OPTIONS":
            return web.Response()
        if what in (":classify", ":regress") and request.method == "POST":
            raise RequestError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"This server has no {what}; ask :predict, or TF Serving itself.",
            )
        raise _malformed(request)

    async def _predict(self, request: web.Request, spec: model_pb2.ModelSpec) -> web.Response:
        with self._predictor.measured(spec.name, "predict", "REST"):
            try:
                body = await asyncio.wait_for(request.read(), self._predictor.timeout)
            except asyncio.TimeoutError:
                response = _error(
                    408, f"The request's body did not come within {self._predictor.timeout} s."
                )
                response.force_close()
                return response
            # A model that is not there is told before anything that is wrong with the body.
            with self._predictor.version(spec) as version:
                content = json_tensors.parse(body)
                name = json_tensors.signature_name(content)
                rows = json_tensors.is_rows(content)
                answer = await self._predictor.predict(
                    version, name, lambda signature: json_tensors.arrays(signature, content)
                )
            if rows:
                _check_rows(answer.outputs)
            return web.Response(
                body=json_tensors.answer(answer.outputs, rows),
                content_type="application/json",
                headers={VERSION_HEADER: str(answer.spec.version.value)},
            )

    def _metadata(self, spec: model_pb2.ModelSpec) -> web.Response:
        found, signatures = self._predictor.metadata(spec)
        return _json(
            {
                "model_spec": {
                    "name": found.name,
                    "signature_name": "",
                    "version": str(found.version.value),
                },
                "metadata": {"signature_def": _to_dict(signatures)},
            }
        )


def _spec(match: re.Match) -> model_pb2.ModelSpec:
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


def _malformed(request: web.Request) -> RequestError:
    return invalid(f"Malformed request: {request.method} {request.path}")


def _check_rows(outputs: Any) -> None:
    if len({array.shape[:1] for array in outputs.values()}) != 1:
        raise invalid(
            "The outputs of this signature differ in their number of rows: ask in columnar format."
        )


def _to_dict(message: Any) -> dict[str, Any]:
    # The flag for default values has another name in each protobuf.
    for flag in ("always_print_fields_with_no_presence", "including_default_value_fields"):
        try:
            return json_format.MessageToDict(
                message, preserving_proto_field_name=True, **{flag: True}
            )
        except TypeError:
            continue
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _message(message: Any) -> web.Response:
    content = _to_dict(message)
    for status in content.get("model_version_status", ()):
        status.setdefault("status", {"error_code": "OK", "error_message": ""})
    return _json(content)


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")


def _error(status: int, message: str) -> web.Response:
    return _json({"error": message}, status)
