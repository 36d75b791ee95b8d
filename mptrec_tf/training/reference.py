"""Reference points of a new task: training from scratch, alone and jointly with the old tasks."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.labels import weights_of_task
from mptrec_tf.data.tasks.base import Task, drop_unlabelled
from mptrec_tf.data.tasks.slices import split_predictions
from mptrec_tf.data.training_data import TrainingData, check_has_labels, check_same_labels
from mptrec_tf.models.heads.base import Head
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.shapes import ModelShape, select_free_fields
from mptrec_tf.models.trainer import Trainer
from mptrec_tf.models.weights import count_parameters
from mptrec_tf.training.batches import Rows, evaluate_rows, load_rows, select_tasks
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.new_task import predict_heads
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.run_context import RunContext

SPLITS = ("validation", "test")
# Reference points of a new task's head, by the names of their columns.
REFERENCES = {"joint": "joint training", "single": "a model of its own"}
# A difference of fewer standard errors is noise, at a confidence of 95%.
_NOISE = 1.96


def make_single_config(
    shape: ModelShape, tasks: Sequence[str], training: TrainingConfig
) -> PretrainingConfig:
    """Returns the configuration of a separate network of the same widths for each task.

    Args:
      shape: The shape of another model.
      tasks: A task, after those that it is given; see `DatasetSpec.chain`.
      training: How long and how fast.
    """
    fields = {field.name for field in dataclasses.fields(MODELS.get("single").shape)}
    same = {k: v for k, v in select_free_fields(shape).items() if k in fields}
    return PretrainingConfig(tuple(tasks), "single", same, training=training)


def make_joint_config(
    model: MultiTaskModel, task: str, training: TrainingConfig
) -> PretrainingConfig:
    """Returns the configuration of joint training: the same model on the old tasks and the new."""
    tasks = (*model.shape.tasks, task)
    return PretrainingConfig(tasks, model.kind, select_free_fields(model.shape), training=training)


def compare(
    backbone: MultiTaskModel,
    data: TrainingData,
    task: str,
    head: Head,
    training: TrainingConfig,
    context: RunContext,
    old_tasks: Sequence[Task] = (),
) -> list[dict[str, Any]]:
    """Trains the reference points, and compares them with a new task's head.

    Args:
      backbone: The backbone.
      data: Labelled rows of the new task and of the old ones.
      task: Name of the new task.
      head: Its head.
      training: The configuration of the reference points' training.
      context: The directory of their runs' state, and whether to show progress.
      old_tasks: Optional. The old tasks as the backbone was trained on them: other data may have
        fitted them otherwise, see `Task.fit`. Defaults to those of `data`.

    Returns:
      A row for each task: `task`; its score on both `SPLITS` of the frozen model (`frozen_test`),
      of full joint training (`joint_test`), and of the new task alone (`single_test`); and the
      standard errors of the latter two's differences from the first (`joint_noise_test`).

    Raises:
      InputError: as `check_has_labels` and `pretrain` do.

    Example:
      Compares a head that `learn` chose, and prints a sentence for each reference point:

          backbone, config = load_backbone("BACKBONE"), TrainingConfig()
          context = RunContext("COMPARISON.training")
          rows = compare(backbone.model, data, "share", chosen.head, config, context)
          tasks = data.spec.select_tasks([row["task"] for row in rows])
          for sentence in describe_comparison(rows, tasks):
              print(sentence)
    """
    old = backbone.shape.tasks
    check_has_labels(old, data)
    check_same_labels(old_tasks, data)
    joint = make_joint_config(backbone, task, training)
    together, of_joint = pretrain(data, joint, context.child("joint", title="joint"))
    chain = data.spec.chain(task)
    single = make_single_config(backbone.shape, chain, training)
    alone, of_single = pretrain(data, single, context.child("single", title="alone"))
    rows_of: dict[str, dict[str, Any]] = {name: {"task": name} for name in (*old, task)}
    tasks = data.spec.select_tasks([*old, task])
    names = [*dict.fromkeys([*old, *chain])]
    for split in SPLITS:
        every = load_rows(data, split, names, context.row_memory)
        rows, own = (select_tasks(every, names, some) for some in ([*old, task], [task]))
        frozen, labels, weight = _predict_tasks(backbone, old_tasks or tasks[:-1], rows)
        completed = of_single.complete(data.spec.select_tasks(chain))
        of_chain, *_ = _predict_tasks(alone, completed, select_tasks(every, names, chain))
        predicted = {
            "frozen": frozen | predict_heads(backbone, tasks[-1], {task: head}, own)[0],
            "joint": _predict_tasks(together, of_joint.complete(tasks), rows)[0],
            "single": {task: of_chain[task]},
        }
        for i, (task_of_row, (name, row)) in enumerate(zip(tasks, rows_of.items(), strict=True)):
            by_model = {model: of[name] for model, of in predicted.items() if name in of}
            own_labels, own_weight, *values = drop_unlabelled(
                labels[:, i], weights_of_task(weight, i), *by_model.values()
            )
            by_model = dict(zip(by_model, values, strict=True))
            for model, values_of_model in by_model.items():
                score = task_of_row.score(own_labels, values_of_model, own_weight)
                row[f"{model}_{split}"] = score
            for model in by_model.keys() & REFERENCES.keys():
                _, row[f"{model}_noise_{split}"] = task_of_row.score_difference(
                    own_labels, by_model["frozen"], by_model[model], own_weight
                )
    rows_of[task]["parameters"] = count_parameters(head.trainable_weights)
    return list(rows_of.values())


def describe_comparison(compared: Sequence[Mapping[str, Any]], tasks: Sequence[Task]) -> list[str]:
    """Describes the results of `compare` on the test rows, a sentence per task and reference."""
    return [
        f"{row['task']}: {what} {_format_verdict(row, model, task)}"
        for row, task in zip(compared, tasks, strict=True)
        for model, what in REFERENCES.items()
        if f"{model}_test" in row
    ]


def _format_verdict(row: Mapping[str, Any], model: str, task: Task) -> str:
    gain, noise = row[f"{model}_test"] - row["frozen_test"], row[f"{model}_noise_test"]
    if math.isnan(gain):
        return f"cannot be judged: the test rows have {task.one_label}"
    error, what = f"standard error {noise:.4f}", f"test {task.score_name}"
    if not math.isfinite(noise) or abs(gain) < _NOISE * noise or gain == 0:
        return f"would make no difference beyond noise ({gain:+.4f} of {what}, {error})"
    return f"would be {'better' if gain > 0 else 'worse'} by {abs(gain):.4f} of {what} ({error})"


def _predict_tasks(
    model: MultiTaskModel, tasks: Sequence[Task], rows: Rows
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
    """Returns predictions by pre-trained task, and labels and weights as `evaluate_rows`.

    Predictions are [n], or [n, outputs] if they have several numbers.
    """
    report, labels, weight = evaluate_rows(Trainer(model, tasks), rows)
    predicted = split_predictions(tasks, report["prediction"])
    return {task.name: of for task, of in zip(tasks, predicted, strict=True)}, labels, weight


def score_backbone(model: MultiTaskModel, tasks: Sequence[Task], rows: Rows) -> dict[str, float]:
    """Returns the score of each pre-trained task, whose labels are the first of the rows'."""
    predicted, labels, weight = _predict_tasks(model, tasks, rows)
    return {
        task.name: task.score(
            *drop_unlabelled(labels[:, i], predicted[task.name], weights_of_task(weight, i))
        )
        for i, task in enumerate(tasks)
    }
