"""The shapes of models, and the weights of their losses: plain data.

Imports no TensorFlow, as programs' flags take their defaults, choices and help from here.
"""

import dataclasses
from typing import Any

from mptrec_tf.data.features.base import InputShape
from mptrec_tf.layers.choices import L2_OVER
from mptrec_tf.settings import setting

FUSIONS = ("full", "share_only", "specific_only")
ASSIGNMENTS = ("periodic", "online")


@dataclasses.dataclass(frozen=True)
class ModelShape:
    """The shape of a model. The defaults are the paper's for Census-Income.

    Attributes:
      tasks: Names of the tasks to pre-train on, K of them.
      inputs: The sizes of the features of each kind, in the order of x.
      embedding_width: int. d_e.
      expert_units: Layers of each expert; the last is H.
      tower_units: Hidden layers of each tower.
      expert_dropout: float. In [0, 1).
      tower_dropout: float. In [0, 1).
      l2_embedding: float. L2 of the embeddings.
      l2_embedding_over: "table" or "batch", see `PackedEmbedding`.
      l2_dense: float. L2 of the weights of experts and towers.

    Example:
      >>> shape = ModelShape(("click", "like"), (InputShape("categorical", 5, rows=1000),))
      >>> shape.width
      128
    """

    tasks: tuple[str, ...]
    inputs: tuple[InputShape, ...]
    embedding_width: int = setting(4, "Width of each categorical feature's embedding.", low=1)
    expert_units: tuple[int, ...] = setting(
        (256, 128), "Layers of each expert; the last is the representations' width."
    )
    tower_units: tuple[int, ...] = setting((64, 32), "Hidden layers of a tower.")
    expert_dropout: float = setting(0.0, "In experts.", low=0.0, high=0.99)
    tower_dropout: float = setting(0.0, "In towers.", low=0.0, high=0.99)
    l2_embedding: float = setting(0.006, "L2 of the embeddings.", low=0.0)
    l2_embedding_over: str = setting(
        "table",
        "Whose norm that is: the whole table's (the paper's), or of the rows a batch reads, for "
        "tables too large to touch in every step.",
        choices=L2_OVER,
    )
    l2_dense: float = setting(3e-5, "L2 of the weights of experts and towers.", low=0.0)

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("tasks should name at least one task. Received none.")

    @property
    def width(self) -> int:
        """H, the width of the representations."""
        return self.expert_units[-1]


# Fields of a shape that follow from the tasks and the data.
OF_DATA = ("tasks", "inputs")


def select_free_fields(shape: ModelShape) -> dict[str, Any]:
    """Returns the fields of a shape that do not follow from tasks and data."""
    return {
        field.name: getattr(shape, field.name)
        for field in dataclasses.fields(shape)
        if field.name not in OF_DATA
    }


@dataclasses.dataclass(frozen=True)
class MPTRecShape(ModelShape):
    """The shape of MPT-Rec's stage 1.

    Attributes:
      fusion: The towers' input f_k: "full" (a_k[0] s_k + a_k[1] h_0), or an ablation of the paper:
        "share_only" (h_0), "specific_only" (s_k).
    """

    fusion: str = setting(
        "full",
        "What towers see; all but the first are the paper's ablations.",
        choices=FUSIONS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion should be one of {FUSIONS}. Received: {self.fusion!r}.")


@dataclasses.dataclass(frozen=True)
class PlainLosses:
    """The unweighted sum of the tasks' losses."""


@dataclasses.dataclass(frozen=True)
class MPTRecLosses:
    """The loss weights of MPT-Rec's stage 1, see `mptrec`. The defaults are the paper's.

    Attributes:
      gen_weight: float. Weight of the losses of g_k, the predictions from h_0 alone.
      adversarial_weight: float. Weight of the discriminator's loss; 0 is the ablation "no
        adversary".
      assignment: "periodic": one environment per training row, updated every `cluster_every`
        epochs. "online": from the step's own losses; no state, for streams.
      cluster_every: int. Epochs between updates.
      normalize_losses: bool. Rank each task's losses before they are compared.
    """

    gen_weight: float = setting(
        0.9, "Weight of the predictions from what is shared alone.", low=0.0
    )
    adversarial_weight: float = setting(
        0.1, "Weight of the discriminator's loss; 0: no adversary.", low=0.0
    )
    assignment: str = setting(
        "periodic",
        "How samples get their environment: one stored per training row and updated every "
        "--cluster_every epochs, or from each step's own losses.",
        choices=ASSIGNMENTS,
    )
    cluster_every: int = setting(2, "Epochs between updates of the environments.", low=1)
    normalize_losses: bool = setting(
        False, "Rank each task's losses first; for tasks with rare positives."
    )

    def __post_init__(self) -> None:
        if self.assignment not in ASSIGNMENTS:
            raise ValueError(
                f"assignment should be one of {ASSIGNMENTS}. Received: {self.assignment!r}."
            )
        if self.cluster_every < 1:
            raise ValueError(f"cluster_every should be 1 or more. Received: {self.cluster_every}.")
