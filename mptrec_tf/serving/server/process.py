"""The server as a whole, from start to a graceful end."""

import asyncio
import dataclasses
import os
import signal
from collections.abc import Callable, Sequence

from mptrec_tf.errors import InputError
from mptrec_tf.serving.server.batching import Batcher
from mptrec_tf.serving.server.batching_parameters import BatchingParameters
from mptrec_tf.serving.server.grpc_service import GrpcService
from mptrec_tf.serving.server.measuring import Metrics
from mptrec_tf.serving.server.model_config import ModelConfig
from mptrec_tf.serving.server.models import Models
from mptrec_tf.serving.server.predicting import Predictor
from mptrec_tf.serving.server.rest_service import RestService

# Kubernetes kills 30 seconds after it asked.
_GRACE = 25.0


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """How to serve.

    Attributes:
      host: str. Address to listen on.
      port: Port for gRPC; None for none, 0 for one that is free.
      rest_port: Port for REST, likewise.
      poll_seconds: float. Seconds between looks for new versions; 0 to look once.
      batching: How requests are merged.
      merge: bool. Whether they are merged.
      max_request_bytes: int. Larger requests are refused.
      max_concurrent_requests: int. More at a time are refused as UNAVAILABLE.
      timeout: float. Seconds that a request may take.
    """

    host: str = "127.0.0.1"
    port: int | None = 8500
    rest_port: int | None = 8501
    poll_seconds: float = 1.0
    batching: BatchingParameters = BatchingParameters(  # noqa: RUF009 (frozen)
        num_batch_threads=os.cpu_count() or 2
    )
    merge: bool = True
    max_request_bytes: int = 16 << 20
    max_concurrent_requests: int = 256
    timeout: float = 30.0


class Server:
    """A server in this event loop.

    Args:
      configs: What to serve.
      options: How.
      reread: See `Models`.

    Attributes:
      port: The port for gRPC once it is started; None for none.
      rest_port: The port for REST, likewise.
    """

    def __init__(
        self,
        configs: Sequence[ModelConfig],
        options: ServerOptions,
        reread: Callable[[], Sequence[ModelConfig]] | None = None,
    ):
        self.port, self.rest_port = options.port, options.rest_port
        self._options = options
        metrics = Metrics()
        self._models = Models(configs, metrics, reread)
        self._batcher = Batcher(options.batching, metrics, options.merge)
        self._predictor = Predictor(
            self._models,
            self._batcher,
            metrics,
            options.max_concurrent_requests,
            options.timeout,
        )
        self._services: list[GrpcService | RestService] = []
        self._polling: asyncio.Task | None = None

    async def start(self) -> None:
        """Loads the models, then begins to listen.

        Raises:
          InputError: if a model has no version that loads, or a port is taken.
        """
        options = self._options
        await self._models.refresh()
        for name, why in self._models.not_serving().items():
            raise InputError(f"model {name!r} cannot be served: {why}.")
        if options.port is not None:
            service = GrpcService(self._predictor, options.max_request_bytes, _GRACE)
            self._services.append(service)
            self.port = await service.start(options.host, options.port)
        if options.rest_port is not None:
            service = RestService(self._predictor, options.max_request_bytes, _GRACE)
            self._services.append(service)
            self.rest_port = await service.start(options.host, options.rest_port)
        if options.poll_seconds:
            self._polling = asyncio.create_task(self._models.poll(options.poll_seconds))

    async def stop(self) -> None:
        """Answers what is in flight, refuses what comes, and gives everything back."""
        self._predictor.drain()
        if self._polling:
            self._polling.cancel()
        await asyncio.gather(*(service.stop() for service in self._services))
        self._batcher.close()
        await self._models.close()


async def serve(server: Server, on_start: Callable[[Server], None] = lambda server: None) -> None:
    """Serves until the process is asked to end (SIGTERM or SIGINT).

    Args:
      server: What to serve.
      on_start: Called when it listens.

    Raises:
      InputError: if it cannot be started.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    try:
        await server.start()
        on_start(server)
        await asked.wait()
    finally:
        await server.stop()
