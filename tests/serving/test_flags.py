"""mptrec-serve's command line: every flag of tensorflow_model_server."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags
from absl.testing import flagsaver
from tensorflow.core.protobuf import config_pb2

from mptrec_tf.bin import model_server_flags, serve
from mptrec_tf.errors import InputError
from mptrec_tf.serving.server.monitoring_config import read_metrics_path
from mptrec_tf.serving.server.session_config import make_session_config
from mptrec_tf.serving.testing.local_server import SERVE, LocalServer

LONG = 60.0
DOCS = Path(__file__).parents[2] / "docs" / "serving.md"
# Flags of tensorflow_model_server (its main.cc), as a user gives them.
OBEYED = """
    --port=1 --grpc_socket_path=/s --rest_api_port=2 --rest_api_timeout_in_ms=3
    --rest_api_enable_cors_support=true --enable_batching=true --batching_parameters_file=f
    --model_config_file=f --model_config_file_poll_wait_seconds=60 --model_name=m
    --model_base_path=/m --max_num_load_retries=5 --load_retry_interval_micros=-1
    --file_system_poll_wait_seconds=1 --tensorflow_session_parallelism=0
    --tensorflow_session_config_file=f --tensorflow_intra_op_parallelism=2
    --tensorflow_inter_op_parallelism=2 --ssl_config_file=f --per_process_gpu_memory_fraction=0.5
    --saved_model_tags=serve,gpu --grpc_channel_arguments=a=1,b=c --enable_model_warmup=false
    --num_request_iterations_for_warmup=0 --version=false --monitoring_config_file=f
""".split()
UNUSED = """
    --rest_api_num_threads=4 --allow_version_labels_for_unavailable_models=true
    --enable_per_model_batching_parameters=false --num_load_threads=2 --num_unload_threads=2
    --flush_filesystem_caches=true --use_alts_credentials=false --platform_config_file=f
    --grpc_max_threads=8 --remove_unused_fields_from_bundle_metagraph=true
    --prefer_tflite_model=false --num_tflite_pools=1 --num_tflite_interpreters_per_pool=1
    --enable_signature_method_name_check=false --xla_cpu_compilation_enabled=false
    --xla_gpu_compilation_enabled=false --enable_profiler=true --thread_pool_factory_config_file=f
    --mixed_precision=bfloat16 --skip_initialize_tpu=false --enable_grpc_healthcheck_service=true
    --enable_serialization_as_tensor_content=false
""".split()
# Flags of earlier versions.
DROPPED = """
    --use_saved_model=true --use_tflite_model=false --num_tflite_interpreters=1
    --fail_if_no_model_versions_found=true
