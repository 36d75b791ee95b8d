"""The names of a prediction's numbers in the signatures of a SavedModel, such as classes.

A signature describes each output by its type and shape, and a dimension of a shape may have a name
(`TensorShapeProto.Dim.name`), which TensorFlow ignores and servers return with the model's
metadata. The second dimension of a prediction [B, K] is named by the JSON list of its K names.
"""

import json
import os
from collections.abc import Mapping, Sequence

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.saved_model import fingerprinting_utils


def add_output_names(directory: str, names: Mapping[str, Sequence[str]]) -> None:
    """Writes the names into a SavedModel.

    Args:
      directory: The SavedModel.
      names: By output; the file stays as it is if there are none.
    """
    if not names:
        return
    path = os.path.join(directory, "saved_model.pb")
    with tf.io.gfile.GFile(path, "rb") as file:
        model = saved_model_pb2.SavedModel.FromString(file.read())
    [graph] = model.meta_graphs
    for signature in graph.signature_def.values():
        for output, of_output in names.items():
            if output in signature.outputs:
                dims = signature.outputs[output].tensor_shape.dim
                dims[1].name = json.dumps(list(of_output), ensure_ascii=False)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(model.SerializeToString(deterministic=True))
    # The fingerprint holds a checksum of the changed file.
    fingerprinting_utils.write_fingerprint(directory)
