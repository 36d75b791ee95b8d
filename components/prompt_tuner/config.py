"""The hyper-parameters of the prompt tuner."""

import dataclasses
from collections.abc import Mapping
from typing import Any

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

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain data, which `from_dict` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "PromptTunerConfig":
        """Reads what `to_dict` and JSON made of it."""
        how = dict(raw["how"])
        shape = {k: tuple(v) if isinstance(v, list) else v for k, v in how["shape"].items()}
        return cls(raw["task"], NewTaskConfig(**{**how, "shape": shape}))
