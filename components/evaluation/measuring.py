"""The metrics of both models, on all rows and on every slice."""

from collections.abc import Mapping

import numpy as np

from components.evaluation.rows import PredictedRows
from components.evaluation.slicing import SliceKey
from mptrec_tf.data.tasks.base import Task, drop_unlabelled

CANDIDATE, BASELINE = "candidate", "baseline"
EXAMPLE_COUNT = "example_count"  # the weight of the rows that have a label
# Metrics by task, and by name.
Metrics = Mapping[str, Mapping[str, float]]
_ALL_ROWS: SliceKey = ()


def measure(
    rows: PredictedRows, candidate: Mapping[str, Task], production: Mapping[str, Task]
) -> dict[SliceKey, dict[str, Metrics]]:
    """Returns the metrics by slice, () for all rows, and by model.

    Args:
      rows: Rows that both models predicted.
      candidate: The tasks of the candidate to evaluate, by name.
      production: Those of production that have the same labels.
    """
    result: dict[SliceKey, dict[str, Metrics]] = {}
    for key, places in {_ALL_ROWS: slice(None), **rows.slices}.items():
        some = {name: values[places] for name, values in rows.columns.items()}
        mine = {name: _measure_task(task, some, "prediction") for name, task in candidate.items()}
        result[key] = {CANDIDATE: mine}
        if production:
            result[key][BASELINE] = {
                name: mine[name]
                if np.array_equal(some[f"prediction/{name}"], some[f"production/{name}"])
                else _measure_task(task, some, "production")
                for name, task in production.items()
            }
    return result


def _measure_task(task: Task, columns: Mapping[str, np.ndarray], model: str) -> dict[str, float]:
    """Returns a task's metrics; without a row that counts, only their number."""
    labels, predictions, weight, users = drop_unlabelled(
        columns[f"label/{task.name}"],
        columns[f"{model}/{task.name}"],
        columns.get(f"weight/{task.name}", columns.get("weight")),
        columns.get("user"),
    )
    count = float(len(labels) if weight is None else weight.sum(dtype=np.float64))
    if not count or not np.isfinite(predictions).all():
        return {EXAMPLE_COUNT: count}
    return {**task.metrics(labels, predictions, weight, users), EXAMPLE_COUNT: count}
