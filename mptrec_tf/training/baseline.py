"""The baseline of a model: what its rows and predictions were like, to compare served ones with.

A backbone's description holds the distribution of each packed column in the training rows, how far
the validation rows were from it, and each task's predictions and metrics on the validation rows; a
task package those of its own task. It is plain data of some ten kilobytes:

    {"rows": 199523,
     "columns": {"categorical/city": Shares, "numeric/age": Histogram, ...},
     "fresh": {"categorical/city": {"drift": ..., "unknown": ...}, ...},
     "tasks": {"click": {"rows": ..., "score": ..., "error": ..., "metrics": {...},
                         "predictions": {"click": Histogram}}}}
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.distributions import (
    count_ids,
    count_numbers,
    distribution_to_plain,
    make_edges,
    measure_drift,
)
from mptrec_tf.data.packed import LABELS
from mptrec_tf.data.packed_columns import PackedColumn, list_columns, to_arrays
from mptrec_tf.data.tasks.base import Task, drop_unlabelled
from mptrec_tf.data.tasks.slices import split_predictions
from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.data.transform.graph import open_transform
from mptrec_tf.models.trainer import Trainer
from mptrec_tf.training.batches import Rows, evaluate_rows, make_ordered_batches

# Of more training rows, every second, third, ... batch is read.
_MOST_ROWS = 250_000

Baseline = dict[str, Any]


def describe_rows(data: TrainingData, train: Rows, validation: Rows) -> Baseline:
    """Returns the distributions of the packed columns of training rows.

    Validation rows stand for those that come right after a training: what the vocabulary does not
    know of them, no newer vocabulary would know either.

    Args:
      data: The prepared data.
      train: Their training rows.
      validation: Their validation rows.
    """
    columns = list_columns(data.spec, open_transform(data.transform_dir))
    count, values = _select_values(columns, train)
    _, later = _select_values(columns, validation)
    described, fresh = {}, {}
    for column in columns:
        before, after = values.pop(column.name), later.pop(column.name)
        if column.ids:
            of, newer = (
                count_ids(v, column.first, column.ids, column.unknown) for v in (before, after)
            )
        else:
            edges = make_edges(before)
            of, newer = (count_numbers(v, edges) for v in (before, after))
        described[column.name] = distribution_to_plain(of)
        fresh[column.name] = {
            "drift": measure_drift(of, newer),
            "unknown": getattr(newer, "unknown", None),
        }
    return {"rows": count, "columns": described, "fresh": fresh}


def _select_values(
    columns: Sequence[PackedColumn], rows: Rows
) -> tuple[int, dict[str, np.ndarray]]:
    """Returns the number of rows that were read, and the values of each column."""
    values: dict[str, list[np.ndarray]] = {column.name: [] for column in columns}
    count = 0
    for batch in make_ordered_batches(rows).shard(-(-rows.count // _MOST_ROWS), 0):
        packed = to_arrays(batch)
        for column in columns:
            values[column.name].append(column.select(packed))
        count += len(batch[LABELS])
    return count, {name: np.concatenate(parts) for name, parts in values.items()}


def describe_tasks(trainer: Trainer, tasks: Sequence[Task], rows: Rows) -> dict[str, Any]:
    """Returns what `describe_task` does of each task, for a pre-trained model.

    Args:
      trainer: The model with its tasks, as they were trained.
      tasks: The tasks.
      rows: The validation rows.
    """
    report, labels, _ = evaluate_rows(trainer, rows)
    return {
        task.name: describe_task(task, labels[:, i], predictions)
        for i, (task, predictions) in enumerate(
            zip(tasks, split_predictions(tasks, report["prediction"]), strict=True)
        )
    }


def describe_task(task: Task, labels: np.ndarray, predictions: np.ndarray) -> dict[str, Any]:
    """Returns a task's score, metrics and predictions on the validation rows.

    Rows count equally, whatever their weights: those of served rows are not known.

    Args:
      task: The task.
      labels: [n]; NaN where a row has none.
      predictions: [n], or [n, outputs].
    """
    distributions = {
        name: distribution_to_plain(count_numbers(column, make_edges(column)))
        for name, column in task.prediction_columns(predictions).items()
    }
    labels, predictions = drop_unlabelled(labels, predictions)
    return {
        "rows": len(labels),
        "score": task.score(labels, predictions),
        "error": task.score_error(labels, predictions),
        "metrics": task.metrics(labels, predictions),
        "predictions": distributions,
    }
