"""What to do about a model in production, and the numbers that say so.

The rules, each with its limit (`Limits`):

    refresh       a column of enough served rows is further from the training rows than the
                  validation rows were, by more than `drift`: what was as far when the model was
                  new, such as a date, no refresh brings nearer; or a task's score is below that of
                  the validation rows by more than `margin`, with `confidence`; or the vocabulary
                  does not know more than `unknown` of a column's values, and knew the validation
                  rows' better: a newer one would know them
    add buckets   the vocabulary does not know more than `unknown` of a column's values, and as
                  little of the validation rows when it was new: a newer one would be no better
    recalibrate   a task's mean prediction is off its mean label by more than `calibration`, with
                  `confidence`, while its score holds
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from mptrec_tf.data.tasks.base import PROBABILITY, Task
from mptrec_tf.watching.features import ColumnReport
from mptrec_tf.watching.scores import TaskScores

NOTHING, RECALIBRATE, ADD_BUCKETS, REFRESH = ("nothing", "recalibrate", "add buckets", "refresh")
# From the weakest to the strongest.
ACTIONS = (NOTHING, RECALIBRATE, ADD_BUCKETS, REFRESH)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Where something has to be done.

    Attributes:
      drift: float. Of a column's skew above that of the validation rows, in [0, 1].
      unknown: float. Of the share of values that the vocabulary does not hold.
      margin: float. By how much a task's score may be below that of the validation rows.
      calibration: float. By which share the mean prediction may be off the mean label.
      confidence: float. In (.5, 1), one-sided, of what labels say.
      least_rows: int. With fewer sampled rows nothing is said about columns.
      least_informative: int. With fewer labelled rows (of the rarer class) nothing is said about a
        task.
    """

    drift: float = 0.1
    unknown: float = 0.1
    margin: float = 0.01
    calibration: float = 0.1
    confidence: float = 0.95
    least_rows: int = 1000
    least_informative: int = 50

    @property
    def deviations(self) -> float:
        """How many standard errors a difference has to be from its limit."""
        return statistics.NormalDist().inv_cdf(self.confidence)


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why something is recommended.

    Attributes:
      action: str. One of `ACTIONS`.
      about: str. A column or a task.
      sentence: str. With the numbers behind it.
      value: float. The number.
      limit: float. What it is compared with.
    """

    action: str
    about: str
    sentence: str
    value: float
    limit: float


def judge_columns(columns: Sequence[ColumnReport], rows: int, limits: Limits) -> list[Reason]:
    """Returns what the columns say.

    Args:
      columns: The reports.
      rows: Sampled rows.
      limits: The limits.
    """
    if rows < limits.least_rows:
        return []
    reasons = []
    for of in columns:
        # Values that the vocabulary does not hold are an id, too: their share is judged below.
        unknown = of.unknown or 0.0
        if unknown > limits.unknown:
            reasons.append(_judge_unknown(of, unknown, limits))
        elif of.is_far(limits.drift):
            moved = f" ({of.moved})" if of.moved else ""
            reasons.append(
                Reason(
                    REFRESH,
                    of.column,
                    f"{of.column}: served values are {of.skew:.3f} ({of.comparator}) from the "
                    f"training rows, more than {limits.drift:g} above the {of.fresh_drift:.3f} of "
                    f"the validation rows{moved}",
                    of.skew,
                    of.fresh_drift + limits.drift,
                )
            )
    return reasons


def _judge_unknown(of: ColumnReport, unknown: float, limits: Limits) -> Reason:
    fresh = of.fresh_unknown or 0.0
    numbers = (
        f"{of.column}: the vocabulary does not hold {unknown:.1%} of the served values, more than "
        f"{limits.unknown:.1%}; of the validation rows it did not hold {fresh:.1%}"
    )
    if fresh > limits.unknown:
        why = "so a newer vocabulary would miss about as many: give the column buckets"
        return Reason(ADD_BUCKETS, of.column, f"{numbers}, {why}", unknown, limits.unknown)
    why = "so a newer vocabulary would know them"
    return Reason(REFRESH, of.column, f"{numbers}, {why}", unknown, limits.unknown)


def judge_task(
    task: str,
    score_name: str,
    scores: TaskScores,
    baseline: Mapping[str, Any] | None,
    level: float | None,
    limits: Limits,
) -> list[Reason]:
    """Returns what the labels of a task say.

    Args:
      task: The task's name.
      score_name: That of its score.
      scores: On the rows whose labels have come.
      baseline: On the validation rows, see `training.baseline`; None if it is not known.
      level: What the mean prediction over the mean label should be, see `find_level`; None if that
        is not known.
      limits: The limits.
    """
    if scores.informative < limits.least_informative:
        return []
    fallen = _judge_score(task, score_name, scores, baseline, limits)
    if fallen:
        return [fallen]
    off = _judge_calibration(task, scores, level, limits)
    return [off] if off else []


def find_level(task: Task, baseline: Mapping[str, Any] | None) -> float | None:
    """Returns what a task's mean prediction over its mean label is if nothing has changed.

    1 of probabilities. Of other numbers, of which a prediction may be the median, what it was on
    the validation rows; None if that is not known, or if numbers of both signs make it no level.
    """
    if task.outputs != 1:
        return None
    if task.output == PROBABILITY:
        return 1.0
    metrics = (baseline or {}).get("metrics", {})
    means = metrics.get("mean_prediction"), metrics.get("mean_label")
    if not all(means) or means[0] / means[1] < 0:
        return None
    return means[0] / means[1]


def _judge_score(
    task: str,
    score_name: str,
    scores: TaskScores,
    baseline: Mapping[str, Any] | None,
    limits: Limits,
) -> Reason | None:
    if not baseline or None in (baseline["score"], baseline["error"]) or not scores.score.known:
        return None
    difference = scores.score.value - baseline["score"]
    error = math.hypot(scores.score.error, baseline["error"])
    if difference + limits.deviations * error >= -limits.margin:
        return None
    return Reason(
        REFRESH,
        task,
        f"{task}: its {score_name} is {scores.score.value:.4f} on {scores.rows:,} labelled rows, "
        f"{-difference:.4f} ± {error:.4f} below the {baseline['score']:.4f} of the validation "
        f"rows, more than {limits.margin:g} with {limits.confidence:.0%} confidence",
        difference,
        -limits.margin,
    )


def _judge_calibration(
    task: str, scores: TaskScores, level: float | None, limits: Limits
) -> Reason | None:
    ratio = scores.calibration
    if level is None or ratio is None or ratio.interval is None:
        return None
    noise = limits.deviations * ratio.error / ratio.value
    low, high = ratio.value * math.exp(-noise), ratio.value * math.exp(noise)
    lowest, highest = level / (1 + limits.calibration), level * (1 + limits.calibration)
    if low <= highest and high >= lowest:
        return None
    where = "high" if ratio.value > level else "low"
    was = "" if level == 1 else f" ({level:.3f} on the validation rows)"
    return Reason(
        RECALIBRATE,
        task,
        f"{task}: predictions are {ratio.value:.3f} times the labels on average{was}, too {where} "
        f"by more than {limits.calibration:.0%} with {limits.confidence:.0%} confidence, on "
        f"{scores.rows:,} labelled rows",
        ratio.value,
        highest if ratio.value > level else lowest,
    )


def recommend(reasons: Sequence[Reason]) -> str:
    """Returns the strongest action that is recommended."""
    return max((of.action for of in reasons), key=ACTIONS.index, default=NOTHING)
