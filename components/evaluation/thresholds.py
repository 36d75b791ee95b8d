"""Thresholds of a blessing; imports no TFX, as flags take their defaults from here."""

import dataclasses
import math
from collections.abc import Mapping

from mptrec_tf.data.tasks.base import Task
from mptrec_tf.evaluation.gate import Gate


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What a model must reach to be blessed.

    Attributes:
      least: Lower bound of the score by task.
      least_of_all: Optional float. Lower bound of every other task's score. Defaults to that of
        the task's kind.
      gate: What it must not do to a task of the model in production.
      accepted: Tasks for which it is blessed whatever the gate says.
    """

    least: Mapping[str, float] = dataclasses.field(default_factory=dict)
    least_of_all: float | None = None
    gate: Gate = dataclasses.field(default_factory=Gate)
    accepted: tuple[str, ...] = ()

    def least_of(self, task: Task) -> float:
        """Returns the lower bound of a task; -inf where neither it nor its kind has one."""
        bounds = (self.least.get(task.name), self.least_of_all, task.least_score)
        return next((bound for bound in bounds if bound is not None), -math.inf)
