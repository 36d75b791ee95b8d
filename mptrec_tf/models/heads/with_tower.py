"""What heads that end in a tower share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mptrec_tf.layers.banks import TowerBank
from mptrec_tf.models.heads.base import Head


class HeadWithTower(Head):
    """A head whose last layers are a tower.

    A subclass sets `tower` to what `make_tower` returns, and builds it.
    """

    tower: TowerBank

    def make_tower(self, **settings: Any) -> TowerBank:
        """Returns a tower of the head's shape and number of logits, not built.

        Args:
          **settings: Other arguments of `TowerBank`.
        """
        config = self.config
        sizes = config.tower_units, config.tower_dropout, config.l2_dense
        return TowerBank(1, *sizes, logits=(self.logits,), name="tower", **settings)

    def predict_logits(self, h: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the tower's logits of representations [1, B, H]: [B], or [n, B] of several."""
        logits = self.tower(h, training=training)
        return logits[0] if self.logits == 1 else logits

    def rescale(self, scale: float | Sequence[float], shift: float | Sequence[float]) -> None:
        """Rescales the weights so that each logit becomes `scale * logit + shift`."""
        self.tower.rescale(*(np.broadcast_to(by, self.logits) for by in (scale, shift)))
