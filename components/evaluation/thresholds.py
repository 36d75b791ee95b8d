"""Thresholds of a blessing; imports no TFX, as flags take their defaults from here."""

import dataclasses
import math
from collections.abc import Mapping

from mptrec_tf.data.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What a model must reach to be blessed.

    Attributes:
      least: Lower bound of the score by task.
      least_of_all: Optional float. Lower bound of every other task's score. Defaults to that of
        the task's kind.
      margin: float. How much lower than the model in production a task's score may be.
    """

    least: Mapping[str, float] = dataclasses.field(default_factory=dict)
    least_of_all: float | None = None
    margin: float = 0.005

    def least_of(self, task: Task) -> float:
        """Returns the lower bound of a task; -inf where neither it nor its kind has one."""
        bounds = (self.least.get(task.name), self.least_of_all, task.least_score)
        return next((bound for bound in bounds if bound is not None), -math.inf)
