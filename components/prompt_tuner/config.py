"""The hyper-parameters of the prompt tuner."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mptrec_tf.storage.plain import fields_from_plain
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

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> "PromptTunerConfig":
        """Reads what `to_plain` and JSON made of a configuration."""
        config = fields_from_plain(cls, raw)
        # No annotation states the types of a shape's fields: whatever is a list was a tuple.
        shape = {k: tuple(v) if isinstance(v, list) else v for k, v in config.how.shape.items()}
        return dataclasses.replace(config, how=dataclasses.replace(config.how, shape=shape))
