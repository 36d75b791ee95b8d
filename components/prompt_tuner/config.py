"""The hyper-parameters of the prompt tuner."""

import dataclasses

from mptrec_tf.training.configurations import NewTaskConfig


@dataclasses.dataclass(frozen=True)
class PromptTunerConfig:
    """Which task a prompt tuner adds, and how.

    Attributes:
      task: Name of the new task.
      how: Which heads are tried, and how they are trained.
    """

    task: str
    how: NewTaskConfig = dataclasses.field(default_factory=NewTaskConfig)
