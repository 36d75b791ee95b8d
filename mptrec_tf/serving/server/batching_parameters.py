"""TF Serving's file that configures how requests are merged."""

from mptrec_tf.errors import InputError
from mptrec_tf.serving.server.model_config import read_text_proto
from mptrec_tf.serving.server.options import BatchingParameters
from mptrec_tf.serving.server.rebuilt_protos import build_message


def read_batching_parameters(path: str, defaults: BatchingParameters) -> BatchingParameters:
    """Reads a batching_parameters_file.

    `max_batch_size`, `batch_timeout_micros`, `num_batch_threads` and `max_enqueued_batches` are
    used; TF Serving's other fields are accepted and have no effect here.

    Raises:
      InputError: if the file is invalid.
    """
    content = read_text_proto(path, build_message("BatchingParameters", _FIELDS))
    rows = content.max_batch_size.value if content.HasField("max_batch_size") else None
    micros = content.batch_timeout_micros.value
    threads = content.num_batch_threads.value
    batches = content.max_enqueued_batches.value
    if (rows is not None and rows < 1) or min(micros, threads, batches) < 0:
        raise InputError(f"{path}: sizes should be 1 or more, and the timeout 0 or more.")
    return BatchingParameters(
        max_batch_size=rows or defaults.max_batch_size,
        batch_timeout=micros / 1e6,
        num_batch_threads=threads or defaults.num_batch_threads,
        max_enqueued_requests=batches or defaults.max_enqueued_requests,
    )


_WRAPPED = {
    "Int64Value": (
        "max_batch_size batch_timeout_micros num_batch_threads max_enqueued_batches "
        "max_execution_batch_size "
        "low_priority_max_batch_size low_priority_batch_timeout_micros "
        "low_priority_max_enqueued_batches"
    ),
    "StringValue": "thread_pool_name mixed_priority_policy",
    "BoolValue": "enable_large_batch_splitting enable_large_batch_thread_pool",
}
_FIELDS = {name: kind for kind, names in _WRAPPED.items() for name in names.split()} | {
    "allowed_batch_sizes": "repeated int64",
    "pad_variable_length_inputs": "bool",
}
