"""Labels and weights from raw columns, outside the preprocessing graph, which outlives tasks."""

import math
from collections.abc import Sequence

import numpy as np

from mptrec_tf.data.canonical import canonical, is_missing
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import Task
from mptrec_tf.errors import InputError


def make_labels(task: Task, block: Block, missing_values: Sequence[str]) -> np.ndarray:
    """Returns the labels of one task.

    Args:
      task: Says which column makes the label and what counts as positive.
      block: n raw rows that hold the column `task.label`.
      missing_values: What counts as missing, see `DatasetSpec`.

    Returns:
      [n] float32, each 0 or 1.

    Raises:
      InputError: for a value that is missing, or neither positive nor negative, with its place.
    """
    raw = block.column(task.label)
    values, inverse = np.unique(block.text(task.label).astype(str), return_inverse=True)
    labels = np.array([label_of(task, v, missing_values) for v in values], np.float32)[inverse]
    bad = np.flatnonzero(np.isnan(labels))
    if bad.size:
        row, value = bad[0], str(raw[bad[0]])
        where = f"{block.where(row)}, column {task.label!r}"
        if is_missing(canonical(value), missing_values):
            raise InputError(
                f"{where}: {value!r} is a missing value, and task {task.name!r} needs a label in "
                "every row; leave such rows out, or list the value under positive or negative, or "
                "change missing_values in the spec."
            )
        wanted = (
            f"a number (above {task.above:g} is positive)"
            if task.above is not None
            else " or ".join(repr(v) for v in (*task.positive, *task.negative))
        )
        raise InputError(
            f"{where}: {value!r} is neither positive nor negative for task {task.name!r}; "
            f"expected {wanted}."
        )
    return labels


def label_of(task: Task, value: str, missing_values: Sequence[str]) -> float:
    """Returns 1, 0, or NaN for a value that is neither, as a missing one is."""
    text = task.form(value)
    if text in task.positive:
        return 1.0
    if text in task.negative:
        return 0.0
    if task.negative or is_missing(canonical(value), missing_values):
        return math.nan
    if task.above is None:
        return 0.0
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return float(number > task.above) if math.isfinite(number) else math.nan


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
