"""A head that spends the query's parameters on a small expert of its own.

    s = mean_k(h^_k) * p_n
    z = g_1 s + g_2 h^_0,                g = softmax(x^ W_g)
    r = relu(x^ A + a)                   the residual expert: what the frozen ones leave out
    logit = tower([z, r, l^]) + sum over features of w[id]

x, h_0, h_1 .. h_K, the ids and the old tasks' logits l come from the frozen backbone; ^ means
standardised by fixed statistics of the training rows.
"""

import dataclasses

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import FAN_IN_UNIFORM, ExpertBank, TowerBank
from mptrec_tf.layers.gates import GateBank, fuse
from mptrec_tf.layers.prompts import TaskPrompts
from mptrec_tf.layers.statistics import IdWeights, Standardize
from mptrec_tf.models.backbone import Encoded
from mptrec_tf.models.heads import HeadOutputs

# A feature with more ids than this has no weight for each of them.
MOST_IDS = 256
# Standardised values are cut there.
X_LIMIT = LOGITS_LIMIT = 5.0


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
        self.standard_x = Standardize(1e-6, X_LIMIT, name="standard_x")
        self.standard_shared = Standardize(1e-4, name="standard_shared")
        self.standard_specific = Standardize(1e-4, name="standard_specific")
        self.standard_logits = Standardize(1e-6, LOGITS_LIMIT, name="standard_logits")
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
        self.standard_x.build((None, input_width))
        self.standard_shared.build((None, width))
        self.standard_specific.build((old_tasks, None, width))
        self.standard_logits.build((old_tasks, None))
        self.prompt.build((None, None, width))
        self.gate.build((None, input_width))
        self.expert.build((None, input_width))
        self.tower.build((None, None, width + config.expert_units + old_tasks))
        if config.id_ranges:
            self.ids = IdWeights(config.id_ranges, name="ids")
            self.ids.build((None, None))
        self.built = True

    def set_statistics(self, mean: Encoded, deviation: Encoded) -> None:
        """Takes the means and deviations of what the backbone says of the training rows.

        Args:
          mean: x [D], shared [H], specific [K, H] and logits [K], NumPy arrays.
          deviation: Likewise.
        """
        self.standard_x.set_statistics(mean.x, deviation.x)
        self.standard_shared.set_statistics(mean.shared, deviation.shared)
        self.standard_specific.set_statistics(mean.specific, deviation.specific)
        self.standard_logits.set_statistics(mean.logits, deviation.logits)

    def call(
        self, encoded: Encoded, prompts: tf.Tensor, training: bool | None = None
    ) -> HeadOutputs:
        """Returns the head's outputs.

        Args:
          encoded: The frozen backbone's representations of a batch, ids and logits among them.
          prompts: Not read: every existing task helps alike.
          training: Whether to drop units.
        """
        x = self.standard_x(encoded.x)
        aware = self.prompt(tf.reduce_mean(self.standard_specific(encoded.specific), axis=0)[None])
        gate = self.gate(x)
        fused = fuse(gate, aware, self.standard_shared(encoded.shared))
        residual = self.expert(x)
        logits = tf.transpose(self.standard_logits(encoded.logits))[None]
        logit = self.tower(tf.concat([fused, residual, logits], axis=2), training=training)[0]
        if self.config.id_ranges:
            logit += self.ids(encoded.ids)
        even = tf.fill([tf.shape(x)[0], self.old_tasks], 1 / self.old_tasks)
        return HeadOutputs(logit, even, gate[0])

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
