"""How to serve: the server's options, whose defaults are those of mptrec-serve's flags.

Imports neither TensorFlow nor gRPC, as flags are read before these are.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from tensorflow.core.protobuf import config_pb2

METRICS_PATH = "/monitoring/prometheus/metrics"  # TF Serving's default


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """How versions are loaded.

    Attributes:
      tags: Of the SavedModel's graph that is loaded.
      session: The session's configuration; None for TensorFlow's own.
      warm_up: bool. Whether a version runs its warm-up requests before it is served.
      warm_up_iterations: int. How often it runs each of them.
      retries: int. How often a broken version is tried again while its files do not change.
      retry_seconds: float. Between these tries, and no more often than versions are looked for.
      public_key: Checks the signature that every version must have; None if none needs one.
    """

    tags: Sequence[str] = ("serve",)
    session: "config_pb2.ConfigProto | None" = None
    warm_up: bool = True
    warm_up_iterations: int = 1
    retries: int = 5
    retry_seconds: float = 60.0
    public_key: "ed25519.Ed25519PublicKey | None" = None


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """How requests are merged.

    Attributes:
      max_batch_size: int. Rows of a run; a larger request runs alone, whole.
      batch_timeout: float. Seconds for which a run waits for more rows.
      num_batch_threads: int. Runs at a time.
      max_enqueued_requests: int. Requests that may wait; more are rejected as UNAVAILABLE.
    """

    max_batch_size: int = 512
    batch_timeout: float = 0.0
    num_batch_threads: int = 2
    max_enqueued_requests: int = 1000


@dataclasses.dataclass(frozen=True)
class RequestLogOptions:
    """How requests are logged.

    Attributes:
      directory: str. Where their files are written.
      share: float. The share of them that is logged, drawn at random.
      seconds: float. After which a file is complete, if it holds anything.
      most_bytes: int. At which a file is complete.
      most_waiting: int. Requests that may wait to be written; more are lost.
      most_waiting_bytes: int. About how much memory these may take.
      closing_seconds: float. For which a server that ends waits for a disk that does not respond.
    """

    directory: str
    share: float = 0.01
    seconds: float = 60.0
    most_bytes: int = 64 << 20
    most_waiting: int = 1000
    most_waiting_bytes: int = 256 << 20
    closing_seconds: float = 10.0


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """How to serve.

    Attributes:
      host: str. Address to listen on.
      port: Port for gRPC; None for none, 0 for one that is free.
      rest_port: Port for REST, likewise.
      socket_path: A UNIX socket for gRPC, too; None for none.
      credentials: For gRPC with TLS; None for none.
      channel_arguments: gRPC's settings by name.
      poll_seconds: float. Seconds between checks for new versions; 0 to check once.
      reread_seconds: float. Seconds between readings of the configuration; 0 to read it once.
      loading: How versions are loaded.
      metrics_path: Where Prometheus' metrics are on the REST port; None for none.
      cors: bool. Whether pages of other origins may send requests over REST.
      batching: How requests are merged.
      merge: bool. Whether they are merged.
      max_request_bytes: int. Larger requests are rejected.
      max_concurrent_requests: int. More at a time are rejected as UNAVAILABLE.
      timeout: float. Seconds that a request may take.
      request_log: How requests are logged; None if they are not.
    """

    host: str = "127.0.0.1"
    port: int | None = 8500
    rest_port: int | None = 8501
    socket_path: str | None = None
    credentials: "grpc.ServerCredentials | None" = None
    channel_arguments: Mapping[str, int | str] = dataclasses.field(default_factory=dict)
    poll_seconds: float = 1.0
    reread_seconds: float = 0.0
    loading: LoadOptions = LoadOptions()
    metrics_path: str | None = METRICS_PATH
    cors: bool = False
    batching: BatchingParameters = BatchingParameters(num_batch_threads=os.cpu_count() or 2)
    merge: bool = True
    max_request_bytes: int = 16 << 20
    max_concurrent_requests: int = 256
    timeout: float = 30.0
    request_log: RequestLogOptions | None = None
