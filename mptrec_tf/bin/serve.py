"""Serves exported models on this machine, as TF Serving would: for development and tests.

    mptrec-serve --model_name=mptrec --model_base_path=saved_models/mptrec \
        --port=8500 --rest_api_port=8501

Production runs on TF Serving itself (tensorflow_model_server): this server speaks its protocols
and takes flags of its names, so that the same clients and the same configuration work with both.

It answers gRPC (Predict, GetModelMetadata, GetModelStatus) and REST (/v1/models/<name>), merges
requests that wait, and looks for new versions: one is loaded and warmed before the old one is
dropped, and a broken one leaves the old one serving. Metrics for Prometheus are at
/monitoring/prometheus/metrics of the REST port. SIGTERM ends it when all is answered.

It is stricter than TF Serving in one way: a request whose answer is no finite number (a NaN in a
column) is refused.
"""

import logging

from absl import flags

from mptrec_tf.bin import program
from mptrec_tf.errors import InputError

_MODEL_NAME = flags.DEFINE_string("model_name", "default", "What requests call the model.")
_MODEL_BASE_PATH = flags.DEFINE_string(
    "model_base_path", None, "Directory that mptrec-export wrote: the newest version is served."
)
_MODEL_CONFIG_FILE = flags.DEFINE_string(
    "model_config_file", None, "Instead: models, their version policies and labels (text proto)."
)
_CONFIG_POLL = flags.DEFINE_integer(
    "model_config_file_poll_wait_seconds",
    0,
    "0: that file is read once; otherwise at every look for versions, so that a label can move.",
    lower_bound=0,
)
_PORT = flags.DEFINE_integer("port", 8500, "Port for gRPC; 0: no gRPC.", 0, 65535)
_REST_API_PORT = flags.DEFINE_integer("rest_api_port", 8501, "Port for REST; 0: no REST.", 0, 65535)
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0: all.")
_POLL = flags.DEFINE_float(
    "file_system_poll_wait_seconds", 1.0, "Seconds between looks for versions; 0: one look.", 0.0
)
_ENABLE_BATCHING = flags.DEFINE_bool("enable_batching", True, "Merge requests that wait.")
_BATCHING_FILE = flags.DEFINE_string(
    "batching_parameters_file", None, "max_batch_size and others (text proto)."
)
_MAX_REQUEST_BYTES = flags.DEFINE_integer(
    "max_request_bytes", 16 << 20, "Larger requests are refused.", lower_bound=1
)
_MAX_CONCURRENT = flags.DEFINE_integer(
    "max_concurrent_requests", 256, "More at a time are refused as unavailable.", lower_bound=1
)
_TIMEOUT_MS = flags.DEFINE_integer(
    "rest_api_timeout_in_ms", 30_000, "Longest time for a request, gRPC's too.", lower_bound=1
)


def main(_: list[str]) -> None:
    """Runs the program."""
    import asyncio

    from mptrec_tf.serving.server.batching_parameters import read_batching_parameters
    from mptrec_tf.serving.server.model_config import ModelConfig, read_model_config
    from mptrec_tf.serving.server.process import Server, ServerOptions, serve

    if bool(_MODEL_BASE_PATH.value) == bool(_MODEL_CONFIG_FILE.value):
        raise InputError("give either --model_base_path or --model_config_file.")
    if not _PORT.value and not _REST_API_PORT.value:
        raise InputError("--port=0 and --rest_api_port=0 leave nothing to ask; give one of them.")
    if _BATCHING_FILE.value and not _ENABLE_BATCHING.value:
        raise InputError("--batching_parameters_file goes with --enable_batching.")

    batching = ServerOptions.batching
    if _BATCHING_FILE.value:
        batching = read_batching_parameters(_BATCHING_FILE.value, batching)
    reread = None
    if _MODEL_CONFIG_FILE.value:
        configs = read_model_config(_MODEL_CONFIG_FILE.value)
    else:
        configs = [ModelConfig(_MODEL_NAME.value, _MODEL_BASE_PATH.value)]
    options = ServerOptions(
        host=_HOST.value,
        port=_PORT.value or None,
        rest_port=_REST_API_PORT.value or None,
        poll_seconds=_POLL.value,
        batching=batching,
        merge=_ENABLE_BATCHING.value,
        max_request_bytes=_MAX_REQUEST_BYTES.value,
        max_concurrent_requests=_MAX_CONCURRENT.value,
        timeout=_TIMEOUT_MS.value / 1000,
    )
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("mptrec-serve").setLevel(logging.INFO)

    def on_start(server: Server) -> None:
        places = [
            f"{what} on {_HOST.value}:{port}"
            for what, port in (("gRPC", server.port), ("REST", server.rest_port))
            if port
        ]
        print(f"serving {', '.join(c.name for c in configs)}: {', '.join(places)}", flush=True)

    if _MODEL_CONFIG_FILE.value and _CONFIG_POLL.value:

        def reread() -> list[ModelConfig]:
            return read_model_config(_MODEL_CONFIG_FILE.value)

    asyncio.run(serve(Server(configs, options, reread), on_start))


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