""".split()


def name_of(flag):
    return flag.removeprefix("--").partition("=")[0]


@contextlib.contextmanager
def given(*arguments):
    # A required flag of another program, if its tests ran in this process.
    others = ["--model=m"] if "model" in flags.FLAGS else []
    with flagsaver.flagsaver():
        flags.FLAGS(["mptrec-serve", *arguments, *others])
        yield


def test_every_flag_is_obeyed_or_noted():
    with given(*OBEYED):
        assert model_server_flags.describe_unused() == []
        assert flags.FLAGS.saved_model_tags == ["serve", "gpu"]
    with given(*UNUSED, *DROPPED):
        notes = model_server_flags.describe_unused()
    expected = {name_of(flag) for flag in UNUSED + DROPPED}
    assert {name for name, _, _ in model_server_flags.UNUSED} == expected
    assert {re.match(r"--(\w+) does nothing here: .+\.$", note)[1] for note in notes} == expected
    assert len(notes) == len(expected)
    with given():
        assert model_server_flags.describe_unused() == []


@pytest.mark.parametrize("spelling", ["", "=true", "=True", "=1", "=false", "=0"])
def test_booleans_are_spelled_as_tf_serving_takes_them(spelling):
    with given(f"--enable_batching{spelling}", f"--enable_profiler{spelling}"):
        on = spelling not in ("=false", "=0")
        assert flags.FLAGS.enable_batching == flags.FLAGS.enable_profiler == on
        [note] = model_server_flags.describe_unused()
        assert note == "--enable_profiler does nothing here: there is no profiler service."


def test_the_documentation_has_the_flags_that_do_nothing():
    rows = re.findall(r"^\| `--(\w+)` \| (.*) \|$", DOCS.read_text(), re.MULTILINE)
    assert rows == [(name, why) for name, _, why in model_server_flags.UNUSED]


def test_help_lists_the_flags_that_have_an_effect():
    module = flags.FLAGS.flags_by_module_dict()[serve.__name__]
    assert {flag.name for flag in module} == {name_of(flag) for flag in OBEYED} | {
        "host",
        "log_requests",
        "log_share",
        "max_concurrent_requests",
        "max_request_bytes",
        "public_key",
    }


def test_options_are_known_without_tensorflow():
    code = "import sys, mptrec_tf.bin.serve as s; print(s.ServerOptions.port, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    port, *modules = done.stdout.split()
    assert port == "8500"
    assert not {"tensorflow", "grpc"} & set(modules)


def test_channel_arguments_are_numbers_or_text():
    assert serve._parse_channel_arguments("") == {}
    assert serve._parse_channel_arguments("grpc.a=2000,grpc.b=x=y") == {
        "grpc.a": 2000,
        "grpc.b": "x=y",
    }
    for wrong in ("grpc.a", "=1", "grpc.a=1,"):
        with pytest.raises(InputError, match="is not name=value"):
            serve._parse_channel_arguments(wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --model_base_path, or --model_config_file"),
        (["--model_base_path=m", "--port=0", "--rest_api_port=0"], "leave no port to serve"),
        (["--model_base_path=m", "--port=7", "--rest_api_port=7"], "are both 7; give each a port"),
        (["--model_base_path=m", "--batching_parameters_file=f", "--noenable_batching"], "goes"),
    ],
)
def test_flags_that_do_not_go_together_are_named(arguments, message):
    with given(*arguments), pytest.raises(InputError, match=message):
        serve._check_flags()


def test_the_session_is_configured(tmp_path):
    path = tmp_path / "session.config"
    path.write_text("intra_op_parallelism_threads: 7 allow_soft_placement: true")
    assert make_session_config() == config_pb2.ConfigProto()
    assert make_session_config(both=3) == config_pb2.ConfigProto(
        intra_op_parallelism_threads=3, inter_op_parallelism_threads=3
    )
    config = make_session_config(str(path), inter_op=2, both=5, gpu=0.25)
    assert config.gpu_options.per_process_gpu_memory_fraction == 0.25
    config.ClearField("gpu_options")
    assert config == config_pb2.ConfigProto(
        intra_op_parallelism_threads=7, inter_op_parallelism_threads=2, allow_soft_placement=True
    )
    with pytest.raises(InputError, match="give --tensorflow_session_parallelism, or"):
        make_session_config(both=1, intra_op=1, inter_op=1)
    path.write_text("threads: 7")
    with pytest.raises(InputError, match="is not a valid ConfigProto in text format"):
        make_session_config(str(path))


def test_the_path_of_the_metrics_is_configured(tmp_path):
    path = tmp_path / "monitoring.config"
    for text, expected in (
        ('prometheus_config { enable: true path: "/metrics" }', "/metrics"),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { path: "/metrics" }', None),
        ("", None),
    ):
        path.write_text(text)
        assert read_metrics_path(str(path)) == expected
    for wrong in ("metrics", "/{metrics}"):
        path.write_text(f'prometheus_config {{ enable: true path: "{wrong}" }}')
        with pytest.raises(InputError, match="a plain one that begins with /"):
            read_metrics_path(str(path))
    path.write_text("prometheus { enable: true }")
    with pytest.raises(InputError, match="is not a valid MonitoringConfig in text"):
        read_metrics_path(str(path))


def run(*arguments):
    return subprocess.run(
        [*SERVE, *arguments], capture_output=True, text=True, check=False, timeout=LONG
    )


def test_a_version_is_printed():
    done = run("--version")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"mptrec-serve \d+\.\d+\.\d+\n", done.stdout)
    # As TensorFlow's programs spell flags.
    done = run("--version=true")
    assert done.returncode == 0, done.stderr
    assert re.match(r"mptrec-tf: \d+\.\d+.*\ntensorflow-serving-api: \d.*\n", done.stdout)


def test_an_unknown_flag_is_rejected_with_a_suggestion():
    done = run("--model_base_path=m", "--num_lod_threads=1")
    assert done.returncode == 1
    assert "Unknown command line flag 'num_lod_threads'. Did you mean: num_load_threads" in (
        done.stderr
    )


def test_a_server_runs_with_flags_of_tf_serving(small, tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "00000123").symlink_to(small)
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{tmp_path}/m" }}\n'
        f'config {{ name: "later" base_path: "{tmp_path}/later" }} }}'
    )
    # The flags of the entry point of TF Serving's image, and more.
    arguments = (
        "--model_name=model",
        "--model_base_path=/models/model",
        f"--model_config_file={config}",
        f"--monitoring_config_file={monitoring}",
        "--rest_api_num_threads=4",
        "--flush_filesystem_caches=false",
        "--tensorflow_session_parallelism=1",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=60000",
        "--enable_model_warmup",
    )
    with LocalServer(None, tmp_path, *arguments) as server:
        assert server.read_states() == {123: "AVAILABLE"}
        assert b"mptrec_serve_latest_version" in server.get("/metrics")
        log = server.log.read_text()
    for line in (
        "mptrec-serve: note: --rest_api_num_threads does nothing here: one thread reads all",
        "mptrec-serve: note: --flush_filesystem_caches does nothing here: ",
        "mptrec-serve: note: --model_name and --model_base_path do nothing beside",
        "serving m, waiting for later: gRPC on 127.0.0.1:",
    ):
        assert line in log
    assert log.count("does nothing here") == 2
    done = run(f"--model_base_path={tmp_path}/m/00000123", f"--port={server.port}")
    assert done.returncode == 1
    assert f"not its base path; give the directory that holds it: {tmp_path}/m." in done.stderr
