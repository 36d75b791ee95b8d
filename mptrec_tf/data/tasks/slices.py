"""The places of each task's logits and predictions among those of all tasks.

A model has the logits of its tasks side by side, in the order of the tasks, and so are predictions:
most tasks have one of each, see `Task.logits` and `Task.outputs`.
"""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from mptrec_tf.data.tasks.base import Task


def make_slices(sizes: Iterable[int]) -> list[slice]:
    """Returns the places of parts of these sizes that stand side by side.

    Example:
      >>> make_slices([1, 3])
      [slice(0, 1, None), slice(1, 4, None)]
    """
    ends = list(itertools.accumulate(sizes, initial=0))
    return [slice(first, end) for first, end in itertools.pairwise(ends)]


def split_predictions(tasks: Sequence[Task], predictions: np.ndarray) -> list[np.ndarray]:
    """Returns each task's predictions: [n], or [n, outputs] if they have several numbers.

    Args:
      tasks: The tasks, in the order of the predictions.
      predictions: [n, sum of the tasks' outputs].
    """
    places = make_slices(task.outputs for task in tasks)
    return [
        predictions[:, place.start] if task.outputs == 1 else predictions[:, place]
        for task, place in zip(tasks, places, strict=True)
    ]


def spread_over_logits(task: Task, value: float | Sequence[float]) -> list[float]:
    """Returns a number for each of a task's logits: one for all of them, or one of each."""
    return np.broadcast_to(value, task.logits).tolist()
