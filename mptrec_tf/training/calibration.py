"""Calibration: fits a trained model's predictions to the validation rows.

A model that was trained on other odds than those of all rows is corrected first, see
`Task.logit_correction`; then scale and shift of each task's logit are fitted, and at last the
monotone map of tasks that ask for one (`Task.calibrate`). The first two become a part of the
weights, the map a part of the task.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mptrec_tf.data.labels import weights_of_task
from mptrec_tf.data.tasks.base import ISOTONIC, NONE, Task, drop_unlabelled
from mptrec_tf.data.tasks.slices import split_predictions, spread_over_logits
from mptrec_tf.models.entire_space import order_by_given
from mptrec_tf.models.heads.base import Head
from mptrec_tf.models.trainer import TrainedModel, Trainer
from mptrec_tf.training.batches import Rows, evaluate_rows

# Scale and shift that leave a logit unchanged, bit for bit.
UNCHANGED = (1.0, 0.0)


def calibrate_model(
    trainer: Trainer, rows: Rows, tasks: Sequence[Task]
) -> tuple[dict[str, tuple[float, float]], dict[str, tuple]]:
    """Calibrates a pre-trained model's tasks, a task after the one that it is given.

    Args:
      trainer: The trained model, corrected. Its weights are changed.
      rows: The validation rows.
      tasks: The model's tasks in their order.

    Returns:
      Scale and shift by calibrated task, and knots by task that has some.
    """
    scales, knots, completed = {}, {}, list(tasks)
    model = trainer.backbone
    for places in order_by_given(tasks):
        if knots:  # which are no part of the model
            trainer = Trainer(model, completed)
        fitted = fit_calibration(trainer, rows, tasks, places)
        model.rescale(*list_rescaling(tasks, fitted))
        scales |= {task.name: of for task, of in zip(tasks, fitted, strict=True) if of}
        for i, of in enumerate(fit_knots(trainer, rows, tasks, places)):
            if of:
                knots[tasks[i].name] = of
                completed[i] = dataclasses.replace(tasks[i], knots=of)
    return scales, knots


def fit_calibration(
    model: TrainedModel, rows: Rows, tasks: Sequence[Task], places: Sequence[int] | None = None
) -> list[tuple[float, float] | None]:
    """Returns scale and shift of each task's logits; None if it is not calibrated.

    Of a task with several logits, either may be a list of a number for each.

    Args:
      model: The trained model, corrected.
      rows: The validation rows.
      tasks: The tasks in the order of the model's report and of the labels.
      places: The places of the tasks to calibrate. Defaults to all.
    """
    selected = [task.calibrate != NONE for task in tasks]
    return _fit(model, rows, tasks, "calibration", _limit(selected, places))


def fit_knots(
    model: TrainedModel, rows: Rows, tasks: Sequence[Task], places: Sequence[int] | None = None
) -> list[tuple]:
    """Returns the knots of each task's map, see `Task.knots`; empty if it has none.

    Args:
      model: The trained model, scaled and shifted.
      rows: The validation rows.
      tasks: The tasks in the order of the model's report and of the labels.
      places: The places of the tasks to fit. Defaults to all.
    """
    selected = _limit([task.calibrate == ISOTONIC for task in tasks], places)
    return [knots or () for knots in _fit(model, rows, tasks, "fit_knots", selected)]


def _limit(selected: Sequence[bool], places: Sequence[int] | None) -> list[bool]:
    return [of and (places is None or i in places) for i, of in enumerate(selected)]


def _fit(
    model: TrainedModel, rows: Rows, tasks: Sequence[Task], method: str, selected: Sequence[bool]
) -> list:
    """Calls a method of the selected tasks with predictions, labels and weights; else None.

    A task that is given another one takes its conditional predictions, and those of the other.
    """
    if not any(selected):
        return [None] * len(tasks)
    report, labels, weight = evaluate_rows(model, rows)
    predictions = split_predictions(tasks, report["prediction"])
    fitted = []
    for i, (task, is_selected) in enumerate(zip(tasks, selected, strict=True)):
        factors = [predictions[i]]
        if task.given:
            factors = [report["conditional"][:, i], report["given"][:, i]]
        of_task, weights, of_rows, *given = drop_unlabelled(
            labels[:, i], weights_of_task(weight, i), *factors
        )
        fit = getattr(task, method)
        fitted.append(fit(of_rows, of_task, weights, *given) if is_selected else None)
    return fitted


def list_rescaling(
    tasks: Sequence[Task], fitted: Sequence[tuple[float, float] | None]
) -> tuple[list[float], list[float]]:
    """Returns scale and shift of all logits of some tasks, for `MultiTaskModel.rescale`.

    Args:
      tasks: The tasks in the order of the model's.
      fitted: What `fit_calibration` returned.
    """
    scales, shifts = [], []
    for task, of in zip(tasks, fitted, strict=True):
        scale, shift = of or UNCHANGED
        scales += spread_over_logits(task, scale)
        shifts += spread_over_logits(task, shift)
    return scales, shifts


def rescale_head(head: Head, fitted: tuple[float, float]) -> None:
    """Rescales the logits of a task's head by what `fit_calibration` returned for the task."""
    if head.logits > 1:
        fitted = [np.broadcast_to(np.float32(by), head.logits) for by in fitted]
    head.rescale(*fitted)
