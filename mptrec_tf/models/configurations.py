"""What models and heads can be told, and what holds where they are not: plain data.

Imports no TensorFlow, as programs' flags take their defaults and choices from here.
"""

import dataclasses
import json

from mptrec_tf.models.head_names import ATTENTIONS, KINDS

FUSIONS = ("full", "share_only", "specific_only")
ASSIGNMENTS = ("periodic", "online")
# A feature with more ids than this has no weight for each of them.
MOST_IDS = 256


@dataclasses.dataclass(frozen=True)
class BackboneConfig:
    """The shape of a backbone. The defaults are the paper's for Census-Income.

    Attributes:
      tasks: Names of the tasks to pre-train on, K of them.
      embedding_rows: int. Ids of all categorical features together.
      categorical_features: int. F.
      numeric_features: int. N.
      embedding_width: int. d_e.
      expert_units: Layers of each expert; the last is H.
      tower_units: Hidden layers of each tower.
      expert_dropout: float. In [0, 1).
      tower_dropout: float. In [0, 1).
      l2_embedding: float. Of the embeddings.
      l2_embedding_over: "table" or "batch", see `PackedEmbedding`.
      l2_dense: float. Of the weights of experts and towers.
      fusion: "full", or an ablation: "share_only" (f_k = h_0), "specific_only" (f_k = s_k).
    """

    tasks: tuple[str, ...]
    embedding_rows: int
    categorical_features: int
    numeric_features: int
    embedding_width: int = 4
    expert_units: tuple[int, ...] = (256, 128)
    tower_units: tuple[int, ...] = (64, 32)
    expert_dropout: float = 0.0
    tower_dropout: float = 0.0
    l2_embedding: float = 0.006
    l2_embedding_over: str = "table"
    l2_dense: float = 3e-5
    fusion: str = "full"

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("tasks should name at least one task. Received none.")
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion should be one of {FUSIONS}. Received: {self.fusion!r}.")

    @property
    def input_width(self) -> int:
        """D, the width of x."""
        return self.categorical_features * self.embedding_width + self.numeric_features

    @property
    def width(self) -> int:
        """H, the width of the representations."""
        return self.expert_units[-1]

    def to_json(self) -> str:
        """The configuration as JSON, which `from_json` reads."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "BackboneConfig":
        """Reads what `to_json` wrote."""
        raw = json.loads(text)
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()})


@dataclasses.dataclass(frozen=True)
class PretrainingConfig:
    """How stage 1 weighs its losses. The defaults are the paper's.

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


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """The shape of a new task's head. The defaults are the paper's for Census-Income.

    Attributes:
      attention: How w is set. "prompt": by the instance's query. "fixed": w_k = 1/K.
        "task_similarity": w = softmax_k(p_n . p_k / tau).
      tau: float. Temperature of the attention.
      kl_weight: float. Adds kl_weight * KL(w || uniform), which keeps a badly pre-trained
        backbone from misleading the attention.
      tower_units: Hidden layers of the tower.
      tower_dropout: float. In [0, 1).
      l2_dense: float. Of the weights of the tower.
    """

    attention: str = "prompt"
    tau: float = 150.0
    kl_weight: float = 0.0
    tower_units: tuple[int, ...] = (64, 32)
    tower_dropout: float = 0.0
    l2_dense: float = 3e-5

    def __post_init__(self) -> None:
        if self.attention not in ATTENTIONS:
            raise ValueError(
                f"attention should be one of {ATTENTIONS}. Received: {self.attention!r}."
            )
        if self.tau <= 0:
            raise ValueError(f"tau should be positive. Received: {self.tau}.")


@dataclasses.dataclass(frozen=True)
class ResidualConfig:
    """The shape of a residual head.

    Attributes:
      expert_units: int. m, the width of the residual expert.
      tower_units: Hidden layers of the tower.
      tower_dropout: float. Of the input of every layer of the tower, in [0, 1).
      l2_dense: float. Of the weights of expert and tower.
      id_ranges: (column, first id, number of ids) of each feature whose ids have a weight, see
        `IdWeights`. Features of at most `MOST_IDS` ids.
    """

    expert_units: int = 48
    tower_units: tuple[int, ...] = (64, 32)
    tower_dropout: float = 0.2
    l2_dense: float = 3e-5
    id_ranges: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        if any(len(r) != 3 or r[2] > MOST_IDS for r in self.id_ranges):
            raise ValueError(
                "id_ranges should be (column, first, count) of at most "
                f"{MOST_IDS} ids each. Received: {self.id_ranges}."
            )


AnyConfig = HeadConfig | ResidualConfig


def head_config(kind: str, id_ranges: tuple[tuple[int, int, int], ...] = ()) -> AnyConfig:
    """Returns the shape of a kind of head.

    Args:
      kind: One of `KINDS`.
      id_ranges: Where the ids of the backbone's small features are, see `ResidualConfig`.

    Raises:
      ValueError: for an unknown kind.
    """
    if kind in ATTENTIONS:
        return HeadConfig(kind)
    if kind == "residual":
        return ResidualConfig(id_ranges=id_ranges)
    if kind == "residual_small":
        return ResidualConfig(32, (32, 16), 0.1, id_ranges=id_ranges)
    raise ValueError(f"kind should be one of {KINDS}. Received: {kind!r}.")
