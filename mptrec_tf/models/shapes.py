"""The shapes of models, and the weights of their losses: plain data.

Imports no TensorFlow, as programs' flags take their defaults, choices and help from here.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.errors import InputError
from mptrec_tf.layers.choices import L2_OVER
from mptrec_tf.models.loss_weights import EQUAL
from mptrec_tf.settings import setting
from mptrec_tf.storage.plain import ADDED, added

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
      task_logits: How many logits each task has; empty if each has one.

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
        "Whose norm that is: the whole table's (the paper's), or of the rows a batch reads, which "
        "alone Adam changes then: for tables too large to touch in every step.",
        choices=L2_OVER,
    )
    l2_dense: float = setting(3e-5, "L2 of the weights of experts and towers.", low=0.0)
    task_logits: tuple[int, ...] = added((), kw_only=True)

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("tasks should name at least one task. Received none.")
        if set(self.task_logits) == {1}:
            object.__setattr__(self, "task_logits", ())
        if self.task_logits and len(self.task_logits) != len(self.tasks):
            raise ValueError(
                f"task_logits should be a number for each of {len(self.tasks)} tasks. "
                f"Received: {self.task_logits}."
            )

    @property
    def logits(self) -> int:
        """L, the number of logits of all tasks."""
        return sum(self.task_logits) or len(self.tasks)

    @property
    def width(self) -> int:
        """H, the width of the representations."""
        return self.expert_units[-1]


# Fields of a shape that follow from the tasks and the data.
OF_DATA = ("tasks", "inputs", "task_logits")


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
class MMoEShape(ModelShape):
    """The shape of MMoE.

    Attributes:
      expert_count: int. E, the number of experts; 0: one more than there are tasks.
    """

    expert_count: int = setting(
        0, "Experts that all tasks share; 0: one more than there are tasks.", low=0
    )

    @property
    def experts(self) -> int:
        """E."""
        return self.expert_count or len(self.tasks) + 1


@dataclasses.dataclass(frozen=True)
class PLEShape(ModelShape):
    """The shape of PLE.

    Attributes:
      levels: int. Extraction networks, one on the other; 1 is CGC.
      shared_experts: int. m_s, of each level.
      specific_experts: int. m_k, of each level and task.
    """

    levels: int = setting(1, "Levels of experts and gates; 1 is CGC.", low=1)
    shared_experts: int = setting(1, "Experts of each level that all tasks share.", low=1)
    specific_experts: int = setting(1, "Experts of each level and task.", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("levels", "shared_experts", "specific_experts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} should be 1 or more. Received: {getattr(self, name)}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlainLosses:
    """The sum of the tasks' losses.

    Attributes:
      loss_weights: What each task's loss is multiplied by, see `loss_weights`: "equal", a name
        in `LOSS_WEIGHTS`, or a number for each task by commas.
      of_workers: Values where workers read their rows from files, unless others are given.
    """

    of_workers: ClassVar[Mapping[str, Any]] = {}

    loss_weights: str = setting(
        EQUAL,
        "What each task's loss counts: numbers by commas, in the order of --tasks, such as 1,0.5; "
        "or equal, uncertainty, dwa, pcgrad.",
        more=ADDED,
    )


@dataclasses.dataclass(frozen=True)
class MPTRecLosses(PlainLosses):
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

    of_workers: ClassVar[Mapping[str, Any]] = {"assignment": "online"}

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


@dataclasses.dataclass(frozen=True)
class AITMLosses(PlainLosses):
    """The loss weights of AITM. The default is the paper's.

    Attributes:
      constraint_weight: float. Weight of the calibrator, which expects of no row that a task is
        likelier than the one before it; 0 where tasks are no steps of one way.
    """

    constraint_weight: float = setting(
        0.6,
        "Weight of the term that expects each task to be no likelier than the one before it in "
        "--tasks; 0 where tasks are no sequence such as click, buy.",
        low=0.0,
    )


@dataclasses.dataclass(frozen=True)
class SparseSharingLosses(PlainLosses):
    """How Sparse-Sharing finds its subnets, before it is trained.

    Attributes:
      prune_rounds: int. Trainings of each task alone, each on the subnet that is left; the first is
        on the whole network.
      prune_epochs: int. Epochs of each.
      prune_share: float. The share of the weights left that each round removes.
    """

    prune_rounds: int = setting(
        5, "Trainings that find the tasks' subnets; each but the first is on a smaller one.", low=1
    )
    prune_epochs: int = setting(1, "Epochs of each of them.", low=1)
    prune_share: float = setting(
        0.2, "Share of the weights left that each of them removes.", low=0.01, high=0.99
    )


@dataclasses.dataclass(frozen=True)
class CSRecLosses(SparseSharingLosses):
    """How CSRec finds its subnets; it joins the tasks' gradients itself.

    Raises:
      InputError: for a way to weigh losses that does so, too.
    """

    def __post_init__(self) -> None:
        if self.loss_weights == "pcgrad":
            raise InputError(
                "csrec decides by contrast which task changes a weight, so that it cannot have "
                f"loss_weights {self.loss_weights!r}; give numbers, equal, uncertainty or dwa."
            )
