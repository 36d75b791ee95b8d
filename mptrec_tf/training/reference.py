"""What a new task is measured against: trained from scratch, alone and with the old tasks."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.training_data import TrainingData, check_labels_of
from mptrec_tf.evaluation.metrics import auc, auc_difference
from mptrec_tf.models import head_kinds
from mptrec_tf.models.backbone import Backbone, BackboneConfig
from mptrec_tf.models.mptrec import MPTRec, PretrainingConfig
from mptrec_tf.models.prompted import count
from mptrec_tf.training import loop
from mptrec_tf.training.batches import Rows, load_rows, reported
from mptrec_tf.training.new_task import predictions
from mptrec_tf.training.pretraining import pretrain

SPLITS = ("validation", "test")
# What a new task's head is measured against, by the names of its columns.
REFERENCES = {"joint": "joint training", "single": "a model of its own"}
# A difference of fewer standard errors is no more than noise, nineteen times in twenty.
_NOISE = 1.96


def single_task(shape: BackboneConfig, task: str) -> BackboneConfig:
    """The shape of one task's own network: embedding, one expert and a tower, no gate or prompt."""
    return dataclasses.replace(shape, tasks=(task,), fusion="share_only")


def joint(shape: BackboneConfig, task: str) -> BackboneConfig:
    """The shape of a backbone that is pre-trained on the old tasks and the new one."""
    return dataclasses.replace(shape, tasks=(*shape.tasks, task))


def train_single(
    shape: BackboneConfig,
    data: TrainingData,
    task: str,
    training: loop.TrainingConfig,
    directory: str,
    **options,
) -> tuple[Backbone, loop.Training]:
    """Trains a task alone from scratch; see `pretrain` for the options."""
    losses = PretrainingConfig(gen_weight=0.0, adversarial_weight=0.0)
    shape = single_task(shape, task)
    return pretrain(data, shape, losses, training, directory=directory, **options)


def compare(
    backbone: Backbone,
    data: TrainingData,
    task: str,
    head: head_kinds.AnyHead,
    training: loop.TrainingConfig,
    *,
    directory: str,
    show_progress: bool = True,
) -> list[dict[str, Any]]:
    """Trains the reference points, and compares them with a new task's head.

    Args:
      backbone: The backbone.
      data: Labelled rows of the new task and of the old ones.
      task: Name of the new task.
      head: Its head.
      training: How the reference points are trained.
      directory: Where the state of their runs is kept.
      show_progress: Whether to say how far they are.

    Returns:
      A row for each task: `task`; AUC on both `SPLITS` of the frozen model (`mptrec`), of full
      joint training (`joint`), and of the new task alone (`single`), as `mptrec_test`; and the
      standard errors of the latter two's differences to the first, as `joint_noise_test`.

    Raises:
      InputError: as `check_labels_of` and `pretrain` do.
    """
    check_labels_of(backbone.config.tasks, data)
    old = backbone.config.tasks
    together, _ = pretrain(
        data,
        joint(backbone.config, task),
        PretrainingConfig(),
        training,
        directory=os.path.join(directory, "joint"),
        title="joint",
        show_progress=show_progress,
    )
    alone, _ = train_single(
        backbone.config,
        data,
        task,
        training,
        os.path.join(directory, "single"),
        title="alone",
        show_progress=show_progress,
    )
    found: dict[str, dict[str, Any]] = {name: {"task": name} for name in (*old, task)}
    for split in SPLITS:
        rows, own = load_rows(data, split, [*old, task]), load_rows(data, split, [task])
        frozen, labels, weight = _backbone_predictions(backbone, rows)
        said = {
            "mptrec": frozen | predictions(backbone, {task: head}, own)[0],
            "joint": _backbone_predictions(together, rows)[0],
            "single": _backbone_predictions(alone, own)[0],
        }
        for i, (name, row) in enumerate(found.items()):
            for model, answers in said.items():
                if name in answers:
                    row[f"{model}_{split}"] = auc(labels[:, i], answers[name], weight)
            for model in REFERENCES:
                if name in said[model]:
                    row[f"{model}_noise_{split}"] = _noise(
                        labels[:, i], said["mptrec"][name], said[model][name], weight
                    )
    found[task]["parameters"] = count(head.trainable_weights)
    return list(found.values())


def _noise(
    labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray, weight: np.ndarray | None
) -> float:
    """The standard error of the difference of two AUCs on the same rows; NaN for one class."""
    counted = slice(None) if weight is None else weight > 0
    if len(np.unique(labels[counted])) < 2:
        return math.nan
    return auc_difference(labels[counted], ours[counted], theirs[counted])[1]


def in_words(compared: Sequence[Mapping[str, Any]]) -> list[str]:
    """What `compare` found on the test rows, a sentence for each task and reference point."""
    return [
        f"{row['task']}: {what} {_verdict(row, model)}"
        for row in compared
        for model, what in REFERENCES.items()
        if f"{model}_test" in row
    ]


def _verdict(row: Mapping[str, Any], model: str) -> str:
    gain, noise = row[f"{model}_test"] - row["mptrec_test"], row[f"{model}_noise_test"]
    if math.isnan(gain):
        return "cannot be judged: the test rows have one class only"
    error = f"standard error {noise:.4f}"
    if not math.isfinite(noise) or abs(gain) < _NOISE * noise or gain == 0:
        return f"would make no difference beyond noise ({gain:+.4f} of test AUC, {error})"
    return f"would be {'better' if gain > 0 else 'worse'} by {abs(gain):.4f} of test AUC ({error})"


def _backbone_predictions(
    backbone: Backbone, rows: Rows
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
    """Probabilities [n] by pre-trained task, labels [n, T] and, if there are any, weights [n]."""
    model = MPTRec(backbone, PretrainingConfig(assignment="online"), training_steps=1)
    report, labels, weight = reported(model, rows)
    probabilities = report["probability"]
    return {t: probabilities[:, i] for i, t in enumerate(backbone.config.tasks)}, labels, weight


def backbone_aucs(backbone: Backbone, rows: Rows) -> dict[str, float]:
    """Returns the AUC of each pre-trained task, whose labels are the first of the rows' labels."""
    said, labels, weight = _backbone_predictions(backbone, rows)
    return {task: auc(labels[:, i], said[task], weight) for i, task in enumerate(said)}
