"""Compares a candidate with the model in production, except for the task that it adds.

Another release of mptrec-tf or TensorFlow may round in another way. If another one exported the
model in production, the candidate is compared bit for bit with what this one exports of its parts,
and that with the model in production up to rounding.
"""

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from components import model_artifact
from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.data.raw_examples import read_serialized_examples
from mptrec_tf.errors import InputError
from mptrec_tf.export.serving_model import BACKBONE_VARIABLES, save_model
from mptrec_tf.export.versions import CARD

_BATCH = 4096
# The largest difference of two releases' predictions: of 1, or of larger predictions themselves.
_ROUNDING = 1e-5


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What was compared, and what differs.

    Attributes:
      tasks: Tasks whose predictions must not change.
      rows: int. Rows that were compared.
      problems: Sentences; none if nothing differs.
      differing: Rows whose predictions differ: `task`, `row` (counted from 1), `base`, `candidate`,
        `difference`.
      counts: How many rows differ, by task.
      release: What exported the model in production, if it was not what exported the candidate;
        else empty.
    """

    tasks: Sequence[str]
    rows: int
    problems: Sequence[str]
    differing: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]
    release: str = ""


def compare(
    candidate: str, base: str, examples: str, split: str, *, max_rows: int = 10_000
) -> Comparison:
    """Compares two Model artifacts: backbones, tasks, and predictions on all rows of a split.

    Args:
      candidate: URI of the new model.
      base: URI of the model in production.
      examples: Directory of raw examples.
      split: Which of their splits.
      max_rows: At most so many differing rows of a task are listed; all are counted.
    """
    added, _ = model_artifact.read_lineage(candidate)
    old = _Predictions(model_artifact.serving_directory(base))
    tasks = [task for task in old.tasks if task != added]
    try:
        problems = _compare_backbones(candidate, base)
        new = _Predictions(model_artifact.serving_directory(candidate))
    except (OSError, ValueError, RuntimeError, KeyError, tf.errors.OpError) as error:
        reason = f"the candidate's SavedModel is damaged ({type(error).__name__}: {error})"
        return Comparison(tasks, 0, [reason], [], {})
    release = _read_release(base)
    if release == _read_release(candidate):
        release, exported = "", old
    else:
        exported = _export_again(base)
    missing = [task for task in tasks if task not in new.tasks]
    problems += [f"task {task!r} of the model in production is missing" for task in missing]
    present = [task for task in tasks if task not in missing]
    counts = dict.fromkeys(present, 0)
    differing: dict[str, list[dict[str, Any]]] = {task: [] for task in present}
    apart: dict[str, float] = {}
    first = 1
    for batch in read_serialized_examples(examples, split, _BATCH):
        mine, theirs = new(batch), exported(batch)
        if exported is not old:
            _measure(apart, old(batch), theirs)
        for task in present:
            a, b = (of[task].reshape(len(batch), -1) for of in (theirs, mine))
            if a.shape != b.shape:
                counts[task] += len(batch)
                continue
            differs = a.view(np.int32) != b.view(np.int32)
            rows = np.flatnonzero(differs.any(axis=1))
            counts[task] += len(rows)
            # Of a prediction of several numbers, the first one that differs.
            places = differs.argmax(axis=1)
            differing[task] += [
                {
                    "task": task,
                    "row": first + int(row),
                    "base": float(a[row, places[row]]),
                    "candidate": float(b[row, places[row]]),
                    "difference": float(b[row, places[row]]) - float(a[row, places[row]]),
                }
                for row in rows[: max_rows - len(differing[task])]
            ]
        first += len(batch)
    problems += [
        f"predictions of task {task!r} differ in {count} of {first - 1} rows"
        for task, count in counts.items()
        if count
    ]
    problems += [
        f"the model in production was exported by {release}; its parts, exported again, predict "
        f"task {task!r} up to {largest:.2g} differently, which is more than rounding"
        for task, largest in apart.items()
        if not largest <= _ROUNDING
    ]
    listed = [row for rows in differing.values() for row in rows]
    return Comparison(tasks, first - 1, problems, listed, counts, release)


def _read_release(uri: str) -> str:
    """Returns the software that exported a model, as its model card says."""
    path = os.path.join(model_artifact.serving_directory(uri), CARD)
    if not tf.io.gfile.exists(path):
        return "a release without model cards"
    with tf.io.gfile.GFile(path) as file:
        card = json.load(file)
    return f"mptrec-tf {card.get('mptrec_tf')} on TensorFlow {card.get('tensorflow')}"


def _export_again(uri: str) -> "_Predictions":
    """Returns the predictions of a model as this release exports its parts."""
    model = model_artifact.load(uri)
    with tempfile.TemporaryDirectory() as folder:
        save_model(model.backbone, model.packages, folder)
        return _Predictions(folder)


def _measure(
    apart: dict[str, float], a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]
) -> None:
    """Updates the largest differences of the tasks that two models predict."""
    for task in a.keys() & b.keys():
        differences = np.abs(a[task] - b[task]) / np.maximum(1.0, np.abs(a[task]))
        apart[task] = max(apart.get(task, 0.0), float(differences.max(initial=0.0)))


class _Predictions:
    """Predicts serialized examples; references the SavedModel, whose variables it needs."""

    def __init__(self, directory: str):
        self._model = tf.saved_model.load(directory)
        self._signature = self._model.signatures["serving_default"]
        self.tasks = tuple(sorted(self._signature.structured_outputs))  # their order is not stable

    def __call__(self, examples: tf.Tensor) -> Mapping[str, np.ndarray]:
        return {name: v.numpy() for name, v in self._signature(examples=examples).items()}


def _compare_backbones(candidate: str, base: str) -> list[str]:
    """Returns the differences of two models' backbones: fingerprints, and served copies.

    A fingerprint covers the backbone that stage 2 uses. The SavedModel holds a second copy, and
    one changed bit there need not change any prediction.
    """
    expected = load_backbone(model_artifact.backbone_directory(base)).fingerprint
    problems = []
    try:
        actual = load_backbone(model_artifact.backbone_directory(candidate)).fingerprint
        if actual != expected:
            problems.append(
                f"the candidate's backbone has fingerprint {actual}, that of the model in "
                f"production has {expected}"
            )
    except InputError as error:
        problems.append(str(error).rstrip("."))
    mine, theirs = _hash_served_backbone(candidate), _hash_served_backbone(base)
    problems += [
        f"the SavedModels' backbones differ in {name}"
        for name in sorted(mine.keys() | theirs.keys())
        if mine.get(name) != theirs.get(name)
    ]
    return problems


def _hash_served_backbone(uri: str) -> dict[str, str]:
    """Returns SHA-256 of the backbone's variables and vocabularies in a SavedModel, by name.

    Raises:
      InputError: if there are none.
    """
    directory = model_artifact.serving_directory(uri)
    checkpoint = tf.train.load_checkpoint(os.path.join(directory, "variables", "variables"))
    names = [n for n in checkpoint.get_variable_to_shape_map() if n.startswith(BACKBONE_VARIABLES)]
    if not names:
        raise InputError(
            f"the SavedModel in {directory} holds no variables of a backbone; export it again."
        )
    digests = {name: _digest(checkpoint.get_tensor(name).tobytes()) for name in names}
    assets = os.path.join(directory, "assets")
    for name in tf.io.gfile.listdir(assets) if tf.io.gfile.isdir(assets) else ():
        with tf.io.gfile.GFile(os.path.join(assets, name), "rb") as file:
            digests[f"assets/{name}"] = _digest(file.read())
    return digests


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
