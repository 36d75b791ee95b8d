"""A head that spends the query's parameters on a small expert of its own.

    s = mean_k(h^_k) * p_n
    z = g_1 s + g_2 h^_0,                g = softmax(x^ W_g)
    r = relu(x^ A + a)                   the residual expert: what the frozen ones leave out
    logit = tower([z, r, l^]) + sum over features of w[id]

x, h_0, h_1 .. h_K, the ids and the old tasks' logits l come from the frozen backbone; ^ means
standardised by the backbone's own statistics, see `Standardized`.
"""

import dataclasses

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import FAN_IN_UNIFORM, ExpertBank, TowerBank
from mptrec_tf.layers.gates import GateBank, fuse
from mptrec_tf.layers.prompts import TaskPrompts
from mptrec_tf.layers.statistics import IdWeights
from mptrec_tf.models.configurations import ResidualConfig
from mptrec_tf.models.encoded import HeadInputs
from mptrec_tf.models.heads import HeadOutputs


@keras.utils.register_keras_serializable("mptrec_tf")
class ResidualHead(keras.layers.Layer):
    """A new task on a frozen backbone, with an expert of its own.

    Args:
      config: The shape.
      input_width: int. D, the width of x.
      width: int. H, the width of the representations.
      old_tasks: int. K.
    """

    def __init__(
        self, config: ResidualConfig, input_width: int, width: int, old_tasks: int, **kwargs
    ):
        super().__init__(**kwargs)
        self.config = config
        self.input_width = input_width
        self.width = width
        self.old_tasks = old_tasks
        self.prompt = TaskPrompts(1, name="prompt")
        self.gate = GateBank(1, FAN_IN_UNIFORM, name="gate")
        self.expert = ExpertBank(
            1, (config.expert_units,), 0.0, config.l2_dense, FAN_IN_UNIFORM, name="expert"
        )
        self.tower = TowerBank(
            1,
            config.tower_units,
            config.tower_dropout,
            config.l2_dense,
            FAN_IN_UNIFORM,
            input_dropout=True,
            name="tower",
        )
        self.prompt.build((None, None, width))
        self.gate.build((None, input_width))
        self.expert.build((None, input_width))
        self.tower.build((None, None, width + config.expert_units + old_tasks))
        if config.id_ranges:
            self.ids = IdWeights(config.id_ranges, name="ids")
            self.ids.build((None, None))
        self.built = True

    def call(self, inputs: HeadInputs, training: bool | None = None) -> HeadOutputs:
        """Returns the head's outputs.

        Args:
          inputs: What the frozen model makes of a batch; ids and standardised values are read.
          training: Whether to drop units.
        """
        x, shared, specific, logits = inputs.standard
        gate = self.gate(x)
        fused = fuse(gate, self.prompt(specific[None]), shared)
        logit = self.tower(
            tf.concat([fused, self.expert(x), logits[None]], axis=2), training=training
        )[0]
        if self.config.id_ranges:
            logit += self.ids(inputs.ids)
        even = tf.fill([tf.shape(x)[0], self.old_tasks], 1 / self.old_tasks)
        return HeadOutputs(logit, even, gate[0])

    def rescale(self, scale: float, shift: float) -> None:
        """Changes the weights so that the logit becomes `scale * logit + shift`."""
        self.tower.rescale([scale], [shift])
        if self.config.id_ranges:
            self.ids.id_weights.assign(scale * self.ids.id_weights)

    def get_config(self) -> dict:
        """The constructor's arguments."""
        return super().get_config() | {
            "config": dataclasses.asdict(self.config),
            "input_width": self.input_width,
            "width": self.width,
            "old_tasks": self.old_tasks,
        }

    @classmethod
    def from_config(cls, config: dict) -> "ResidualHead":
        """Makes a head of the shape that `get_config` returned."""
        raw = dict(config["config"])
        raw["tower_units"] = tuple(raw["tower_units"])
        raw["id_ranges"] = tuple(map(tuple, raw["id_ranges"]))
        return cls(**(config | {"config": ResidualConfig(**raw)}))
