"""TensorFlow's session, as TF Serving's flags configure it."""

from tensorflow.core.protobuf import config_pb2

from mptrec_tf.errors import InputError
from mptrec_tf.serving.server.model_config import read_text_proto


def make_session_config(
    file: str | None = None, *, both: int = 0, intra_op: int = 0, inter_op: int = 0, gpu: float = 0
) -> config_pb2.ConfigProto:
    """Returns a session's configuration.

    Args:
      file: A tensorflow_session_config_file: a ConfigProto in text format.
      both: Threads within and between operations (tensorflow_session_parallelism); 0: automatic.
      intra_op: Threads within an operation, instead.
      inter_op: Threads between operations, instead.
      gpu: Share of the GPU's memory to take at once; 0: automatic.

    Raises:
      InputError: if the file is invalid, or all three numbers of threads are given.
    """
    config = config_pb2.ConfigProto()
    if file:
        read_text_proto(file, config)
    if both and intra_op and inter_op:
        raise InputError(
            "give --tensorflow_session_parallelism, or --tensorflow_intra_op_parallelism and "
            "--tensorflow_inter_op_parallelism."
        )
    if intra_op or inter_op:
        within, between = intra_op, inter_op
    else:
        within = between = both
    if within:
        config.intra_op_parallelism_threads = within
    if between:
        config.inter_op_parallelism_threads = between
    if gpu:
        config.gpu_options.per_process_gpu_memory_fraction = gpu
    return config
