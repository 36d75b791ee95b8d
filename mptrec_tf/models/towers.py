"""What models whose tasks have a tower each share."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from mptrec_tf.layers.banks import TowerBank
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.shapes import ModelShape


class TowerOutputs(NamedTuple):
    """The outputs of towers for a batch.

    Attributes:
      logits: [L, B].
    """

    logits: tf.Tensor


def make_towers(shape: ModelShape) -> TowerBank:
    """Returns the towers of a model's own tasks."""
    return TowerBank(
        len(shape.tasks),
        shape.tower_units,
        shape.tower_dropout,
        shape.l2_dense,
        logits=shape.task_logits,
        name="towers",
    )


class TowerModel(MultiTaskModel):
    """A model whose towers read the tasks' specific representations.

    A subclass sets `towers` to `make_towers(shape)`.
    """

    towers: TowerBank

    def predict_tasks(self, encoded: Encoded, training: bool | None = None) -> TowerOutputs:
        """Returns each tower's outputs for its own task's representation."""
        return TowerOutputs(self.towers(encoded.specific, training=training))

    def rescale(self, scale: Sequence[float], shift: Sequence[float]) -> None:
        """Rescales the towers so that each logit becomes `scale * logit + shift`."""
        self.towers.rescale(scale, shift)
