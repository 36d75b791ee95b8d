"""The residual head as plain data: its shape, its recipe, and its two kinds, by size.

Imports no TensorFlow.
"""

import dataclasses

from mptrec_tf.models.heads.kind import HeadKind
from mptrec_tf.models.heads.shape_fields import l2_dense, tower_dropout, tower_units

# Features with more ids than this have no weights of single ids.
MOST_IDS = 256
# With fewer informative training rows (for a binary task, of the rarer class) the task's own expert
# would learn noise (docs/results.md).
FEW_LABELS = 100


@dataclasses.dataclass(frozen=True)
class ResidualConfig:
    """The shape of a residual head.

    Attributes:
      expert_units: int. m, the width of the residual expert.
      tower_units: Hidden layers of the tower.
      tower_dropout: float. Dropout of the input of every layer of the tower, in [0, 1).
      l2_dense: float. L2 of the weights of expert and tower.
      id_ranges: (column, first id, number of ids) of each feature whose ids have a weight, see
        `IdWeights`. Features of at most `MOST_IDS` ids.
    """

    expert_units: int = 48
    tower_units: tuple[int, ...] = tower_units()
    tower_dropout: float = tower_dropout(0.2)
    l2_dense: float = l2_dense()
    id_ranges: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        if any(len(r) != 3 or r[2] > MOST_IDS for r in self.id_ranges):
            raise ValueError(
                "id_ranges should be (column, first, count) of at most "
                f"{MOST_IDS} ids each. Received: {self.id_ranges}."
            )


_LARGE = HeadKind(
    ResidualConfig,
    "mptrec_tf.models.heads.residual:ResidualHead",
    "mptrec_tf.models.heads.residual:ResidualBank",
    reads=frozenset({"shared", "specific"}),
    most_ids=MOST_IDS,
    recipe={
        "epochs": 15,
        "patience": 15,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup_steps": 100,
    },
    least_labels=FEW_LABELS,
)
# By name.
KINDS = {
    "residual": _LARGE,
    "residual_small": dataclasses.replace(
        _LARGE, fields={"expert_units": 32, "tower_units": (32, 16), "tower_dropout": 0.1}
    ),
}
