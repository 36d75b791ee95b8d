"""The signature `columns_with_id`: the same as `columns`, with an id of each row beside them.

Servers log requests, and labels that come later are joined with them by an id; but a server takes
no input that a signature does not have. So this signature has one more, `request_id`, which the
model does not read. It is written into the file, as `spec_columns` is: it costs nothing, and a
request to it has the same predictions. `tf.saved_model.load` does not show it.
"""

import os
from collections.abc import Collection

import tensorflow as tf
from tensorflow.core.framework import node_def_pb2, types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils

from mptrec_tf.data.input_names import COLUMNS_WITH_ID, REQUEST_ID

_NODE = "mptrec_request_id"


def add_request_ids(directory: str, inputs: Collection[str]) -> None:
    """Adds the signature to a SavedModel, unless `columns` has an input of that name itself.

    Args:
      directory: The SavedModel, with a complete signature `columns`.
      inputs: The inputs of `columns`.
    """
    if REQUEST_ID in inputs:
        return
    path = os.path.join(directory, "saved_model.pb")
    with tf.io.gfile.GFile(path, "rb") as file:
        model = saved_model_pb2.SavedModel.FromString(file.read())
    [graph] = model.meta_graphs
    node = node_def_pb2.NodeDef(name=_NODE, op="Placeholder")
    node.attr["dtype"].type = types_pb2.DT_STRING
    node.attr["shape"].shape.dim.add(size=-1)
    graph.graph_def.node.append(node)
    added = graph.signature_def[COLUMNS_WITH_ID]
    added.CopyFrom(graph.signature_def["columns"])
    info = added.inputs[REQUEST_ID]
    info.name, info.dtype = f"{_NODE}:0", types_pb2.DT_STRING
    info.tensor_shape.dim.add(size=-1)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))
    # The fingerprint holds a checksum of the changed file.
    fingerprinting_utils.write_fingerprint(directory)
