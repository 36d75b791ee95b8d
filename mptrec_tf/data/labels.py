"""Reads weights from raw columns; for labels see `tasks.base`.

A row counts in a task's loss and metrics by the product of the data set's weight, the task's own,
and, in a training row of a kind of which preparation keeps a share alone, one over that share. The
task whose negatives are sampled is corrected in its logit instead.
"""

import numpy as np

from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.errors import InputError


def make_weights(name: str, block: Block) -> np.ndarray:
    """Returns the weights [n] of n rows.

    Raises:
      InputError: for a weight that is negative or not a number, with its place.
    """
    values = block.numbers(name)
    bad = np.flatnonzero(values < 0)
    if bad.size:
        raise InputError(
            f"{block.where(bad[0])}, column {name!r}: the weight {values[bad[0]]:g} is negative; "
            "it must be 0 or more."
        )
    return values


def has_task_weights(spec: DatasetSpec) -> bool:
    """Whether tasks of the data set weigh rows differently."""
    return any(task.weight or task.kept_share < 1 for task in spec.tasks)


def describe_weights(spec: DatasetSpec, task: Task) -> str:
    """Returns the beginning of a sentence: "column 'w' weighs", or "columns 'w' and 'v' weigh"."""
    columns = [repr(column) for column in (spec.weight, task.weight) if column]
    if len(columns) == 1:
        return f"column {columns[0]} weighs"
    return f"columns {' and '.join(columns)} together weigh"


def make_own_weights(task: Task, block: Block, labels: np.ndarray) -> np.ndarray:
    """Returns a task's own weights [n]: 1 without a column, 0 where a row has no label.

    Args:
      task: The task.
      block: n raw rows; those without a label need no weight.
      labels: [n]. Their labels, NaN for none.

    Raises:
      InputError: as `make_weights` does.
    """
    has_label = ~np.isnan(labels)
    if task.weight is None:
        return np.ones(len(block), np.float32)
    weights = np.zeros(len(block), np.float32)
    if has_label.all():
        return make_weights(task.weight, block)
    if has_label.any():
        weights[has_label] = make_weights(task.weight, block.rows(has_label))
    return weights


def make_task_weights(
    spec: DatasetSpec, block: Block, labels: np.ndarray, sampled: bool
) -> np.ndarray:
    """Returns how much each row counts for each task, [n, T].

    Args:
      spec: The data set's spec.
      block: n raw rows.
      labels: [n, T]. Their labels, NaN for none.
      sampled: Whether these are training rows, of which some may be left out.

    Raises:
      InputError: as `make_weights` does.
    """
    weights = [
        make_own_weights(task, block, of) for task, of in zip(spec.tasks, labels.T, strict=True)
    ]
    weights = np.stack(weights, axis=1)
    if spec.weight:
        weights *= make_weights(spec.weight, block)[:, np.newaxis]
    for i, task in enumerate(spec.tasks if sampled else ()):
        if task.kept_share < 1:
            others = np.arange(len(spec.tasks)) != i
            rows = task.may_leave_out(labels[:, i])
            weights[np.ix_(rows, others)] /= np.float32(task.kept_share)
    return weights


def weights_of_task(weight: np.ndarray | None, column: int) -> np.ndarray | None:
    """Returns the weights [n] of a task, of weights [n] of all or [n, T] by task."""
    return weight if weight is None or weight.ndim == 1 else weight[:, column]
