"""Serves exported models on this machine, as TF Serving would: for development and tests.

    mptrec-serve --model_name=mptrec --model_base_path=saved_models/mptrec \
        --port=8500 --rest_api_port=8501

Production runs on TF Serving itself (tensorflow_model_server): this server speaks its protocols
and takes all of its flags, so that the same clients, files and command lines work with both. Flags
of TF Serving that are not below do nothing here, and a note on standard error explains why.

It serves gRPC (Predict, GetModelMetadata, GetModelStatus) and REST (/v1/models/<name>), merges
waiting requests, and checks for new versions: one is loaded and warmed before the old one is
retired, and a broken one leaves the old one serving. While a model has no version that loads, the
server waits for one and serves the others. Metrics for Prometheus are at
/monitoring/prometheus/metrics of the REST port. On SIGTERM it finishes its requests and ends.

It is stricter than TF Serving in one way: a request whose predictions are not finite (a NaN in a
column) is rejected.
"""

import logging
import sys
from typing import TYPE_CHECKING

from absl import flags

from mptrec_tf.bin import model_server_flags, program
from mptrec_tf.errors import InputError
from mptrec_tf.serving.server.options import LoadOptions, RequestLogOptions, ServerOptions

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

_MODEL_NAME = flags.DEFINE_string("model_name", "default", "The model's name in requests.")
_MODEL_BASE_PATH = flags.DEFINE_string(
    "model_base_path", None, "Directory that mptrec-export wrote: the newest version is served."
)
_MODEL_CONFIG_FILE = flags.DEFINE_string(
    "model_config_file", None, "Instead: models, their version policies and labels (text proto)."
)
_CONFIG_POLL = flags.DEFINE_float(
    "model_config_file_poll_wait_seconds",
    ServerOptions.reread_seconds,
    "Seconds between readings of that file, so that a label can move; 0: it is read once.",
    0.0,
)
_PORT = flags.DEFINE_integer("port", ServerOptions.port, "Port for gRPC; 0: no gRPC.", 0, 65535)
_SOCKET_PATH = flags.DEFINE_string("grpc_socket_path", None, "A UNIX socket for gRPC, too.")
_REST_API_PORT = flags.DEFINE_integer(
    "rest_api_port", ServerOptions.rest_port, "Port for REST; 0: no REST.", 0, 65535
)
_HOST = flags.DEFINE_string("host", ServerOptions.host, "Address to listen on; 0.0.0.0: all.")
_SSL_CONFIG_FILE = flags.DEFINE_string(
    "ssl_config_file",
    None,
    "TLS for gRPC: server_key, server_cert, custom_ca, client_verify (text proto). REST has none.",
)
_CHANNEL_ARGUMENTS = flags.DEFINE_string(
    "grpc_channel_arguments", "", "gRPC's own settings, as grpc.max_connection_age_ms=2000,..."
)
_CORS = flags.DEFINE_bool(
    "rest_api_enable_cors_support",
    ServerOptions.cors,
    "Let pages of other origins send requests over REST.",
)
_POLL = flags.DEFINE_float(
    "file_system_poll_wait_seconds",
    ServerOptions.poll_seconds,
    "Seconds between checks for versions; 0: one check.",
    0.0,
)
_RETRIES = flags.DEFINE_integer(
    "max_num_load_retries",
    LoadOptions.retries,
    "How often a broken version is tried again while its files do not change.",
    lower_bound=0,
)
_RETRY_MICROS = flags.DEFINE_integer(
    "load_retry_interval_micros",
    round(LoadOptions.retry_seconds * 1e6),
    "Microseconds between these tries.",
)
_ENABLE_BATCHING = flags.DEFINE_bool(
    "enable_batching", ServerOptions.merge, "Merge waiting requests."
)
_BATCHING_FILE = flags.DEFINE_string(
    "batching_parameters_file", None, "max_batch_size and others (text proto)."
)
_TAGS = flags.DEFINE_list(
    "saved_model_tags", list(LoadOptions.tags), "Tags of the graph that is loaded."
)
_WARM_UP = flags.DEFINE_bool(
    "enable_model_warmup",
    LoadOptions.warm_up,
    "Serve a version only if its warm-up requests succeed.",
)
_WARM_UP_ITERATIONS = flags.DEFINE_integer(
    "num_request_iterations_for_warmup", 0, "How often each warm-up request is run; 0: once."
)
_SESSION_FILE = flags.DEFINE_string(
    "tensorflow_session_config_file", None, "TensorFlow's ConfigProto (text proto)."
)
_PARALLELISM = flags.DEFINE_integer(
    "tensorflow_session_parallelism", 0, "TensorFlow's threads; 0: automatic.", lower_bound=0
)
_INTRA_OP = flags.DEFINE_integer(
    "tensorflow_intra_op_parallelism", 0, "Threads within an operation.", lower_bound=0
)
_INTER_OP = flags.DEFINE_integer(
    "tensorflow_inter_op_parallelism", 0, "Threads between operations.", lower_bound=0
)
_GPU = flags.DEFINE_float(
    "per_process_gpu_memory_fraction", 0.0, "Share of the GPU's memory; 0: automatic.", 0.0, 1.0
)
_MONITORING_FILE = flags.DEFINE_string(
    "monitoring_config_file", None, "Path of Prometheus' metrics, or none (text proto)."
)
_PUBLIC_KEY = flags.DEFINE_string(
    "public_key",
    None,
    "Serve only versions that its private key signed, see mptrec-export --sign_key (PEM). TF "
    "Serving has no such flag.",
)
_LOG_REQUESTS = flags.DEFINE_string(
    "log_requests",
    None,
    "Directory for logs of requests and predictions, which mptrec-watch reads. TF Serving has "
    "logging_config in its --model_config_file instead.",
)
_LOG_SHARE = flags.DEFINE_float(
    "log_share",
    RequestLogOptions.share,
    "The share of the requests that is logged, drawn at random.",
    lower_bound=0.0,
    upper_bound=1.0,
)
_MAX_REQUEST_BYTES = flags.DEFINE_integer(
    "max_request_bytes",
    ServerOptions.max_request_bytes,
    "Larger requests are rejected.",
    lower_bound=1,
)
_MAX_CONCURRENT = flags.DEFINE_integer(
    "max_concurrent_requests",
    ServerOptions.max_concurrent_requests,
    "More at a time are rejected as unavailable.",
    lower_bound=1,
)
_TIMEOUT_MS = flags.DEFINE_integer(
    "rest_api_timeout_in_ms",
    round(ServerOptions.timeout * 1000),
    "Longest time for a request, gRPC's too.",
    lower_bound=1,
)
_VERSION = flags.DEFINE_bool("version", False, "Print the software's versions and end.")


