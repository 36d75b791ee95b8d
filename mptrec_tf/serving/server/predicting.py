"""A request's way from a protocol's decoded inputs to its answer: the same for gRPC and REST."""

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
from mptrec_tf.serving.server.signature import Signature

_log = logging.getLogger("mptrec-serve")
DEFAULT_SIGNATURE = "serving_default"
Decode = Callable[[Signature], Mapping[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Response:
    """What a request is answered.

    Attributes:
      spec: Model, version and signature that answered.
      outputs: Arrays by name.
    """

    spec: model_pb2.ModelSpec
    outputs: Mapping[str, np.ndarray]


class Predictor:
    """Responses requests.

    Args:
      models: What is served.
      batcher: What runs it.
      metrics: Where requests are counted.
      max_concurrent_requests: More at a time are rejected as UNAVAILABLE.
      timeout: Seconds for a request that has no deadline, or a later one.
    """

    def __init__(
        self,
        models: Models,
        batcher: Batcher,
        metrics: Metrics,
        max_concurrent_requests: int,
        timeout: float,
    ):
        self.models = models
        self.metrics = metrics
        self.timeout = timeout
        self._batcher = batcher
        self._most = max_concurrent_requests
        self._in_flight = 0
        self._draining = False

    @contextlib.contextmanager
    def version(self, spec: model_pb2.ModelSpec) -> Iterator[Version]:
        """Admits a request, and holds the version that it means loaded while the block runs.

        Args:
          spec: Model, and version or label.

        Raises:
          RequestError: if there is no such version, or too many requests are in flight.
        """
        with self._admitted():
            version = self.models.find(spec)
            with version.used():
                yield version

    async def predict(
        self,
        version: Version,
        signature_name: str,
        decode: Decode,
        output_filter: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Response:
        """Returns the answer to a request.

        Args:
          version: What `version` yielded.
          signature_name: The signature; empty for the default.
          decode: Makes the inputs, once the signature is known.
          output_filter: Names of the outputs that are wanted; empty for all.
          timeout: Seconds that the caller waits; None if it did not say.

        Raises:
          RequestError: if there is none.
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
                f"The model did not answer within {seconds:.3f} s.",
            ) from error
        answered = model_pb2.ModelSpec(name=version.model, signature_name=signature.name)
        answered.version.value = version.number
        _check_finite(outputs)
        return Response(answered, {n: v for n, v in outputs.items() if _wanted(n, output_filter)})

    def metadata(
        self, spec: model_pb2.ModelSpec
    ) -> tuple[model_pb2.ModelSpec, get_model_metadata_pb2.SignatureDefMap]:
        """Returns which version a request would ask, and its signatures.

        Raises:
          RequestError: if there is none.
        """
        version = self.models.find(spec)
        found = model_pb2.ModelSpec(name=spec.name)
        found.version.value = version.number
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in version.servable.signature_defs.items():
            signatures.signature_def[name].CopyFrom(signature)
        return found, signatures

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._draining:
            raise unavailable("The server is shutting down.")
        if self._in_flight >= self._most:
            raise unavailable(f"{self._most} requests are being answered already; try again.")
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
    def measured(self, model: str, api: str, entrypoint: str) -> Iterator[None]:
        """Counts and times a request; what it is rejected with goes on to its caller."""
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
            # Names that are not served would be metrics without end.
            known = model if model in self.models else ""
            self.metrics.requests.labels(known, code.name).inc()
            micros = 1e6 * (time.perf_counter() - start)
            self.metrics.latency.labels(known, api, entrypoint).observe(micros)

    def drain(self) -> None:
        """Rejects new requests from now on."""
        self._draining = True


def _wanted(name: str, output_filter: Sequence[str]) -> bool:
    return not output_filter or name in output_filter


def _check_filter(signature: Signature, output_filter: Sequence[str]) -> None:
    for name in output_filter:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {{{','.join(signature.outputs)}}}."
            )


def _check_finite(outputs: Mapping[str, np.ndarray]) -> None:
    """Rejects an answer that is none.

    TF Serving would hand it out. Here it is rejected, since JSON has no NaN, and since a caller
    who ranks by it would not notice.
    """
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = np.argwhere(~np.isfinite(array))[0]
            raise invalid(
                f"row {bad[0] if bad.size else 0} of the request makes {name!r} no finite number: "
                "it holds a NaN or a number out of range."
            )


def internal(error: Exception) -> RequestError:
    """What a caller hears of a fault of this program; the log has the rest."""
    _log.error("a request failed", exc_info=error)
    return RequestError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
