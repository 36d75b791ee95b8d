"""Calls every signature of a SavedModel with nothing but TensorFlow: run in a fresh process.

    python call_signatures.py <examples.tfrecord> <columns.npz> <outputs.npz> <SavedModel>

Raw columns [n] have the names of the inputs of the signature `columns`. Outputs are written as
`<signature>/<batch>/<output>`, with the signature's own names of outputs, for the whole batch and
for the first row alone.
"""

import sys

import numpy as np
import tensorflow as tf


def main(examples_file: str, columns_file: str, outputs_file: str, directory: str) -> None:
    """Loads the model, calls it, and writes the outputs."""
    examples = list(tf.data.TFRecordDataset(examples_file).as_numpy_iterator())
    with np.load(columns_file, allow_pickle=False) as stored:
        columns = dict(stored)
    model = tf.saved_model.load(directory)
    outputs = {}
    for batch, rows in (("all", slice(None)), ("one", slice(1))):
        calls = {
            "serving_default": {"examples": tf.constant(examples[rows])},
            "columns": {k: tf.constant(v[rows]) for k, v in columns.items()},
            "encode": {"examples": tf.constant(examples[rows])},
        }
        for signature, inputs in calls.items():
            for name, value in model.signatures[signature](**inputs).items():
                outputs[f"{signature}/{batch}/{name}"] = value.numpy()
    np.savez(outputs_file, **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
