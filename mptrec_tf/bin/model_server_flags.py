"""Flags of TF Serving's tensorflow_model_server that do nothing in mptrec-serve.

A command line for one server works with the other: these flags are accepted, and a note on standard
error explains why they do nothing. All other flags of tensorflow_model_server have an effect, see
`serve`.
"""

from absl import flags

_DEFINE = {
    "bool": flags.DEFINE_bool,
    "int": flags.DEFINE_integer,
    "float": flags.DEFINE_float,
    "string": flags.DEFINE_string,
}
_NO_LITE = "there is no TensorFlow Lite here, and the SavedModel is served"
_ONE_LOADS = "one thread loads and unloads versions, and requests do not wait for it"
_ONE_READS = "one thread reads all requests; num_batch_threads sets how many run at a time"
_NO_XLA = "sessions compile nothing with XLA"
_DROPPED = "TF Serving itself has dropped it"

# Name, type, and why it does nothing.
UNUSED = (
    (
        "allow_version_labels_for_unavailable_models",
        "bool",
        "a label may always name a version that is not loaded yet",
    ),
    ("enable_grpc_healthcheck_service", "bool", "request the model's status or metadata instead"),
    (
        "enable_per_model_batching_parameters",
        "bool",
        "--batching_parameters_file is for all models",
    ),
    ("enable_profiler", "bool", "there is no profiler service"),
    (
        "enable_serialization_as_tensor_content",
        "bool",
        "predictions are always tensor_content",
    ),
    ("enable_signature_method_name_check", "bool", "there is no Classify and no Regress"),
    ("fail_if_no_model_versions_found", "bool", f"{_DROPPED}: versions are waited for"),
    ("flush_filesystem_caches", "bool", "the system's file caches are left to the system"),
    ("grpc_max_threads", "int", _ONE_READS),
    ("mixed_precision", "string", "models compute as they were exported"),
    ("num_load_threads", "int", _ONE_LOADS),
    ("num_tflite_interpreters", "int", _NO_LITE),
    ("num_tflite_interpreters_per_pool", "int", _NO_LITE),
    ("num_tflite_pools", "int", _NO_LITE),
    ("num_unload_threads", "int", _ONE_LOADS),
    ("platform_config_file", "string", "SavedModels are the one platform"),
    ("prefer_tflite_model", "bool", _NO_LITE),
    ("remove_unused_fields_from_bundle_metagraph", "bool", "a version's graph is not held twice"),
    ("rest_api_num_threads", "int", _ONE_READS),
    ("skip_initialize_tpu", "bool", "there is no TPU"),
    ("thread_pool_factory_config_file", "string", "TensorFlow's own thread pools are used"),
    ("use_alts_credentials", "bool", "ALTS is Google Cloud's; --ssl_config_file makes TLS"),
    ("use_saved_model", "bool", f"{_DROPPED}: SavedModels are the one format"),
    ("use_tflite_model", "bool", _NO_LITE),
    ("xla_cpu_compilation_enabled", "bool", _NO_XLA),
    ("xla_gpu_compilation_enabled", "bool", _NO_XLA),
)

for _name, _kind, _why in UNUSED:
    _DEFINE[_kind](_name, None, f"Does nothing here: {_why}.")


def describe_unused() -> list[str]:
    """Returns a sentence for each of these flags that was given."""
    return [
        f"--{name} does nothing here: {why}."
        for name, _, why in UNUSED
        if flags.FLAGS[name].present
    ]
