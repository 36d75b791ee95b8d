"""What a model must reach to be blessed; imports no TFX, as flags take their defaults from here."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """What a model must reach to be blessed.

    Attributes:
      least_auc: Lower bound of the AUC by task; `least_auc_of_all` where a task has none.
      least_auc_of_all: float. Lower bound of every other task's AUC.
      margin: float. How much lower than the model in production a task's AUC may be.
    """

    least_auc: Mapping[str, float] = dataclasses.field(default_factory=dict)
    least_auc_of_all: float = 0.5
    margin: float = 0.005

    def least(self, task: str) -> float:
        """The lower bound of a task."""
        return self.least_auc.get(task, self.least_auc_of_all)
