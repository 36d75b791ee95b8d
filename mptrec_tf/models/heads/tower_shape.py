"""A tower on a frozen model as plain data: its shape and its kind.

Imports no TensorFlow.
"""

import dataclasses

from mptrec_tf.models.heads.kind import HeadKind
from mptrec_tf.models.heads.shape_fields import l2_dense, tower_dropout, tower_units


@dataclasses.dataclass(frozen=True)
class TowerConfig:
    """The shape of a tower on a frozen model.

    Attributes:
      tower_units: Hidden layers of the tower.
      tower_dropout: float. Dropout of the input of every layer, in [0, 1).
      l2_dense: float. L2 of the tower's weights.
    """

    tower_units: tuple[int, ...] = tower_units()
    tower_dropout: float = tower_dropout()
    l2_dense: float = l2_dense()


# It fits every model. "auto" tries it only where no head that reads more of the model fits.
KINDS = {"tower": HeadKind(TowerConfig, "mptrec_tf.models.heads.tower:TowerHead", stand_in=True)}
