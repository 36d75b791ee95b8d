"""Two versions of a model side by side: what changed in the answers to the same rows."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from mptrec_tf.data.labels import make_weights
from mptrec_tf.data.sources.block import Block
from mptrec_tf.errors import InputError
from mptrec_tf.inference.saved_model import LoadedModel


def compare(
    a: LoadedModel,
    b: LoadedModel,
    blocks: Iterable[Block],
    on_rows: Callable[[int], Any] = lambda rows: None,
) -> dict[str, dict[str, Any]]:
    """Returns, by task that either model answers, how their answers differ.

    Args:
      a: A version.
      b: Another one.
      blocks: Raw rows that both take; with the label columns of tasks whose score is wanted.
      on_rows: Called with the number of rows after each block.

    Returns:
      For a task of both: `rows`, `identical` (to the last bit), `differing` rows, the `largest`
      difference and `where` it is, `rank_correlation` (Spearman's; None where a model answers all
      rows alike), and the scores where there are labels that allow one: `auc_a` and `auc_b`, or
      what the task's kind calls its own. For a task of one model alone: `only_in` ("a" or "b").

    Raises:
      InputError: if the models share no task, there are no rows, rows do not fit a model, or a
        model answers what is no number.
    """
    common = [task for task in a.spec.task_names if task in b.spec.task_names]
    if not common:
        raise InputError(
            f"{a.path} answers {', '.join(a.spec.task_names)}, {b.path} "
            f"{', '.join(b.spec.task_names)}: they have no task in common."
        )
    pairs = {task: _Pair(_Side(a, task), _Side(b, task)) for task in common}
    rows = 0
    for block in filter(len, blocks):
        answers = (a.predict(block), b.predict(block))
        for task, pair in pairs.items():
            pair.add(block, *(said[task] for said in answers))
        rows += len(block)
        on_rows(len(block))
    if not rows:
        raise InputError("the input has no rows; there is nothing to compare.")
    found: dict[str, dict[str, Any]] = {}
    for task in (*a.spec.task_names, *b.spec.task_names):
        if task in pairs:
            found[task] = pairs[task].differences()
        else:
            found[task] = {"only_in": "a" if task in a.spec.task_names else "b"}
    return found


class _Side:
    """What one model says of a task, and the task's labels as it defines them."""

    def __init__(self, model: LoadedModel, name: str) -> None:
        [self._task] = model.spec.select_tasks([name])
        self.score_key = self._task.score_key
        self._weight, self._path = model.spec.weight, model.path
        self._missing_values = model.spec.missing_values
        self._answers: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._weights: list[np.ndarray] = []

    def add(self, block: Block, answers: np.ndarray) -> None:
        """Takes the answers to a block."""
        bad = np.flatnonzero(~np.isfinite(answers))
        if bad.size:
            raise InputError(
                f"{block.where(bad[0])}: {self._path} answers {answers[bad[0]]} for task "
                f"{self._task.name!r}, which is no number to compare."
            )
        self._answers.append(answers)
        if self._task.label in block.columns:
            self._labels.append(self._task.labels(block, self._missing_values))
            weighted = self._weight in block.columns
            ones = np.ones(len(block), np.float32)
            self._weights.append(make_weights(self._weight, block) if weighted else ones)

    @property
    def answers(self) -> np.ndarray:
        """All of them, [n]."""
        return np.concatenate(self._answers)

    def score(self) -> float | None:
        """None without labels, or where these allow none."""
        if len(self._labels) < len(self._answers):
            return None
        labels, weights = np.concatenate(self._labels), np.concatenate(self._weights)
        value = self._task.score(labels, self.answers, weights)
        return value if np.isfinite(value) else None


class _Pair:
    """What both models say of a task."""

    def __init__(self, a: _Side, b: _Side) -> None:
        self._a, self._b = a, b
        self._largest, self._where = 0.0, None

    def add(self, block: Block, a: np.ndarray, b: np.ndarray) -> None:
        """Takes the answers of both to a block."""
        self._a.add(block, a)
        self._b.add(block, b)
        # As float64 a difference of float32 is exact.
        apart = np.abs(b.astype(np.float64) - a.astype(np.float64))
        worst = int(np.argmax(apart))
        if apart[worst] > self._largest:
            self._largest, self._where = float(apart[worst]), block.where(worst)

    def differences(self) -> dict[str, Any]:
        """How they differ, see `compare`."""
        a, b = self._a.answers, self._b.answers
        return {
            "rows": len(a),
            "identical": bool(np.array_equal(a, b)),
            "differing": int(np.count_nonzero(a != b)),
            "largest": self._largest,
            "where": self._where,
            "rank_correlation": _rank_correlation(a, b),
            f"{self._a.score_key}_a": self._a.score(),
            f"{self._b.score_key}_b": self._b.score(),
        }


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's: the correlation of ranks, equal values sharing theirs."""
    ranks = [pd.Series(values).rank().to_numpy() for values in (a, b)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])
