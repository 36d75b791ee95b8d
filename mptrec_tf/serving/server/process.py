"""The server as a whole, from start to a graceful end."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence

from mptrec_tf.errors import InputError
from mptrec_tf.serving.server.batching import Batcher
from mptrec_tf.serving.server.grpc_service import GrpcService
from mptrec_tf.serving.server.measuring import Metrics
from mptrec_tf.serving.server.model_config import ModelConfig
from mptrec_tf.serving.server.models import Models
from mptrec_tf.serving.server.options import ServerOptions
from mptrec_tf.serving.server.predicting import Predictor
from mptrec_tf.serving.server.request_log import RequestLogger
from mptrec_tf.serving.server.rest_service import RestService

_log = logging.getLogger("mptrec-serve")
# Kubernetes kills a process 30 seconds after SIGTERM.
_GRACE = 25.0


class Server:
    """A server in this event loop.

    Args:
      configs: The models to serve.
      options: How to serve them.
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
        self._models = Models(configs, metrics, options.loading, reread)
        self._batcher = Batcher(options.batching, metrics, options.merge)
        self._request_logger = options.request_log and RequestLogger(options.request_log)
        self._predictor = Predictor(
            self._models,
            self._batcher,
            metrics,
            options.max_concurrent_requests,
            options.timeout,
            self._request_logger,
        )
        self._services: list[GrpcService | RestService] = []
        self._reread = options.reread_seconds if reread else 0.0
        self._polling: asyncio.Task | None = None

    async def start(self) -> None:
        """Opens the ports, loads the models that exist, and begins to accept requests.

        A caller that connects while models are loaded waits for them. A model whose versions do not
        exist yet, or do not load, is tried again later, and the others are served.

        Raises:
          InputError: if a port is taken, or no model is served and none is tried again.
        """
        options = self._options
        self._listen()
        await self._models.refresh()
        self._check_served()
        for service in self._services:
            await service.start()
        if options.poll_seconds or self._reread:
            polling = self._models.poll(options.poll_seconds, self._reread)
            self._polling = asyncio.create_task(polling)

    def _listen(self) -> None:
        options = self._options
        if options.rest_port is not None:
            service = RestService(
                self._predictor,
                options.max_request_bytes,
                _GRACE,
                options.metrics_path,
                options.cors,
            )
            self._services.append(service)
            self.rest_port = service.listen(options.host, options.rest_port)
        # Last: gRPC releases a port only after it was started.
        if options.port is not None or options.socket_path:
            service = GrpcService(
                self._predictor,
                options.max_request_bytes,
                _GRACE,
                options.credentials,
                options.channel_arguments,
            )
            self._services.append(service)
            if options.port is not None:
                self.port = service.listen(options.host, options.port)
            if options.socket_path:
                service.listen_at(options.socket_path)

    def _check_served(self) -> None:
        waiting = self._models.explain_unserved()
        again = self._options.poll_seconds or self._reread
        if not again and not self._models.list_served():
            reasons = "; ".join(f"{name!r}: {why}" for name, why in waiting.items())
            raise InputError(
                f"no model can be served, and --file_system_poll_wait_seconds=0 checks once "
                f"({reasons})."
            )
        for name in waiting:
            _log.warning(
                "%s is not served: %s",
                name,
                f"it is checked every {again:g} s" if again else "it is not checked again",
            )

    def list_served(self) -> list[str]:
        """Returns the names of the models that have a loaded version."""
        return self._models.list_served()

    async def stop(self) -> None:
        """Responds to requests in flight, rejects new ones, and releases all resources."""
        self._predictor.drain()
        if self._polling:
            self._polling.cancel()
        await asyncio.gather(*(service.stop() for service in self._services))
        self._batcher.close()
        await self._models.close()
        if self._request_logger:
            await asyncio.to_thread(self._request_logger.close)


async def serve(server: Server, on_start: Callable[[Server], None] = lambda server: None) -> None:
    """Serves until SIGTERM or SIGINT.

    Args:
      server: The server.
      on_start: Called when it listens.

    Raises:
      InputError: if it cannot be started.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    try:
        await server.start()
        on_start(server)
        await ended.wait()
    finally:
        await server.stop()