def main(_: list[str]) -> None:
    """Runs the program."""
    if _VERSION.value:
        _print_versions()
        return
    for note in model_server_flags.describe_unused():
        _print_note(note)
    _check_flags()
    from mptrec_tf.export.signing import read_public_key

    public_key = read_public_key(_PUBLIC_KEY.value) if _PUBLIC_KEY.value else None

    # Imports that take seconds come after the checks of the flags.
    import asyncio

    from mptrec_tf.export.versions import check_base_path
    from mptrec_tf.serving.server.model_config import ModelConfig, read_model_config
    from mptrec_tf.serving.server.process import Server, serve

    reread = None
    if _MODEL_CONFIG_FILE.value:
        if _MODEL_BASE_PATH.value:
            _print_note("--model_name and --model_base_path do nothing beside --model_config_file.")

        def reread() -> list[ModelConfig]:
            return read_model_config(_MODEL_CONFIG_FILE.value)

        configs = reread()
    else:
        check_base_path(_MODEL_BASE_PATH.value)
        configs = [ModelConfig(_MODEL_NAME.value, _MODEL_BASE_PATH.value)]
    if any(config.logged for config in configs) and not _LOG_REQUESTS.value:
        _print_note("logging_config is TF Serving's alone: give --log_requests=DIR to log here.")
    options = _read_options(public_key)
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("mptrec-serve").setLevel(logging.INFO)

    def on_start(server: Server) -> None:
        places = [
            f"{what} on {_HOST.value}:{port}"
            for what, port in (("gRPC", server.port), ("REST", server.rest_port))
            if port
        ]
        if _SOCKET_PATH.value:
            places.append(f"gRPC at {_SOCKET_PATH.value}")
        served = server.list_served()
        waiting = [config.name for config in configs if config.name not in served]
        models = f"serving {', '.join(served) or 'nothing yet'}"
        if waiting:
            models += f", waiting for {', '.join(waiting)}" if _POLL.value else ""
        print(f"{models}: {', '.join(places)}", flush=True)

    asyncio.run(serve(Server(configs, options, reread), on_start))


