"""Turns a request's decoded inputs into a response: the same for gRPC and REST."""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import grpc
import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2

from mptrec_tf.serving.server.batching import Batcher
from mptrec_tf.serving.server.measuring import Metrics
from mptrec_tf.serving.server.models import Models, Version
from mptrec_tf.serving.server.request_error import RequestError, invalid, unavailable
from mptrec_tf.serving.server.request_log import RequestLogger
from mptrec_tf.serving.server.signature import Signature

_log = logging.getLogger("mptrec-serve")
DEFAULT_SIGNATURE = "serving_default"
Decode = Callable[[Signature], Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Response:
    """The response to a request.

    Attributes:
      spec: Model, version and signature that predicted.
      outputs: Arrays by name.
    """

    spec: model_pb2.ModelSpec
    outputs: Mapping[str, np.ndarray]


class Predictor:
    """Responds to requests.

    Args:
      models: The models that are served.
      batcher: Runs them.
      metrics: Counts the requests.
      max_concurrent_requests: More at a time are rejected as UNAVAILABLE.
      timeout: Seconds for a request that has no deadline, or a later one.
      request_logger: Logs the requests; None if they are not logged.
    """

    def __init__(
        self,
        models: Models,
        batcher: Batcher,
        metrics: Metrics,
        max_concurrent_requests: int,
        timeout: float,
        request_logger: RequestLogger | None = None,
    ):
        self.models = models
        self.metrics = metrics
        self.timeout = timeout
        self._batcher = batcher
        self._most = max_concurrent_requests
        self._in_flight = 0
        self._draining = False
        self._request_logger = request_logger

    @contextlib.contextmanager
    def version(self, spec: model_pb2.ModelSpec) -> Iterator[Version]:
        """Admits a request, and keeps the requested version loaded while the block runs.

        Args:
          spec: Model, and version or label.

        Raises:
          RequestError: if there is no such version, or too many requests are in flight.
        """
        with self._admit():
            version = self.models.find(spec)
            with version.hold():
                yield version

    async def predict(
        self,
        version: Version,
        signature_name: str,
        decode: Decode,
        output_filter: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Response:
        """Returns the response to a request.

        Args:
          version: The version that `version` yielded.
          signature_name: The signature; empty for the default.
          decode: Makes the inputs, once the signature is known.
          output_filter: Names of the requested outputs; empty for all.
          timeout: Seconds that the caller waits; None if it set no deadline.

        Raises:
          RequestError: if the request is invalid or fails.
        """
        signature = self._signature(version.servable.signatures, signature_name)
        _check_filter(signature, output_filter)
        inputs = decode(signature)
        seconds = self.timeout if timeout is None else min(timeout, self.timeout)
        try:
            outputs = await asyncio.wait_for(
                self._batcher.submit(version, signature, inputs), seconds
            )
        except asyncio.TimeoutError as error:
            raise RequestError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                f"The model did not respond within {seconds:.3f} s.",
            ) from error
        spec = model_pb2.ModelSpec(name=version.model, signature_name=signature.name)
        spec.version.value = version.number
        _check_finite(outputs)
        if output_filter:
            outputs = {name: array for name, array in outputs.items() if name in output_filter}
        if self._request_logger:
            self._request_logger.log(spec, inputs, outputs, output_filter)
        return Response(spec, outputs)

    def get_metadata(
        self, spec: model_pb2.ModelSpec
    ) -> tuple[model_pb2.ModelSpec, get_model_metadata_pb2.SignatureDefMap]:
        """Returns the version that a request would reach, and its signatures.

        Raises:
          RequestError: if there is no such version.
        """
        version = self.models.find(spec)
        reached = model_pb2.ModelSpec(name=spec.name)
        reached.version.value = version.number
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in version.servable.signature_defs.items():
            signatures.signature_def[name].CopyFrom(signature)
        return reached, signatures

    @contextlib.contextmanager
    def _admit(self) -> Iterator[None]:
        if self._draining:
            raise unavailable("The server is shutting down.")
        if self._in_flight >= self._most:
            raise unavailable(f"{self._most} requests are in flight already; try again.")
        self._in_flight += 1
        self.metrics.in_flight.set(self._in_flight)
        try:
            yield
        finally:
            self._in_flight -= 1
            self.metrics.in_flight.set(self._in_flight)

    @staticmethod
    def _signature(signatures: Mapping[str, Signature], name: str) -> Signature:
        name = name or DEFAULT_SIGNATURE
        if name not in signatures:
            raise RequestError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{name}" not found.',
            )
        return signatures[name]

    @contextlib.contextmanager
    def measure(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts and times a request; its error, if any, is raised again."""
        start = time.perf_counter()
        code = grpc.StatusCode.INTERNAL
        try:
            yield
            code = grpc.StatusCode.OK
        except RequestError as rejection:
            code = rejection.code
            raise
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            # Callers could make up names of models, and each would be a new metric.
            known = model if model in self.models else ""
            self.metrics.requests.labels(known, code.name).inc()
            micros = 1e6 * (time.perf_counter() - start)
            self.metrics.latency.labels(known, api, entrypoint).observe(micros)

    def drain(self) -> None:
        """Rejects new requests from now on."""
        self._draining = True


def _check_filter(signature: Signature, output_filter: Sequence[str]) -> None:
    for name in output_filter:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {{{','.join(signature.outputs)}}}."
            )


def _check_finite(outputs: Mapping[str, np.ndarray]) -> None:
    """Rejects outputs that are not finite.

    TF Serving would return them. Here they are rejected, since JSON has no NaN, and since a caller
    who ranks by them would not notice.
    """
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = np.argwhere(~np.isfinite(array))[0]
            raise invalid(
                f"row {bad[0] if bad.size else 0} of the request gives a {name!r} that is not "
                "finite: it holds a NaN or a number out of range."
            )


def internal(error: Exception) -> RequestError:
    """Logs a fault of this program, and returns the error that its caller gets."""
    _log.error("a request failed", exc_info=error)
    return RequestError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
