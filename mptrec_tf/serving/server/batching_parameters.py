"""How requests are merged, and TF Serving's file that says so."""

import dataclasses

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

from mptrec_tf.errors import InputError
from mptrec_tf.serving.server.model_config import read_text_proto


@dataclasses.dataclass(frozen=True)
class BatchingParameters:
    """How requests are merged.

    Attributes:
      max_batch_size: int. Rows of a run; a larger request runs alone, whole.
      batch_timeout: float. Seconds for which a run waits for more rows.
      num_batch_threads: int. Runs at a time.
      max_enqueued_requests: int. Requests that may wait; more are refused as UNAVAILABLE.
    """

    max_batch_size: int = 512
    batch_timeout: float = 0.0
    num_batch_threads: int = 2
    max_enqueued_requests: int = 1000


def read_batching_parameters(path: str, defaults: BatchingParameters) -> BatchingParameters:
    """Reads a batching_parameters_file.

    `max_batch_size`, `batch_timeout_micros`, `num_batch_threads` and `max_enqueued_batches` count;
    what else TF Serving knows there is read and has no effect here.

    Raises:
      InputError: if it is none.
    """
    content = read_text_proto(path, _batching_message())
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


# tensorflow-serving-api leaves session_bundle_config.proto out. In text format names count, and
# numbers do not.
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


def _batching_message():
    file = descriptor_pb2.FileDescriptorProto(
        name="mptrec_tf/batching_parameters.proto",
        package="mptrec_tf",
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    message = file.message_type.add(name="BatchingParameters")
    for kind, names in _WRAPPED.items():
        for name in names.split():
            message.field.add(
                name=name,
                number=len(message.field) + 1,
                type=descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE,
                label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
                type_name=f".google.protobuf.{kind}",
            )
    message.field.add(
        name="allowed_batch_sizes",
        number=len(message.field) + 1,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
        label=descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED,
    )
    message.field.add(
        name="pad_variable_length_inputs",
        number=len(message.field) + 1,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
        label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    wrappers = descriptor_pb2.FileDescriptorProto()
    wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
    pool.Add(wrappers)
    pool.Add(file)
    return _message_class(pool.FindMessageTypeByName("mptrec_tf.BatchingParameters"))()


def _message_class(descriptor):
    if hasattr(message_factory, "GetMessageClass"):  # protobuf 4.22 and newer
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(descriptor.file.pool).GetPrototype(descriptor)
