"""The shapes of models, and how their losses are weighed: plain data.

Imports no TensorFlow, as programs' flags take their defaults, choices and help from here.
"""

import dataclasses
from typing import Any

from mptrec_tf.data.features.base import InputShape

FUSIONS = ("full", "share_only", "specific_only")
ASSIGNMENTS = ("periodic", "online")


@dataclasses.dataclass(frozen=True)
class ModelShape:
    """The shape of a model. The defaults are the paper's for Census-Income.

    Attributes:
      tasks: Names of the tasks to pre-train on, K of them.
      inputs: What is known of the features of each kind, in the order of x.
      embedding_width: int. d_e.
      expert_units: Layers of each expert; the last is H.
      tower_units: Hidden layers of each tower.
      expert_dropout: float. In [0, 1).
      tower_dropout: float. In [0, 1).
      l2_embedding: float. Of the embeddings.
      l2_embedding_over: "table" or "batch", see `PackedEmbedding`.
      l2_dense: float. Of the weights of experts and towers.
    """

    tasks: tuple[str, ...]
    inputs: tuple[InputShape, ...]
    embedding_width: int = 4
    expert_units: tuple[int, ...] = (256, 128)
    tower_units: tuple[int, ...] = (64, 32)
    expert_dropout: float = 0.0
    tower_dropout: float = 0.0
    l2_embedding: float = 0.006
    l2_embedding_over: str = "table"
    l2_dense: float = 3e-5

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("tasks should name at least one task. Received none.")

    @property
    def width(self) -> int:
        """H, the width of the representations."""
        return self.expert_units[-1]


# Fields of a shape that the tasks and the data decide.
_OF_DATA = ("tasks", "inputs")


def free_fields(shape: ModelShape) -> dict[str, Any]:
    """Returns the fields of a shape that do not follow from tasks and data, for another model's."""
    return {
        field.name: getattr(shape, field.name)
        for field in dataclasses.fields(shape)
        if field.name not in _OF_DATA
    }


@dataclasses.dataclass(frozen=True)
class MPTRecShape(ModelShape):
    """The shape of MPT-Rec's stage 1.

    Attributes:
      fusion: What towers see: "full", or an ablation of the paper: "share_only" (f_k = h_0),
        "specific_only" (f_k = s_k).
    """

    fusion: str = "full"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion should be one of {FUSIONS}. Received: {self.fusion!r}.")


@dataclasses.dataclass(frozen=True)
class PlainLosses:
    """The sum of the tasks' losses, with nothing to weigh."""


@dataclasses.dataclass(frozen=True)
class MPTRecLosses:
    """How stage 1 of MPT-Rec weighs its losses. The defaults are the paper's.

    Attributes:
      gen_weight: float. Of the losses of g_k, the predictions from what is shared.
      adversarial_weight: float. Of the discriminator's loss; 0 is the ablation "no adversary".
      assignment: "periodic": one environment per training row, renewed every `cluster_every`
        epochs. "online": from the step's own losses; no state, for streams.
      cluster_every: int. Epochs between renewals.
      normalize_losses: bool. Rank each task's losses before they are compared.
    """

    gen_weight: float = 0.9
    adversarial_weight: float = 0.1
    assignment: str = "periodic"
    cluster_every: int = 2
    normalize_losses: bool = False

    def __post_init__(self) -> None:
        if self.assignment not in ASSIGNMENTS:
            raise ValueError(
                f"assignment should be one of {ASSIGNMENTS}. Received: {self.assignment!r}."
            )
        if self.cluster_every < 1:
            raise ValueError(f"cluster_every should be 1 or more. Received: {self.cluster_every}.")
