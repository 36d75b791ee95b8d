"""Labels and weights from raw columns, outside the preprocessing graph, which outlives tasks."""

import math

import numpy as np

from mptrec_tf.datasets.block import Block
from mptrec_tf.errors import InputError
from mptrec_tf.spec import Task, canonical


def make_labels(task: Task, block: Block) -> np.ndarray:
    """Returns the labels of one task.

    Args:
      task: Says which column makes the label and what counts as positive.
      block: n raw rows that hold the column `task.label`.

    Returns:
      [n] float32, each 0 or 1.

    Raises:
      InputError: for a value that is neither positive nor negative, with file and line.
    """
    raw = block.column(task.label)
    values, inverse = np.unique(raw.astype(str), return_inverse=True)
    labels = np.array([_label(task, value) for value in values], np.float32)[inverse]
    bad = np.flatnonzero(np.isnan(labels))
    if bad.size:
        wanted = (
            f"a number (above {task.above:g} is positive)"
            if task.above is not None
            else " or ".join(repr(v) for v in (*task.positive, *task.negative))
            if task.negative
            else "a value that is not empty"
        )
        raise InputError(
            f"{block.where(bad[0])}, column {task.label!r}: {str(raw[bad[0]])!r} is neither "
            f"positive nor negative for task {task.name!r}; expected {wanted}."
        )
    return labels


def _label(task: Task, value: str) -> float:
    """1, 0, or NaN for a value that is neither."""
    text = canonical(value)
    if task.above is not None:
        try:
            number = float(text)
        except ValueError:
            return math.nan
        return float(number > task.above) if math.isfinite(number) else math.nan
    if text in task.positive:
        return 1.0
    is_negative = text in task.negative if task.negative else bool(text)
    return 0.0 if is_negative else math.nan


def make_weights(name: str, block: Block) -> np.ndarray:
    """Returns the weights [n] of n rows.

    Raises:
      InputError: for a weight that is negative or no number, with its place.
    """
    values = block.numbers(name)
    bad = np.flatnonzero(values < 0)
    if bad.size:
        raise InputError(
            f"{block.where(bad[0])}, column {name!r}: the weight {values[bad[0]]:g} is negative; "
            "it must be 0 or more."
        )
    return values
