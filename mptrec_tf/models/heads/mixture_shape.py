"""Gate and tower on frozen experts as plain data: the shape, and its two kinds.

Imports no TensorFlow.
"""

import dataclasses

from mptrec_tf.models.heads.kind import HeadKind
from mptrec_tf.models.heads.shape_fields import l2_dense, tower_dropout, tower_units
from mptrec_tf.settings import setting


@dataclasses.dataclass(frozen=True)
class MixtureConfig:
    """The shape of a gate and a tower on frozen experts.

    Attributes:
      own_expert: bool. Whether the task has an expert of its own beside the frozen ones.
      own_units: Hidden layers of that expert; its last layer has the representations' width.
      tower_units: Hidden layers of the tower.
      tower_dropout: float. In [0, 1).
      l2_dense: float. L2 of the weights of expert and tower.
    """

    own_expert: bool = False
    own_units: tuple[int, ...] = setting(
        (256,), "own_expert: hidden layers of the new task's own expert."
    )
    tower_units: tuple[int, ...] = tower_units()
    tower_dropout: float = tower_dropout()
    l2_dense: float = l2_dense()


# What MMoE and PLE give a new task, to compare with; "auto" has heads that read more.
_GATE_TOWER = HeadKind(
    MixtureConfig,
    "mptrec_tf.models.heads.mixture:MixtureHead",
    reads=frozenset({"shared"}),
    candidate=False,
)
# By name.
KINDS = {
    "gate_tower": _GATE_TOWER,
    "own_expert": dataclasses.replace(_GATE_TOWER, fields={"own_expert": True}),
}
