"""The fingerprint of a preprocessing graph: a SHA-256 of its computation."""

import hashlib
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2

from mptrec_tf.errors import InputError


def fingerprint_transform(transform_dir: str) -> str:
    """Returns a SHA-256 of a preprocessing graph: its assets, its constants and its ops.

    The graph's file differs from run to run (names, order) even for the same rows. Its
    vocabularies (assets), statistics (numeric constants) and number of ops of each kind do not.

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
        lines = sorted(map(_describe, list_nodes(transform_dir)))
    except Exception as error:  # protobuf's own DecodeError differs between its versions
        raise InputError(f"cannot read the preprocessing graph in {root}: {error}.") from error
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def list_nodes(transform_dir: str) -> Iterator[node_def_pb2.NodeDef]:
    """Yields the operations of a preprocessing graph, as they are stored."""
    with tf.io.gfile.GFile(f"{transform_dir}/transform_fn/saved_model.pb", "rb") as file:
        graph = saved_model_pb2.SavedModel.FromString(file.read())
    for meta in graph.meta_graphs:
        yield from meta.graph_def.node
        for function in meta.graph_def.library.function:
            yield from function.node_def


def _describe(node) -> bytes:
    if node.op != "Const" or node.attr["value"].tensor.dtype == tf.string.as_datatype_enum:
        return f"{node.op}\n".encode()  # text constants hold the paths of temporary files
    value = tf.make_ndarray(node.attr["value"].tensor)
    return f"Const {value.shape} {value.dtype.str} ".encode() + value.tobytes() + b"\n"
