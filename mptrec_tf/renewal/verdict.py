"""Whether a candidate may take the place of the model in production: task by task, beyond noise."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.sources.block import Source, read_split
from mptrec_tf.data.tasks.base import Task, drop_unlabelled
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import collect_columns

BETTER, SAME, UNSURE, WORSE, FEW, OTHER = (
    "better",
    "no difference",
    "not known to be worse",
    "worse",
    "too few rows",
    "other labels",
)
_BLOCKING = (WORSE, FEW, OTHER)


@dataclasses.dataclass(frozen=True)
class Gate:
    """What a candidate must not do to a task.

    Attributes:
      margin: float. By how much its score may be below production's.
      confidence: float. In (.5, 1): it is blocked when it is below by more than the margin with
        this confidence, one-sided.
      least_rows: int. With fewer informative test rows (of a binary task, those of the rarer
        class) nothing is known, and the candidate is blocked.
    """

    margin: float = 0.001
    confidence: float = 0.95
    least_rows: int = 50

    @property
    def deviations(self) -> float:
        """How many standard errors a difference has to be from 0 to be no noise."""
        return statistics.NormalDist().inv_cdf(self.confidence)

    def judge(self, difference: float, error: float, rows: int) -> str:
        """Returns the outcome for a task.

        Args:
          difference: The candidate's score minus production's, on the same rows.
          error: Its standard error.
          rows: The informative test rows.

        Example:
          >>> Gate(margin=0.001).judge(-0.004, 0.001, 500), Gate(0.001).judge(-0.002, 0.001, 500)
          ('worse', 'not known to be worse')
        """
        noise = self.deviations * error
        if rows < self.least_rows or not np.isfinite([difference, error]).all():
            return FEW
        if difference + noise < -self.margin:
            return WORSE
        if difference - noise > 0:
            return BETTER
        return SAME if difference - noise >= -self.margin else UNSURE


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a candidate does to one task.

    Attributes:
      task: str.
      score_name: str.
      production: float. The score of the model in production, on the test rows.
      candidate: float. That of the candidate.
      difference: float. The candidate's minus production's.
      error: float. Its standard error, paired on the same rows.
      rows: int. The informative test rows.
      outcome: str. In words.
    """

    task: str
    score_name: str
    production: float
    candidate: float
    difference: float
    error: float
    rows: int
    outcome: str

    def show_difference(self) -> str:
        """Returns the difference and its standard error, for a table."""
        if not np.isfinite([self.difference, self.error]).all():
            return "unknown"  # the labels do not allow a score
        return f"{self.difference:+.4f} ± {self.error:.4f}"

    @property
    def blocks(self) -> bool:
        """Whether the candidate is not to be pushed for this task."""
        return self.outcome in _BLOCKING


def judge(
    production: LoadedModel,
    candidate: LoadedModel,
    source: Source,
    informative: Mapping[str, int],
    gate: Gate,
    on_rows: Callable[[int], Any] = lambda rows: None,
) -> list[Verdict]:
    """Compares a candidate with the model in production, on raw test rows.

    Args:
      production: The model in production.
      candidate: The other one.
      source: Raw rows; those of the split "test" are read.
      informative: By task, how many of them are informative, see `Task.informative_rows`.
      gate: What must not happen.
      on_rows: Called with the number of rows after each block.

    Returns:
      A verdict for each task of both, in the candidate's order.

    Raises:
      InputError: for rows that do not fit a model.
    """
    common = [task for task in candidate.spec.tasks if task.name in production.spec.task_names]
    columns: dict[str, list[np.ndarray]] = {}
    for block in filter(len, read_split(source, "test")):
        of_block = collect_columns(candidate, common, block)
        for name, values in production.predict(block).items():
            of_block[f"production/{name}"] = values
        for key, values in of_block.items():
            columns.setdefault(key, []).append(values)
        on_rows(len(block))
    joined = {key: np.concatenate(values) for key, values in columns.items()}
    before = {task.name: task for task in production.spec.tasks}
    return [
        _judge_task(task, before[task.name], joined, informative[task.name], gate)
        for task in common
    ]


def _judge_task(
    task: Task, before: Task, columns: Mapping[str, np.ndarray], rows: int, gate: Gate
) -> Verdict:
    labels, new, old, weight = drop_unlabelled(
        columns[f"label/{task.name}"],
        columns[f"prediction/{task.name}"],
        columns[f"production/{task.name}"],
        columns.get(f"weight/{task.name}", columns.get("weight")),
    )
    if not len(labels):
        nothing = float("nan")
        return Verdict(task.name, task.score_name, *[nothing] * 4, 0, FEW)
    after = task.score(labels, new, weight)
    if not task.same_labels(before) or task.output_names != before.output_names:
        nothing = float("nan")
        return Verdict(task.name, task.score_name, nothing, after, nothing, nothing, rows, OTHER)
    difference, error = task.score_difference(labels, new, old, weight)
    score = task.score(labels, old, weight)
    outcome = gate.judge(difference, error, rows)
    return Verdict(task.name, task.score_name, score, after, difference, error, rows, outcome)


def list_blocking(verdicts: Sequence[Verdict], accepted: Sequence[str]) -> list[Verdict]:
    """Returns the verdicts for which a candidate is not pushed."""
    return [of for of in verdicts if of.blocks and of.task not in accepted]
