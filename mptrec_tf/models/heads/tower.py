"""A tower on a frozen model: what every model can give a new task.

    logit = T_n([x^, h^])

x^ and h^, the mean of the shared representations (of the specific ones, where a model has no
shared ones), come from the frozen model, standardised by its own statistics, see `Standardized`.
"""

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import TowerBank
from mptrec_tf.models.encoded import HeadInputs, Layout
from mptrec_tf.models.heads.base import Head, HeadOutputs
from mptrec_tf.models.heads.tower_shape import TowerConfig


@keras.utils.register_keras_serializable("mptrec_tf")
class TowerHead(Head):
    """A new task on a frozen model, by a tower alone.

    Args:
      config: The shape.
      layout: How much the model makes of a row.
    """

    shape_class = TowerConfig

    def __init__(self, config: TowerConfig, layout: Layout, **kwargs):
        super().__init__(config, layout, **kwargs)
        self.tower = TowerBank(
            1,
            config.tower_units,
            config.tower_dropout,
            config.l2_dense,
            input_dropout=True,
            name="tower",
        )
        self.tower.build((None, None, layout.input_width + layout.width))
        self.built = True

    def call(self, inputs: HeadInputs, training: bool | None = None) -> HeadOutputs:
        """Returns the head's outputs; there is nothing to report.

        Args:
          inputs: What the frozen model makes of a batch; standardised values are read.
          training: Whether to drop units.
        """
        x, shared, specific, _ = inputs.standard
        h = shared if self.layout.shared else specific
        logits = self.tower(tf.concat([x, h], axis=1)[tf.newaxis], training=training)
        return HeadOutputs(logits[0], {})

    def rescale(self, scale: float, shift: float) -> None:
        """Changes the weights so that the logit becomes `scale * logit + shift`."""
        self.tower.rescale([scale], [shift])
