"""The fingerprint that names a backbone: SHA-256 over its weights and its preprocessing graph."""

import hashlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from mptrec_tf.errors import InputError


def weights_fingerprint(weights: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of weights, as hexadecimal text."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.shape} {value.dtype.str}\n".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def transform_fingerprint(transform_dir: str) -> str:
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


def backbone_fingerprint(
    weights: Mapping[str, np.ndarray], transform_dir: str, *descriptions: str
) -> str:
    """SHA-256 over a backbone's weights, the preprocessing graph that feeds it, and its shape.

    Args:
      weights: By name.
      transform_dir: Directory of the preprocessing graph.
      *descriptions: JSON of what says how the weights are used: configuration and features.
    """
    parts = [weights_fingerprint(weights), transform_fingerprint(transform_dir), *descriptions]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
