"""Losses and predictions of tasks from their logits, computed together for each kind of task."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.tasks.slices import make_slices
from mptrec_tf.models.entire_space import has_given, total_logits, total_predictions
from mptrec_tf.models.monotone_maps import apply_knots

_NO_TASKS: Mapping[str, tf.Tensor] = {}


def task_losses(
    tasks: Sequence[Task],
    logits: tf.Tensor,
    labels: tf.Tensor,
    known: Mapping[str, tf.Tensor] = _NO_TASKS,
) -> tf.Tensor:
    """Returns the loss of each task on each sample, [K, B].

    Args:
      tasks: K tasks, of one kind or of several.
      logits: [L, B], the tasks' logits in their order; L = K if each has one.
      labels: [B, K]. Where a row has no label (NaN), its loss is finite and means nothing: see
        `task_weights`.
      known: Predictions [B] of other tasks that tasks are given, by name; see `entire_space`.
    """
    if has_given(tasks):
        rows = total_logits(tasks, _split_rows(logits, [task.logits for task in tasks]), known)
        logits = _join_rows(rows)
    if any(task.is_partial for task in tasks):
        labels = tf.where(tf.math.is_nan(labels), 0.0, labels)
    groups = _group_by_kind(tasks)
    if len(groups) == 1:
        return type(tasks[0]).losses(tasks, logits, labels)
    sizes = [task.logits for task in tasks]
    parts = [
        kind.losses(
            [tasks[i] for i in places],
            tf.gather(logits, _list_rows(places, sizes)),
            tf.gather(labels, places, axis=1),
        )
        for kind, places in groups.items()
    ]
    return _restore_order(parts, groups.values())


def task_weights(
    tasks: Sequence[Task],
    labels: tf.Tensor,
    weight: tf.Tensor | None,
    weights: tf.Tensor | None = None,
) -> tf.Tensor | None:
    """Returns how much each sample counts: `weight`, or [K, B] if that differs from task to task.

    Args:
      tasks: K tasks.
      labels: [B, K]; NaN in rows without a label, which count 0.
      weight: Optional [B]. The samples' weights.
      weights: Optional [B, K]. The samples' weights by task, instead of `weight`.
    """
    if weights is not None:
        weight = tf.transpose(weights)
    if not any(task.is_partial for task in tasks):
        return weight
    has_label = tf.transpose(tf.cast(~tf.math.is_nan(labels), tf.float32))
    return has_label if weight is None else has_label * weight


def task_predictions(
    tasks: Sequence[Task], logits: tf.Tensor, known: Mapping[str, tf.Tensor] = _NO_TASKS
) -> tf.Tensor:
    """Returns the tasks' predictions [O, B] in their order, calibrated (see `Task.knots`).

    O = K if each prediction has one number.

    Args:
      tasks: K tasks, of one kind or of several.
      logits: [L, B], the tasks' logits in their order; L = K if each has one.
      known: Predictions [B] of other tasks that tasks are given, by name; see `entire_space`.
    """
    return multiply_predictions(tasks, conditional_predictions(tasks, logits), known)


def multiply_predictions(
    tasks: Sequence[Task], conditional: tf.Tensor, known: Mapping[str, tf.Tensor] = _NO_TASKS
) -> tf.Tensor:
    """Returns the predictions [O, B] of tasks, of what `conditional_predictions` returned.

    A product has the same bits in every batch.
    """
    if not has_given(tasks):
        return conditional
    rows = _split_rows(conditional, [task.outputs for task in tasks])
    return _join_rows(total_predictions(tasks, rows, known))


def list_factors(
    tasks: Sequence[Task], conditional: tf.Tensor, known: Mapping[str, tf.Tensor] = _NO_TASKS
) -> dict[str, tf.Tensor]:
    """Returns the factors of the predictions of tasks that are given another one, for reports.

    Args:
      tasks: K tasks.
      conditional: What `conditional_predictions` returned.
      known: Predictions [B] of other tasks that tasks are given, by name.

    Returns:
      `given` and `conditional` [B, K], NaN for the other tasks; nothing if there are only such.
    """
    if not has_given(tasks):
        return {}
    own = _split_rows(conditional, [task.outputs for task in tasks])
    totals = total_predictions(tasks, own, known)
    by_name = {**known, **{task.name: row for task, row in zip(tasks, totals, strict=True)}}
    none = tf.fill(tf.shape(conditional)[1:], np.float32("nan"))
    given = [by_name[task.given] if task.given else none for task in tasks]
    of_given = [row if task.given else none for task, row in zip(tasks, own, strict=True)]
    return {"given": tf.stack(given, axis=1), "conditional": tf.stack(of_given, axis=1)}


def conditional_predictions(tasks: Sequence[Task], logits: tf.Tensor) -> tf.Tensor:
    """Returns the predictions [O, B] of tasks, those with a `given` on condition of it."""
    return apply_knots(tasks, _predict(tasks, logits))


def _split_rows(values: tf.Tensor, sizes: Sequence[int]) -> list[tf.Tensor]:
    """Returns the rows of each task: [B], or [n, B] of several."""
    parts = tf.split(values, sizes)
    return [part[0] if size == 1 else part for part, size in zip(parts, sizes, strict=True)]


def _join_rows(rows: Sequence[tf.Tensor]) -> tf.Tensor:
    return tf.concat([row if row.shape.rank == 2 else row[tf.newaxis] for row in rows], axis=0)


def _predict(tasks: Sequence[Task], logits: tf.Tensor) -> tf.Tensor:
    groups = _group_by_kind(tasks)
    if len(groups) == 1:
        return type(tasks[0]).predictions(tasks, logits)
    sizes = [task.logits for task in tasks]
    parts = [
        kind.predictions([tasks[i] for i in places], tf.gather(logits, _list_rows(places, sizes)))
        for kind, places in groups.items()
    ]
    outputs = [task.outputs for task in tasks]
    return _restore_order(parts, [_list_rows(places, outputs) for places in groups.values()])


def unstack_predictions(tasks: Sequence[Task], predictions: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the prediction of each task by name: [B], or [B, outputs] if it has several numbers.

    Args:
      tasks: The tasks.
      predictions: [O, B]. What `task_predictions` returned.
    """
    sizes = [task.outputs for task in tasks]
    if set(sizes) == {1}:
        rows = tf.unstack(predictions, num=len(tasks))
    else:
        parts = tf.split(predictions, sizes)
        rows = [
            part[0] if size == 1 else tf.transpose(part)
            for part, size in zip(parts, sizes, strict=True)
        ]
    return dict(zip((task.name for task in tasks), rows, strict=True))


def _list_rows(places: Sequence[int], sizes: Sequence[int]) -> list[int]:
    """Returns the rows of the tasks at some places, where each task has `sizes` rows."""
    slices = make_slices(sizes)
    return [row for i in places for row in range(slices[i].start, slices[i].stop)]


def _group_by_kind(tasks: Sequence[Task]) -> dict[type[Task], list[int]]:
    """Returns the positions of the tasks of each kind."""
    groups: dict[type[Task], list[int]] = {}
    for place, task in enumerate(tasks):
        groups.setdefault(type(task), []).append(place)
    return groups


def _restore_order(parts: Sequence[tf.Tensor], places: Sequence[list[int]]) -> tf.Tensor:
    """Concatenates parts and restores the order of the tasks."""
    order = [place for part in places for place in part]
    return tf.gather(tf.concat(parts, axis=0), [order.index(i) for i in range(len(order))])
