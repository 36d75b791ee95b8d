"""Sends requests of any kind to a server, and returns their statuses and outputs."""

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
import urllib3
from tensorflow_serving.apis import predict_pb2

from mptrec_tf.serving.testing.mutation import CLOSED, PREDICT, Call, Http, Mutation, Raw

THREADS = 8  # send at a time
_DEADLINE = 30.0  # seconds; a server that does not respond within them hangs


class Target:
    """A server, and the connections to it.

    Args:
      server: With `address`, `port`, `url` and `rest_port`.
    """

    def __init__(self, server: Any):
        self._server = server
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
        self._channel = grpc.insecure_channel(server.address, options=unlimited)
        self._pool = urllib3.PoolManager(maxsize=THREADS, retries=False, timeout=_DEADLINE)

    def send(
        self, mutation: Mutation, request: Call | Http | Raw
    ) -> tuple[str, Mapping[str, np.ndarray] | None]:
        """Returns the response's status, or what happened instead; and a prediction's outputs."""
        try:
            if isinstance(request, Call):
                body = self._channel.unary_unary(request.method)(request.body, timeout=_DEADLINE)
                if request.method != PREDICT:
                    return "OK", None
                outputs = predict_pb2.PredictResponse.FromString(body).outputs
                return "OK", {name: tf.make_ndarray(proto) for name, proto in outputs.items()}
            if isinstance(request, Http):
                return self._http(request)
            return self._raw(mutation, request), None
        except grpc.RpcError as error:
            return error.code().name, None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            return type(error).__name__, None

    def _http(self, request: Http) -> tuple[str, Mapping[str, np.ndarray] | None]:
        response = self._pool.request(
            request.method,
            self._server.url + request.path,
            body=request.body,
            # What a server does to one request's connection must not affect the next request.
            headers={"Connection": "close", **request.headers},
        )
        try:
            content = json.loads(response.data)
            if response.status != 200:
                return f"{response.status}{'' if content['error'] else ' without a message'}", None
            if "predictions" in content:
                rows = content["predictions"]
                outputs = {name: [row[name] for row in rows] for name in rows[0]}
            else:
                outputs = content["outputs"]
            return "200", {name: np.array(v, np.float64) for name, v in outputs.items()}
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return f"{response.status} with {response.data[:100]!r}", None

    def _raw(self, mutation: Mutation, request: Raw) -> str:
        port = self._server.port if mutation.protocol == "gRPC" else self._server.rest_port
        with socket.create_connection(("127.0.0.1", port), timeout=_DEADLINE) as connection:
            for part in request.parts:
                connection.sendall(part)
                time.sleep(0.05)
            if not request.waits:
                return CLOSED
            if mutation.name == "not http":  # a server may wait for the end of some of it
                connection.shutdown(socket.SHUT_WR)
            try:
                start = connection.recv(100)
            except ConnectionError:
                return CLOSED
        return start.split(b" ")[1].decode() if start.startswith(b"HTTP/") else CLOSED

    def close(self) -> None:
        """Closes the connections."""
        self._channel.close()
        self._pool.clear()