def _check_flags() -> None:
    if not _MODEL_BASE_PATH.value and not _MODEL_CONFIG_FILE.value:
        raise InputError("give --model_base_path, or --model_config_file.")
    if not (_PORT.value or _REST_API_PORT.value or _SOCKET_PATH.value):
        raise InputError("--port=0 and --rest_api_port=0 leave no port to serve; give one of them.")
    if _PORT.value and _PORT.value == _REST_API_PORT.value:
        raise InputError(
            f"--port and --rest_api_port are both {_PORT.value}; give each a port of its own."
        )
    if _LOG_SHARE.present and not _LOG_REQUESTS.value:
        raise InputError("--log_share goes with --log_requests, the directory of the logs.")
    if _BATCHING_FILE.value and not _ENABLE_BATCHING.value:
        raise InputError("--batching_parameters_file goes with --enable_batching.")


def _read_options(public_key: "ed25519.Ed25519PublicKey | None") -> ServerOptions:
    from mptrec_tf.serving.server.batching_parameters import read_batching_parameters
    from mptrec_tf.serving.server.monitoring_config import read_metrics_path
    from mptrec_tf.serving.server.session_config import make_session_config
    from mptrec_tf.serving.server.tls import read_ssl_config

    batching, credentials = ServerOptions.batching, None
    if _BATCHING_FILE.value:
        batching = read_batching_parameters(_BATCHING_FILE.value, batching)
    metrics_path = ServerOptions.metrics_path
    if _MONITORING_FILE.value:
        metrics_path = read_metrics_path(_MONITORING_FILE.value)
    if _SSL_CONFIG_FILE.value:
        credentials = read_ssl_config(_SSL_CONFIG_FILE.value)
        if _REST_API_PORT.value:
            _print_note("--ssl_config_file is for gRPC: REST has no TLS, as in TF Serving.")
    return ServerOptions(
        host=_HOST.value,
        port=_PORT.value or None,
        rest_port=_REST_API_PORT.value or None,
        socket_path=_SOCKET_PATH.value or None,
        credentials=credentials,
        channel_arguments=_parse_channel_arguments(_CHANNEL_ARGUMENTS.value),
        poll_seconds=_POLL.value,
        reread_seconds=_CONFIG_POLL.value,
        loading=LoadOptions(
            tags=_TAGS.value,
            session=make_session_config(
                _SESSION_FILE.value,
                both=_PARALLELISM.value,
                intra_op=_INTRA_OP.value,
                inter_op=_INTER_OP.value,
                gpu=_GPU.value,
            ),
            warm_up=_WARM_UP.value,
            warm_up_iterations=max(1, _WARM_UP_ITERATIONS.value),
            retries=_RETRIES.value,
            retry_seconds=max(0, _RETRY_MICROS.value) / 1e6,
            public_key=public_key,
        ),
        metrics_path=metrics_path,
        cors=_CORS.value,
        batching=batching,
        merge=_ENABLE_BATCHING.value,
        max_request_bytes=_MAX_REQUEST_BYTES.value,
        max_concurrent_requests=_MAX_CONCURRENT.value,
        timeout=_TIMEOUT_MS.value / 1000,
        request_log=RequestLogOptions(_LOG_REQUESTS.value, _LOG_SHARE.value)
        if _LOG_REQUESTS.value
        else None,
    )


def _parse_channel_arguments(text: str) -> dict[str, int | str]:
    arguments: dict[str, int | str] = {}
    for argument in text.split(",") if text else ():
        name, equals, value = argument.partition("=")
        if not name or not equals:
            raise InputError(f"--grpc_channel_arguments: {argument!r} is not name=value.")
        try:
            arguments[name] = int(value)
        except ValueError:
            arguments[name] = value
    return arguments


def _print_versions() -> None:
    import importlib.metadata

    for package in ("mptrec-tf", "tensorflow-serving-api", "tensorflow"):
        print(f"{package}: {importlib.metadata.version(package)}")


def _print_note(note: str) -> None:
    print(f"mptrec-serve: note: {note}", file=sys.stderr)


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
