"""The fingerprint of a preprocessing graph: SHA-256 over what it computes."""

import hashlib

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from mptrec_tf.errors import InputError


def fingerprint_transform(transform_dir: str) -> str:
    """SHA-256 over what a preprocessing graph computes: its assets, its constants, its ops.

    The file of the graph itself differs from run to run (names, order), even where the same rows
    made it. Its vocabularies (assets), statistics (numeric constants) and number of ops of each
    kind do not.

    Raises:
      InputError: if the graph cannot be read.
    """
    root = f"{transform_dir}/transform_fn"
    digest = hashlib.sha256()
    try:
        try:
            for name in sorted(tf.io.gfile.listdir(f"{root}/assets")):
                with tf.io.gfile.GFile(f"{root}/assets/{name}", "rb") as file:
                    digest.update(f"{name}\n".encode() + hashlib.sha256(file.read()).digest())
        except tf.errors.NotFoundError:
            digest.update(b"no assets\n")  # every categorical feature is hashed
        with tf.io.gfile.GFile(f"{root}/saved_model.pb", "rb") as file:
            graph = saved_model_pb2.SavedModel.FromString(file.read())
        lines = sorted(_describe(node) for node in _nodes(graph))
    except Exception as error:  # protobuf's own DecodeError differs between its versions
        raise InputError(f"cannot read the preprocessing graph in {root}: {error}.") from error
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def _nodes(graph: saved_model_pb2.SavedModel):
    for meta in graph.meta_graphs:
        yield from meta.graph_def.node
        for function in meta.graph_def.library.function:
            yield from function.node_def


def _describe(node) -> bytes:
    if node.op != "Const" or node.attr["value"].tensor.dtype == tf.string.as_datatype_enum:
        return f"{node.op}\n".encode()  # text constants hold the paths of temporary files
    value = tf.make_ndarray(node.attr["value"].tensor)
    return f"Const {value.shape} {value.dtype.str} ".encode() + value.tobytes() + b"\n"
