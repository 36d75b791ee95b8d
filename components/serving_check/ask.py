"""Asks a SavedModel through every signature, with nothing but TensorFlow: run in a fresh process.

    python ask.py <request.npz> <answers.npz> <SavedModel>

The request holds `examples` [n] and the raw columns [n] as `column/<input name>`; the answers are
`<signature>/<batch>/<output>`, for the whole batch and for the first row alone.
"""

import sys

import numpy as np
import tensorflow as tf


def main(request_file: str, answers_file: str, directory: str) -> None:
    """Loads the model, asks, and writes the answers."""
    with np.load(request_file, allow_pickle=False) as stored:
        request = dict(stored)
    prefix = "column/"
    columns = {k.removeprefix(prefix): v for k, v in request.items() if k.startswith(prefix)}
    model = tf.saved_model.load(directory)
    answers = {}
    for batch, rows in (("all", slice(None)), ("one", slice(1))):
        asked = {
            "serving_default": {"examples": tf.constant(request["examples"][rows])},
            "columns": {k: tf.constant(v[rows]) for k, v in columns.items()},
            "encode": {"examples": tf.constant(request["examples"][rows])},
        }
        for signature, inputs in asked.items():
            for name, value in model.signatures[signature](**inputs).items():
                answers[f"{signature}/{batch}/{name}"] = value.numpy()
    np.savez(answers_file, **answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
