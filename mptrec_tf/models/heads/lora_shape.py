"""Low-rank changes of frozen experts as plain data: the shape and its kind.

Imports no TensorFlow.
"""

import dataclasses

from mptrec_tf.models.heads.kind import HeadKind
from mptrec_tf.models.heads.shape_fields import l2_dense, tower_dropout, tower_units
from mptrec_tf.settings import setting


@dataclasses.dataclass(frozen=True)
class LoRAConfig:
    """The shape of a head that changes frozen experts.

    Attributes:
      rank: int. r, the rank of the changes. 0: the largest with which the head has no more
        parameters than a residual head, without the latter's weights of single ids.
      tower_units: Hidden layers of the tower.
      tower_dropout: float. In [0, 1).
      l2_dense: float. L2 of the weights of the tower.
    """

    rank: int = setting(
        0,
        "lora: rank of the changes of the experts' layers; 0: the largest with no more parameters "
        "than head residual.",
        low=0,
    )
    tower_units: tuple[int, ...] = tower_units()
    tower_dropout: float = tower_dropout()
    l2_dense: float = l2_dense()


# By name. A rival to compare with: see docs/models.md.
KINDS = {
    "lora": HeadKind(
        LoRAConfig,
        "mptrec_tf.models.heads.lora:LoRAHead",
        reads=frozenset({"experts"}),
        candidate=False,
    )
}
