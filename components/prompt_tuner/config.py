"""The hyper-parameters of the prompt tuner."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mptrec_tf.models.heads import HeadConfig
from mptrec_tf.training.loop import TrainingConfig


@dataclasses.dataclass(frozen=True)
class PromptTunerConfig:
    """Which task a prompt tuner adds, and how. The defaults are the paper's for Census-Income.

    Attributes:
      task: Name of the new task.
      head: Shape of its head.
      training: How long and how fast.
    """

    task: str
    head: HeadConfig = dataclasses.field(default_factory=HeadConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain data, which `from_dict` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "PromptTunerConfig":
        """Reads what `to_dict` and JSON made of it."""
        head = {k: tuple(v) if isinstance(v, list) else v for k, v in raw["head"].items()}
        return cls(raw["task"], HeadConfig(**head), TrainingConfig(**raw["training"]))
