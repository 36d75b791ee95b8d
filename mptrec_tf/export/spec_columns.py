"""The signature `spec_columns`: the same as `columns`, with the spec's own names.

TensorFlow names a signature's inputs after the arguments of a function, which cannot be named
"capital-gain". A server takes inputs by the keys of the signature, which may be any text. So this
signature is written into the file: it refers to the same tensors, costs nothing, and gives clients
the spec's name of each input. `tf.saved_model.load` does not show it.
"""

import os
from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils

from mptrec_tf.data.input_names import LISTS, SPEC_COLUMNS


def add_spec_columns(directory: str, inputs: Mapping[str, str]) -> None:
    """Adds the signature to a SavedModel, unless all names are the same.

    Args:
      directory: The SavedModel, with a signature `columns`.
      inputs: Input of `columns` by column of the spec.
    """
    if all(column == name for column, name in inputs.items()):
        return
    model = _read(directory)
    [graph] = model.meta_graphs
    columns = graph.signature_def["columns"]
    added = graph.signature_def[SPEC_COLUMNS]
    added.CopyFrom(columns)
    added.ClearField("inputs")
    for column, name in inputs.items():
        added.inputs[column].CopyFrom(columns.inputs[name])
    _write(directory, model)


def mark_lists(directory: str, inputs: Sequence[str]) -> None:
    """Names the rows of inputs of `columns` that take lists, so that clients can tell them.

    A signature has a type and a shape for each input, and the dimensions of a shape may have names,
    which servers pass on. Clients send lists to such inputs alone (see `list_values`).

    Args:
      directory: The SavedModel, with a signature `columns`.
      inputs: Names of inputs.
    """
    if not inputs:
        return
    model = _read(directory)
    [graph] = model.meta_graphs
    for name in inputs:
        graph.signature_def["columns"].inputs[name].tensor_shape.dim[0].name = LISTS
    _write(directory, model)


def _read(directory: str) -> saved_model_pb2.SavedModel:
    with tf.io.gfile.GFile(os.path.join(directory, "saved_model.pb"), "rb") as file:
        return saved_model_pb2.SavedModel.FromString(file.read())


def _write(directory: str, model: saved_model_pb2.SavedModel) -> None:
    path = os.path.join(directory, "saved_model.pb")
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))
    # The fingerprint holds a checksum of the changed file.
    fingerprinting_utils.write_fingerprint(directory)
