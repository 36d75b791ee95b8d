"""Asks a SavedModel through every signature, with nothing but TensorFlow: run in a fresh process.

    python call_signatures.py <examples.tfrecord> <columns.npz> <answers.npz> <SavedModel>

The raw columns [n] stand under the names that the signature `columns` takes; the answers under
`<signature>/<batch>/<output>`, for the whole batch and for the first row alone.
"""

import sys

import numpy as np
import tensorflow as tf


def main(examples_file: str, columns_file: str, answers_file: str, directory: str) -> None:
    """Loads the model, asks, and writes the answers."""
    examples = list(tf.data.TFRecordDataset(examples_file).as_numpy_iterator())
    with np.load(columns_file, allow_pickle=False) as stored:
        columns = dict(stored)
    model = tf.saved_model.load(directory)
    answers = {}
    for batch, rows in (("all", slice(None)), ("one", slice(1))):
        asked = {
            "serving_default": {"examples": tf.constant(examples[rows])},
            "columns": {k: tf.constant(v[rows]) for k, v in columns.items()},
            "encode": {"examples": tf.constant(examples[rows])},
        }
        for signature, inputs in asked.items():
            for name, value in model.signatures[signature](**inputs).items():
                answers[f"{signature}/{batch}/{name}"] = value.numpy()
    np.savez(answers_file, **answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
