"""The signature `spec_columns`: the same as `columns`, with the spec's own names.

TensorFlow names a signature's inputs after the arguments of a function, which cannot be named
"capital-gain". A server takes inputs by the keys of the signature, which may be any text. So this
signature is written into the file: it refers to the same tensors, costs nothing, and gives clients
the spec's name of each input. `tf.saved_model.load` does not show it.
"""

import os
from collections.abc import Mapping

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils

from mptrec_tf.data.input_names import SPEC_COLUMNS


def add_spec_columns(directory: str, inputs: Mapping[str, str]) -> None:
    """Adds the signature to a SavedModel, unless all names are the same.

    Args:
      directory: The SavedModel, with a signature `columns`.
      inputs: Input of `columns` by column of the spec.
    """
    if all(column == name for column, name in inputs.items()):
        return
    path = os.path.join(directory, "saved_model.pb")
    with tf.io.gfile.GFile(path, "rb") as file:
        model = saved_model_pb2.SavedModel.FromString(file.read())
    [graph] = model.meta_graphs
    columns = graph.signature_def["columns"]
    added = graph.signature_def[SPEC_COLUMNS]
    added.CopyFrom(columns)
    added.ClearField("inputs")
    for column, name in inputs.items():
        added.inputs[column].CopyFrom(columns.inputs[name])
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))
    # The fingerprint holds a checksum of the changed file.
    fingerprinting_utils.write_fingerprint(directory)
