"""Scores of served predictions, once labels have come: of each task, in all and by day."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from mptrec_tf.data.tasks.base import PROBABILITY, Task
from mptrec_tf.data.tasks.scores import mean_error
from mptrec_tf.watching.days import Days
from mptrec_tf.watching.outcomes import Outcome

# Two-sided 95%.
Z = 1.959964
_SMALLEST = 1e-7
_MOST_NOISE = 10.0  # standard errors of a ratio, as a multiple of it


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number that was estimated from rows.

    Attributes:
      value: float. NaN if it is not defined.
      error: float. Its standard error; infinite or NaN if that is not known.
      is_ratio: bool. Whether the interval is symmetric on the logarithm's scale.
    """

    value: float
    error: float
    is_ratio: bool = False

    @property
    def known(self) -> bool:
        """Whether both are finite."""
        return bool(np.isfinite([self.value, self.error]).all())

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval with a confidence of 95%; None if it is not known.

        That of a ratio whose error is many times itself is not: numbers of both signs cancel out.
        """
        if not self.known or (self.is_ratio and self.value * _MOST_NOISE <= self.error):
            return None
        if self.is_ratio:
            factor = math.exp(Z * self.error / self.value)
            return self.value / factor, self.value * factor
        return self.value - Z * self.error, self.value + Z * self.error


@dataclasses.dataclass(frozen=True)
class TaskScores:
    """Scores of a task on some rows.

    Attributes:
      rows: int. Rows whose label has come.
      informative: int. Of two classes, the rows of the rarer one; else all rows.
      score: The task's score.
      log_loss: Optional. Of probabilities of two classes.
      calibration: Optional. The mean prediction over the mean label, where a prediction is one
        number.
    """

    rows: int
    informative: int
    score: Estimate
    log_loss: Estimate | None
    calibration: Estimate | None


@dataclasses.dataclass(frozen=True)
class DayScores:
    """Scores of a task on one day.

    Attributes:
      day: str.
      served: int. Rows for which the task was requested that day.
      labelled: float. The share of them whose label has come.
      complete: bool. Whether about as large a share of labels has come as on other days; if not,
        those that came first are not like all.
      scores: The scores.
    """

    day: str
    served: int
    labelled: float
    complete: bool
    scores: TaskScores


# A day has its labels if the share that has come is at least this of the best day's; the share of
# rows that ever have a label of a partial task, such as the clicked ones, varies by itself.
_COMPLETE, _COMPLETE_PARTIAL = 0.9, 0.5


def score_task(task: Task, labels: np.ndarray, predictions: np.ndarray) -> TaskScores:
    """Returns the scores of a task on labelled rows.

    Args:
      task: The task.
      labels: [n].
      predictions: [n], or [n, outputs].
    """
    binary = task.output == PROBABILITY and task.outputs == 1 and set(np.unique(labels)) <= {0, 1}
    informative = len(labels)
    if binary:
        positives = int(labels.sum())
        informative = min(positives, len(labels) - positives)
    score = Estimate(math.nan, math.nan)
    if informative and len(np.unique(labels)) > 1:
        score = Estimate(task.score(labels, predictions), task.score_error(labels, predictions))
    losses = calibration = None
    if binary and len(labels):
        right = np.where(labels > 0.5, predictions, 1 - predictions.astype(np.float64))
        values = -np.log(np.maximum(right, _SMALLEST))
        losses = Estimate(float(values.mean()), mean_error(values))
    if task.outputs == 1 and len(labels):
        calibration = _estimate_ratio(predictions.astype(np.float64), labels.astype(np.float64))
    return TaskScores(len(labels), informative, score, losses, calibration)


def _estimate_ratio(predictions: np.ndarray, labels: np.ndarray) -> Estimate:
    """Returns the ratio of means and its standard error, of the rows' residuals."""
    total = labels.sum()
    if total <= 0 or len(labels) < 2:
        return Estimate(math.nan, math.nan, is_ratio=True)
    ratio = float(predictions.sum() / total)
    residuals = predictions - ratio * labels
    error = math.sqrt(float((residuals**2).sum())) / float(total)
    return Estimate(ratio, error, is_ratio=True)


def score_days(task: Task, outcome: Outcome, served: Mapping[str, int]) -> list[DayScores]:
    """Returns the scores of each day that has served rows, ascending.

    Args:
      task: The task.
      outcome: Its labelled rows.
      served: Rows for which it was requested, by day.
    """
    days = Days(outcome.times)
    rows = dict.fromkeys(served, 0) | {day: int((days.of == i).sum()) for i, day in days.numbered()}
    shares = {day: rows[day] / max(1, served.get(day, 0)) for day in rows}
    best = max(shares.values(), default=0.0)
    places = {day: i for i, day in days.numbered()}
    least = best * (_COMPLETE_PARTIAL if task.is_partial else _COMPLETE)
    scored = []
    for day in sorted(rows):
        own = days.of == places.get(day, -2)
        scored.append(
            DayScores(
                day,
                served.get(day, 0),
                shares[day],
                shares[day] > 0 and shares[day] >= least,
                score_task(task, outcome.labels[own], outcome.predictions[own]),
            )
        )
    return scored


def select_complete(outcome: Outcome, days: list[DayScores]) -> Outcome:
    """Returns the rows of days that have their labels, and those without a day."""
    complete = {of.day for of in days if of.complete}
    own = Days(outcome.times)
    kept = [i for i, day in own.numbered() if day in complete]
    rows = np.isin(own.of, [-1, *kept])
    return Outcome(outcome.labels[rows], outcome.predictions[rows], outcome.times[rows])
