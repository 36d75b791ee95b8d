"""Compares a candidate with the model in production, task by task, on the same test rows.

Each task by its score (its error is paired by row: for AUC, DeLong's). One that predicts
probabilities also by how far it is from calibrated, and by its AUC within users; the errors of
these two are those of a bootstrap over users, or over rows where there are none.
"""

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import PROBABILITY, Task, drop_unlabelled
from mptrec_tf.evaluation import bootstrap
from mptrec_tf.evaluation.gate import (
    CALIBRATION,
    FEW,
    GROUPED,
    OTHER,
    SAME,
    Gate,
    Verdict,
    decide,
)
from mptrec_tf.evaluation.metrics import auc_by_group

_NO_SLICES: Mapping[str, np.ndarray] = MappingProxyType({})


def compare_paired(
    spec: DatasetSpec,
    before: DatasetSpec,
    columns: Mapping[str, np.ndarray],
    gate: Gate,
    slices: Mapping[str, np.ndarray] = _NO_SLICES,
) -> list[Verdict]:
    """Compares a candidate with the model in production.

    Args:
      spec: The candidate's, with its tasks.
      before: That of production.
      columns: Of n test rows, `label/TASK` [n] (NaN for none), `prediction/TASK` and
        `production/TASK` ([n] or [n, outputs]) of each task to compare; where they are there
        `weight/TASK`, and of all tasks `weight` and `user`. Rows of weight 0 are left out.
      gate: What must not happen.
      slices: Places of rows, by the name of the slice.

    Returns:
      Verdicts on all rows in the order of the tasks, then on each slice.
    """
    old = {task.name: task for task in before.tasks}
    tasks = [task for task in spec.tasks if f"production/{task.name}" in columns]
    if "user" in columns:
        numbers = pd.factorize(columns["user"], use_na_sentinel=False)[0]
        columns = {**columns, "user": numbers.astype(np.int32)}
    found: list[Verdict] = []
    for name, rows in {"": slice(None), **slices}.items():
        for task in tasks:
            found += _Paired(task, columns, rows).compare(old[task.name], gate, name)
    return decide(found, gate)


class _Paired:
    """Labels and both models' predictions of a task on some rows."""

    def __init__(self, task: Task, columns: Mapping[str, np.ndarray], rows: slice | np.ndarray):
        own = columns.get(f"weight/{task.name}", columns.get("weight"))
        self._task = task
        of = (
            columns[f"label/{task.name}"],
            columns[f"prediction/{task.name}"],
            columns[f"production/{task.name}"],
            own,
            columns.get("user"),
        )
        of = drop_unlabelled(*(None if column is None else column[rows] for column in of))
        if of[3] is not None and not of[3].all():
            counted = of[3] > 0
            of = tuple(None if column is None else column[counted] for column in of)
        self.labels, self.new, self.old, self.weight, self.users = of
        # Without a row that counts, only all rows tell whether the models are the same.
        both = (self.new, self.old)
        if not len(self.labels):
            both = (columns[f"{model}/{task.name}"][rows] for model in ("prediction", "production"))
        self._same = np.array_equal(*both)

    def compare(self, before: Task, gate: Gate, where: str) -> Iterator[Verdict]:
        """Yields verdicts, without an outcome where a test decides.

        Args:
          before: The task as production has it.
          gate: Tells how many rows a test needs.
          where: The name of the slice.
        """
        task, rows, unknown = self._task, self._task.count_informative(self.labels), math.nan
        name = task.score_name
        if not task.same_labels(before) or task.output_names != before.output_names:
            after = self._score(self.new)
            yield Verdict(task.name, name, where, unknown, after, unknown, unknown, rows, OTHER)
        elif self._same:
            if not where:
                value = self._score(self.new)
                yield Verdict(task.name, name, where, value, value, 0.0, 0.0, rows, SAME)
        elif rows < gate.least_positives or not np.isfinite([self.old, self.new]).all():
            # Nothing is computed for thin slices, of which there may be many.
            scores = [unknown if where else self._score(of) for of in (self.old, self.new)]
            yield Verdict(task.name, name, where, *scores, unknown, unknown, rows, FEW)
        else:
            scores = [self._score(of) for of in (self.old, self.new)]
            difference = task.score_difference(self.labels, self.new, self.old, self.weight)
            yield Verdict(task.name, name, where, *scores, *difference, rows, "")
            if task.output == PROBABILITY:
                yield from self._compare_by_user(rows, where)

    def _score(self, predictions: np.ndarray) -> float:
        if not len(self.labels) or not np.isfinite(predictions).all():
            return math.nan
        return self._task.score(self.labels, predictions, self.weight)

    def _compare_by_user(self, rows: int, where: str) -> Iterator[Verdict]:
        """Yields the verdicts whose errors are those of the bootstrap."""
        weight = 1.0 if self.weight is None else self.weight
        columns = np.stack([of * weight for of in (self.old, self.new, self.labels)])
        if self.users is None:
            sums = bootstrap.sum_by_unit(np.arange(len(self.labels)), columns)
            parts = {CALIBRATION: (rows, _compute_calibration_errors)}
        else:
            # Numbered anew: a slice has few of all users, and only these are drawn.
            users, found = pd.factorize(self.users)
            sums = bootstrap.sum_by_unit(users, columns)
            counts, before = auc_by_group(users, self.labels, self.old)
            _, after = auc_by_group(users, self.labels, self.new)
            within = np.stack([before * counts, after * counts, counts])
            within = bootstrap.sum_by_unit(np.arange(len(counts)), within)
            sums = np.concatenate([sums, within], axis=1)
            # Of a few users, no sample tells how much others would differ.
            rows = min(rows, len(found))
            parts = {
                CALIBRATION: (rows, _compute_calibration_errors),
                GROUPED: (np.count_nonzero(counts), _compute_means),
            }
        total, samples = sums.sum(axis=0, keepdims=True), bootstrap.resample(sums)
        for place, (measure, (informative, compute)) in enumerate(parts.items()):
            of = slice(3 * place, 3 * place + 3)
            # Of a few rows, a sample may have no label at all: then the error is no number.
            with np.errstate(divide="ignore", invalid="ignore"):
                [[old], [new]] = compute(*total.T[of])
                before, after = compute(*samples.T[of])
                error = float(np.std(after - before, ddof=1))
            values = (float(old), float(new), float(new - old), error)
            yield Verdict(self._task.name, measure, where, *values, int(informative), "")


def _compute_calibration_errors(
    old: np.ndarray, new: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns |log(prediction / label)| of both models, from sums of predictions and of labels."""
    return np.abs(np.log(old / labels)), np.abs(np.log(new / labels))


def _compute_means(
    old: np.ndarray, new: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns means over the rows, NaN without any."""
    return old / rows, new / rows
