"""What heads can be told, and what holds where they are not: plain data.

Imports no TensorFlow, as programs' flags take their defaults and choices from here.
"""

import dataclasses

from mptrec_tf.models.head_names import ATTENTIONS, KINDS

# A feature with more ids than this has no weight for each of them.
MOST_IDS = 256


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
