"""Compares the predictions of a served model with those of the trainer's own model."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from components import model_artifact
from components.serving_check import call_signatures
from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import CARD
from mptrec_tf.storage.arrays import save_arrays
from mptrec_tf.storage.plain import from_plain

# The same weights through another graph: a few units in the last place of a float32, relative to
# predictions beyond 1, and to their range: a large number may come of the difference of two.
TOLERANCE = 1e-6
_TIMEOUT = 600  # seconds


def check(uri: str) -> list[str]:
    """Returns problems of a model that is loaded from its file, a sentence each.

    Args:
      uri: A Model artifact, whose `Expected` rows are predicted.
    """
    try:
        examples, expected = model_artifact.read_expected(uri)
    except InputError as error:
        return [str(error)]
    directory = model_artifact.serving_directory(uri)
    with tempfile.TemporaryDirectory() as scratch:
        request, outputs = f"{scratch}/request.npz", f"{scratch}/outputs.npz"
        rows = f"{scratch}/examples.tfrecord"
        try:
            save_arrays(request, _read_columns(directory, examples))
        except (KeyError, TypeError, ValueError, tf.errors.OpError) as error:
            return [f"the model's {CARD} cannot be read ({error})"]
        with tf.io.TFRecordWriter(rows) as writer:
            for example in examples:
                writer.write(example)
        try:
            done = subprocess.run(
                # -I: nothing of this project is on its path.
                [sys.executable, "-I", call_signatures.__file__, rows, request, outputs, directory],
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
                check=False,
            )
        except subprocess.TimeoutExpired:
            return [f"the model did not respond within {_TIMEOUT} seconds"]
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
            return [f"the model cannot be loaded or called in a process of its own: {last}"]
        with np.load(outputs, allow_pickle=False) as stored:
            return _compare_outputs(dict(stored), expected)


def _read_columns(directory: str, examples: list[bytes]) -> dict[str, np.ndarray]:
    """Returns the raw columns [n] of serialized examples, by input of the signature `columns`."""
    with tf.io.gfile.GFile(os.path.join(directory, CARD)) as file:
        card = json.load(file)
    spec = from_plain(DatasetSpec, card["spec"])
    columns = tf.io.parse_example(examples, raw_feature_spec(spec))
    arrays = {
        card["inputs"][name]: spec.raw_columns[name].make_request(column)
        for name, column in columns.items()
    }
    return {k: v.astype(np.bytes_) if v.dtype == object else v for k, v in arrays.items()}


def _compare_outputs(
    outputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> list[str]:
    """Returns problems of the outputs of a model, a sentence each.

    Args:
      outputs: As `call_signatures` wrote them.
      expected: The trainer's predictions by task: [n], or [n, outputs] of several numbers.
    """
    problems = []
    for signature in ("serving_default", "columns"):
        for batch, rows in (("all", slice(None)), ("one", slice(1))):
            for task, predictions in expected.items():
                wanted = predictions[rows]
                size = np.maximum(np.abs(wanted), max(1.0, np.ptp(predictions)))
                actual = outputs.get(f"{signature}/{batch}/{task}")
                where = f"signature {signature}, task {task!r}, {len(wanted)} rows"
                if actual is None:
                    problems.append(f"{where}: there is no prediction")
                elif actual.shape != wanted.shape:
                    problems.append(f"{where}: shape {actual.shape}, expected {wanted.shape}")
                elif not (np.abs(actual - wanted) <= TOLERANCE * size).all():
                    worst = np.abs(actual - wanted).max()
                    problems.append(f"{where}: off from the trainer's predictions by {worst:.2g}")
    return problems + _check_representations(outputs, len(next(iter(expected.values()))))


def _check_representations(outputs: Mapping[str, np.ndarray], rows: int) -> list[str]:
    """Returns problems of the outputs of the signature `encode`, whose names the model chooses."""
    problems = []
    for batch, count in (("all", rows), ("one", 1)):
        prefix = f"encode/{batch}/"
        values_by_name = {
            k.removeprefix(prefix): v for k, v in outputs.items() if k.startswith(prefix)
        }
        if not values_by_name:
            problems.append(f"signature encode, {count} rows: it has no outputs")
        for name, values in values_by_name.items():
            where = f"signature encode, output {name!r}, {count} rows"
            if values.shape[:1] != (count,):
                problems.append(f"{where}: shape {values.shape}, expected one row per example")
            elif not np.isfinite(values).all():
                problems.append(f"{where}: some values are not finite")
    return problems
