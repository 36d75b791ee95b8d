"""A tower on a frozen model, the head that fits every model.

    logit = T_n([x^, h^])

x^ and h^ come from the frozen model, standardised by its own statistics, see `Standardized`. h^ is
the mean of the shared representations, or of the specific ones if the model has no shared ones.
"""

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.models.encoded import HeadInputs, Layout
from mptrec_tf.models.heads.base import HeadOutputs
from mptrec_tf.models.heads.tower_shape import TowerConfig
from mptrec_tf.models.heads.with_tower import HeadWithTower


@keras.utils.register_keras_serializable("mptrec_tf")
class TowerHead(HeadWithTower):
    """A new task on a frozen model, with a tower alone.

    Args:
      config: The shape.
      layout: The sizes of what the model computes for a row.

    Example:
      >>> layout = Layout(input_width=20, shared=1, specific=0, width=128, tasks=2, ids=5)
      >>> head = TowerHead(TowerConfig(tower_units=(64,)), layout)
      >>> head.tower.kernels[0].shape  # x^ and h^ in
      TensorShape([1, 148, 64])
    """

    shape_class = TowerConfig

    def __init__(self, config: TowerConfig, layout: Layout, **kwargs):
        super().__init__(config, layout, **kwargs)
        self.tower = self.make_tower(input_dropout=True)
        self.tower.build((None, None, layout.input_width + layout.width))
        self.built = True

    def call(self, inputs: HeadInputs, training: bool | None = None) -> HeadOutputs:
        """Returns the head's outputs, with an empty report.

        Args:
          inputs: The frozen model's values for a batch; reads the standardised ones.
          training: Whether to drop units.
        """
        x, shared, specific, _ = inputs.standard
        h = shared if self.layout.shared else specific
        logits = self.predict_logits(tf.concat([x, h], axis=1)[tf.newaxis], training)
        return HeadOutputs(logits, {})
