"""Two versions of a model side by side: what changed in the answers to the same rows."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mptrec_tf.datasets.block import Block
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.metrics import auc
from mptrec_tf.labels import make_labels, make_weights
from mptrec_tf.serving.saved_model import LoadedModel


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
      blocks: Raw rows that both take; with the label columns of tasks whose AUC is wanted.
      on_rows: Called with the number of rows after each block.

    Returns:
      For a task of both: `rows`, `identical` (to the last bit), `differing` rows, the `largest`
      difference and `where` it is, `rank_correlation` (Spearman's; None where a model answers all
      rows alike), and `auc_a` and `auc_b` where there are labels of both classes. For a task of
      one model alone: `only_in` ("a" or "b").

    Raises:
      InputError: if the models share no task, there are no rows, or rows do not fit a model.
    """
    common = [task for task in a.spec.task_names if task in b.spec.task_names]
    if not common:
        raise InputError(
            f"{a.path} answers {', '.join(a.spec.task_names)}, {b.path} "
            f"{', '.join(b.spec.task_names)}: they have no task in common."
        )
    sides = {task: (_Side(), _Side()) for task in common}
    places: list[str] = []
    for block in filter(len, blocks):
        answers = (a.predict(block), b.predict(block))
        for task, pair in sides.items():
            for side, model, said in zip(pair, (a, b), answers, strict=True):
                side.add(model, task, block, said[task])
        places += map(block.where, range(len(block)))
        on_rows(len(block))
    if not places:
        raise InputError("the input has no rows; there is nothing to compare.")
    found: dict[str, dict[str, Any]] = {}
    for task in (*a.spec.task_names, *b.spec.task_names):
        if task in sides:
            found[task] = _differences(*sides[task], places)
        else:
            found[task] = {"only_in": "a" if task in a.spec.task_names else "b"}
    return found


class _Side:
    """What one model says of a task, and the task's labels as it defines them."""

    def __init__(self) -> None:
        self._answers: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._weights: list[np.ndarray] = []

    def add(self, model: LoadedModel, name: str, block: Block, answers: np.ndarray) -> None:
        """Takes the answers to a block."""
        self._answers.append(answers)
        [task] = model.spec.select_tasks([name])
        if task.label in block.columns:
            self._labels.append(make_labels(task, block))
            weighted = model.spec.weight in block.columns
            ones = np.ones(len(block), np.float32)
            self._weights.append(make_weights(model.spec.weight, block) if weighted else ones)

    @property
    def answers(self) -> np.ndarray:
        """All of them, [n]."""
        return np.concatenate(self._answers)

    def auc(self) -> float | None:
        """None without labels of both classes."""
        if len(self._labels) < len(self._answers):
            return None
        labels, weights = np.concatenate(self._labels), np.concatenate(self._weights)
        value = auc(labels, self.answers, weights)
        return value if np.isfinite(value) else None


def _differences(a: _Side, b: _Side, places: Sequence[str]) -> dict[str, Any]:
    old, new = a.answers, b.answers
    # As float64 a difference of float32 is exact.
    apart = np.abs(new.astype(np.float64) - old.astype(np.float64))
    worst = int(np.argmax(apart))
    return {
        "rows": len(old),
        "identical": bool(np.array_equal(old, new)),
        "differing": int(np.count_nonzero(old != new)),
        "largest": float(apart[worst]),
        "where": places[worst] if apart[worst] else None,
        "rank_correlation": _rank_correlation(old, new),
        "auc_a": a.auc(),
        "auc_b": b.auc(),
    }


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's: the correlation of ranks, equal values sharing theirs."""
    ranks = [pd.Series(values).rank().to_numpy() for values in (a, b)]
    if any(np.ptp(rank) == 0 for rank in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])
