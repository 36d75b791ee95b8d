"""The hyper-parameters of the pre-trainer."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mptrec_tf.models.configurations import PretrainingConfig
from mptrec_tf.training.configurations import TrainingConfig


@dataclasses.dataclass(frozen=True)
class PretrainerConfig:
    """What a pre-trainer trains, and how. The defaults are the paper's for Census-Income.

    Attributes:
      tasks: Names of the tasks to pre-train on.
      shape: Fields of `BackboneConfig` that differ from its defaults: `embedding_width`,
        `expert_units`, `tower_units`, `l2_embedding`, ...
      losses: How the losses are weighed.
      training: How long and how fast.
    """

    tasks: tuple[str, ...]
    shape: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    losses: PretrainingConfig = dataclasses.field(default_factory=PretrainingConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain data, which `from_dict` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "PretrainerConfig":
        """Reads what `to_dict` and JSON made of it."""
        return cls(
            tasks=tuple(raw["tasks"]),
            shape={k: tuple(v) if isinstance(v, list) else v for k, v in raw["shape"].items()},
            losses=PretrainingConfig(**raw["losses"]),
            training=TrainingConfig(**raw["training"]),
        )
