"""Compares the predictions of two versions of a model for the same rows."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from mptrec_tf.data.labels import make_own_weights, make_weights
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.tasks.base import SKIP, drop_unlabelled
from mptrec_tf.errors import InputError
from mptrec_tf.inference.saved_model import LoadedModel


def compare(
    a: LoadedModel,
    b: LoadedModel,
    blocks: Iterable[Block],
    on_rows: Callable[[int], Any] = lambda rows: None,
) -> dict[str, dict[str, Any]]:
    """Returns the differences of two models' predictions, by task of either model.

    Args:
      a: A version.
      b: Another one.
      blocks: Raw rows that fit both models, with the label columns of tasks to score.
      on_rows: Called with the number of rows after each block.

    Returns:
      For a task of both: `rows`, `identical` (bit for bit), `differing` rows, the `largest`
      difference and `where` it is, `rank_correlation` (Spearman's; None if a model predicts the
      same for all rows; of predictions with several numbers, the least), and the scores if there
      are labels that allow one: `auc_a` and `auc_b`, or the name of the score of the task's kind.
      Two predictions of other classes have no `largest` (NaN). For a task of one model: `only_in`
      ("a" or "b").

    Raises:
      InputError: if the models share no task, there are no rows, rows do not fit a model, or a
        prediction is not a finite number.

    Example:
          a, b = LoadedModel("MODEL/1"), LoadedModel("MODEL/2")
          differences = compare(a, b, read_split(source, "test"))
          differences["click"]["largest"]
    """
    common = [task for task in a.spec.task_names if task in b.spec.task_names]
    if not common:
        raise InputError(
            f"{a.path} predicts {', '.join(a.spec.task_names)}, {b.path} "
            f"{', '.join(b.spec.task_names)}: they have no task in common."
        )
    pairs = {task: _Pair(_Side(a, task), _Side(b, task)) for task in common}
    rows = 0
    for block in filter(len, blocks):
        from_a, from_b = a.predict(block), b.predict(block)
        for task, pair in pairs.items():
            pair.add(block, from_a[task], from_b[task])
        rows += len(block)
        on_rows(len(block))
    if not rows:
        raise InputError("the input has no rows; there is nothing to compare.")
    result: dict[str, dict[str, Any]] = {}
    for task in (*a.spec.task_names, *b.spec.task_names):
        if task in pairs:
            result[task] = pairs[task].measure_differences()
        else:
            result[task] = {"only_in": "a" if task in a.spec.task_names else "b"}
    return result


class _Side:
    """One model's predictions of a task, and the labels as the model defines the task."""

    def __init__(self, model: LoadedModel, name: str) -> None:
        [self._task] = model.spec.select_tasks([name])
        self.score_key, self.output_names = self._task.score_key, self._task.output_names
        self._weight, self._path = model.spec.weight, model.path
        self._missing_values = model.spec.missing_values
        self._predictions: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._weights: list[np.ndarray] = []

    def add(self, block: Block, predictions: np.ndarray) -> None:
        """Adds the predictions for a block."""
        bad = np.flatnonzero(~np.isfinite(predictions.reshape(len(block), -1)).all(axis=1))
        if bad.size:
            raise InputError(
                f"{block.where(bad[0])}: {self._path} predicts {predictions[bad[0]]} for task "
                f"{self._task.name!r}, which is not a finite number and cannot be compared."
            )
        self._predictions.append(predictions)
        task = self._task
        has_label = task.label in block.columns or task.missing == SKIP
        if has_label and all(column in block.columns for column in task.where):
            self._labels.append(self._task.labels(block, self._missing_values))
            weights = np.ones(len(block), np.float32)
            if self._weight in block.columns:
                weights = make_weights(self._weight, block)
            if task.weight in block.columns:
                weights = weights * make_own_weights(task, block, self._labels[-1])
            self._weights.append(weights)

    @property
    def predictions(self) -> np.ndarray:
        """All predictions: [n], or [n, outputs] if they have several numbers."""
        return np.concatenate(self._predictions)

    def score(self) -> float | None:
        """Returns the task's score; None without labels, or if these do not allow one."""
        if len(self._labels) < len(self._predictions):
            return None
        labels, weights = np.concatenate(self._labels), np.concatenate(self._weights)
        labels, predictions, weights = drop_unlabelled(labels, self.predictions, weights)
        if not weights.any():
            return None
        value = self._task.score(labels, predictions, weights)
        return value if np.isfinite(value) else None


class _Pair:
    """Both models' predictions of a task."""

    def __init__(self, a: _Side, b: _Side) -> None:
        self._a, self._b = a, b
        self._largest, self._where = 0.0, None
        # Of predictions with several numbers, those of one name are compared.
        self._is_incomparable = set(a.output_names) != set(b.output_names)
        self._order = slice(None)
        if a.output_names != b.output_names and not self._is_incomparable:
            self._order = [b.output_names.index(name) for name in a.output_names]

    def add(self, block: Block, a: np.ndarray, b: np.ndarray) -> None:
        """Adds the predictions of both for a block."""
        self._a.add(block, a)
        self._b.add(block, b)
        if self._is_incomparable:
            return
        # A difference of float32 values is exact in float64.
        a, b = (values.astype(np.float64).reshape(len(block), -1) for values in (a, b))
        difference = np.abs(b[:, self._order] - a).max(axis=1)
        row = int(np.argmax(difference))
        if difference[row] > self._largest:
            self._largest, self._where = float(difference[row]), block.where(row)

    def measure_differences(self) -> dict[str, Any]:
        """Returns the differences, see `compare`."""
        scores = {
            f"{self._a.score_key}_a": self._a.score(),
            f"{self._b.score_key}_b": self._b.score(),
        }
        a, b = (of.predictions.reshape(len(of.predictions), -1) for of in (self._a, self._b))
        if self._is_incomparable:
            different = {"largest": math.nan, "where": None, "rank_correlation": None}
            return {"rows": len(a), "identical": False, "differing": len(a), **different, **scores}
        b = b[:, self._order]
        return {
            "rows": len(a),
            "identical": bool(np.array_equal(a, b)),
            "differing": int(np.count_nonzero((a != b).any(axis=1))),
            "largest": self._largest,
            "where": self._where,
            "rank_correlation": _correlate_columns(a, b),
            **scores,
        }


def _correlate_columns(a: np.ndarray, b: np.ndarray) -> float | None:
    """Returns the least rank correlation of columns [n, m]; None if there is none."""
    of_columns = [_correlate_ranks(*pair) for pair in zip(a.T, b.T, strict=True)]
    return min((value for value in of_columns if value is not None), default=None)


def _correlate_ranks(a: np.ndarray, b: np.ndarray) -> float | None:
    """Returns Spearman's rank correlation; equal values share a rank."""
    ranks = [pd.Series(values).rank().to_numpy() for values in (a, b)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])
