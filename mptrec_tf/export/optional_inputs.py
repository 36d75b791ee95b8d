"""Default values of the inputs whose numbers may be missing: NaN, as SignatureDef's `defaults`.

They tell clients which inputs may hold NaN, and servers that know the field what an input is that a
request leaves out. They are written into the file, as the signature `spec_columns` is.
"""

import os
from collections.abc import Collection

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils

from mptrec_tf.data.input_names import SPEC_COLUMNS

# One value for all rows, as the signature `columns` takes it.
_MISSING = tf.make_tensor_proto([float("nan")], tf.float32)


def add_defaults(directory: str, inputs: Collection[str]) -> None:
    """Adds the defaults to a SavedModel's signatures of columns; changes nothing without inputs.

    Args:
      directory: The SavedModel.
      inputs: Inputs of the signature `columns` that may be missing.
    """
    if not inputs:
        return
    path = os.path.join(directory, "saved_model.pb")
    with tf.io.gfile.GFile(path, "rb") as file:
        model = saved_model_pb2.SavedModel.FromString(file.read())
    [graph] = model.meta_graphs
    tensors = {graph.signature_def["columns"].inputs[name].name for name in inputs}
    for signature in ("columns", SPEC_COLUMNS):
        if signature in graph.signature_def:
            of = graph.signature_def[signature]
            for name, info in of.inputs.items():
                if info.name in tensors:
                    of.defaults[name].CopyFrom(_MISSING)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))
    # The fingerprint holds a checksum of the changed file.
    fingerprinting_utils.write_fingerprint(directory)
