"""Losses and predictions of tasks from their logits, computed together for each kind of task."""

from collections.abc import Sequence

import tensorflow as tf

from mptrec_tf.data.tasks.base import Task


def task_losses(tasks: Sequence[Task], logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns the loss of each task on each sample, [K, B].

    Args:
      tasks: K tasks, of one kind or of several.
      logits: [K, B].
      labels: [B, K]. Where a row has no label (NaN), its loss is finite and means nothing: see
        `task_weights`.
    """
    if any(task.is_partial for task in tasks):
        labels = tf.where(tf.math.is_nan(labels), 0.0, labels)
    groups = _group_by_kind(tasks)
    if len(groups) == 1:
        return type(tasks[0]).losses(tasks, logits, labels)
    parts = [
        kind.losses(
            [tasks[i] for i in places],
            tf.gather(logits, places),
            tf.gather(labels, places, axis=1),
        )
        for kind, places in groups.items()
    ]
    return _restore_order(parts, groups.values())


def task_weights(
    tasks: Sequence[Task], labels: tf.Tensor, weight: tf.Tensor | None
) -> tf.Tensor | None:
    """Returns how much each sample counts: [K, B] if tasks may lack labels, otherwise `weight`.

    Args:
      tasks: K tasks.
      labels: [B, K]; NaN in rows without a label, which count 0.
      weight: Optional [B]. The samples' weights.
    """
    if not any(task.is_partial for task in tasks):
        return weight
    has_label = tf.transpose(tf.cast(~tf.math.is_nan(labels), tf.float32))
    return has_label if weight is None else has_label * weight


def task_predictions(tasks: Sequence[Task], logits: tf.Tensor) -> tf.Tensor:
    """Returns the tasks' predictions, in the shape of the logits.

    Args:
      tasks: K tasks, of one kind or of several.
      logits: [K, B].
    """
    groups = _group_by_kind(tasks)
    if len(groups) == 1:
        return type(tasks[0]).predictions(tasks, logits)
    parts = [
        kind.predictions([tasks[i] for i in places], tf.gather(logits, places))
        for kind, places in groups.items()
    ]
    return _restore_order(parts, groups.values())


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
