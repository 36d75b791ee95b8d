"""The backbone: features to representations once, and the tasks it was pre-trained on.

    h_0, h_1 .. h_K = experts(x)          shared and specific representations
    s_k = h_k * p_k                       task-aware (task prompts)
    f_k = a_k[0] s_k + a_k[1] h_0         fused (gates)
    q_k = sigmoid(T_k(f_k))               prediction of task k (towers)

The symbols are those of the paper (Bai et al., TOIS 2025). A backbone also knows the means and
deviations of all that it says of its training rows: heads read it standardised.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from mptrec_tf.data.packed import CATEGORICAL, NUMERIC
from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import ExpertBank, TowerBank
from mptrec_tf.layers.embedding import PackedEmbedding
from mptrec_tf.layers.gates import GateBank, fuse
from mptrec_tf.layers.prompts import TaskPrompts
from mptrec_tf.layers.statistics import Standardize
from mptrec_tf.models.configurations import BackboneConfig

# Standardised features and logits are cut there.
LIMIT = 5.0


class Standardized(NamedTuple):
    """What the backbone makes of a batch, standardised: 0 is the mean of its training rows.

    Attributes:
      x: [B, D]. In [-LIMIT, LIMIT].
      shared: [B, H]. h^_0.
      specific: [B, H]. The mean over the pre-trained tasks of h^_1 .. h^_K.
      logits: [B, K]. In [-LIMIT, LIMIT].
    """

    x: tf.Tensor
    shared: tf.Tensor
    specific: tf.Tensor
    logits: tf.Tensor


class Encoded(NamedTuple):
    """What the backbone makes of a batch: all that tasks read.

    Attributes:
      x: [B, D]. Embedded and concatenated features.
      shared: [B, H]. h_0.
      specific: [K, B, H]. h_1 .. h_K.
      ids: Optional [B, F]. The packed ids.
      logits: Optional [K, B]. What the pre-trained tasks say; `Backbone.with_logits` adds them.
      standard: Optional. All of these standardised; `Backbone.complete` adds them.
    """

    x: tf.Tensor
    shared: tf.Tensor
    specific: tf.Tensor
    ids: tf.Tensor | None = None
    logits: tf.Tensor | None = None
    standard: Standardized | None = None


class TaskOutputs(NamedTuple):
    """What the pre-trained tasks say of a batch.

    Attributes:
      logits: [K, B]. Of q_k, the predictions.
      shared_logits: [K, B]. Of g_k, each tower on h_0 alone.
      gates: [K, B, 2]. Weights of (specific, shared).
    """

    logits: tf.Tensor
    shared_logits: tf.Tensor
    gates: tf.Tensor


@keras.utils.register_keras_serializable("mptrec_tf")
class Backbone(keras.Model):
    """Embedding, experts, and prompts, gates and towers of the pre-trained tasks.

    `trainable` is the one toggle between stage 1 and a frozen backbone.

    Args:
      config: The shape.
    """

    def __init__(self, config: BackboneConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        count = len(config.tasks)
        if config.categorical_features:
            self.embedding = PackedEmbedding(
                config.embedding_rows,
                config.embedding_width,
                config.l2_embedding,
                config.l2_embedding_over,
                name="embedding",
            )
        self.experts = ExpertBank(
            1 + count, config.expert_units, config.expert_dropout, config.l2_dense, name="experts"
        )
        self.prompts = TaskPrompts(count, name="prompts")
        self.gates = GateBank(count, name="gates")
        self.towers = TowerBank(
            count, config.tower_units, config.tower_dropout, config.l2_dense, name="towers"
        )
        self.standard_x = Standardize(1e-6, LIMIT, name="standard_x")
        self.standard_shared = Standardize(1e-4, name="standard_shared")
        self.standard_specific = Standardize(1e-4, name="standard_specific")
        self.standard_logits = Standardize(1e-6, LIMIT, name="standard_logits")
        self.standard_x.build((None, config.input_width))
        self.standard_shared.build((None, config.width))
        self.standard_specific.build((count, None, config.width))
        self.standard_logits.build((count, None))
        # Made at once, so that weights can be listed and loaded before any data are seen.
        self({k: tf.zeros(shape, dtype) for k, (shape, dtype) in self._inputs(1).items()})

    def _inputs(self, batch: int | None):
        c = self.config
        inputs = {}
        if c.categorical_features:
            inputs[CATEGORICAL] = ((batch, c.categorical_features), tf.int64)
        if c.numeric_features:
            inputs[NUMERIC] = ((batch, c.numeric_features), tf.float32)
        return inputs

    def encode(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Encoded:
        """Returns the representations of packed features.

        Args:
          features: `categorical` [B, F] and `numeric` [B, N], those of them that there are.
          training: Whether to drop units.
        """
        parts = []
        if self.config.categorical_features:
            parts.append(self.embedding(features[CATEGORICAL]))
        if self.config.numeric_features:
            parts.append(features[NUMERIC])
        x = tf.concat(parts, axis=1)
        h = self.experts(x, training=training)
        return Encoded(x, h[0], h[1:], features.get(CATEGORICAL))

    def with_logits(self, encoded: Encoded) -> Encoded:
        """Adds what the pre-trained tasks say."""
        return encoded._replace(logits=self.predict_tasks(encoded).logits)

    def complete(self, encoded: Encoded) -> Encoded:
        """Adds what heads read and `encode` leaves out: logits, and all of it standardised."""
        if encoded.logits is None:
            encoded = self.with_logits(encoded)
        standard = Standardized(
            self.standard_x(encoded.x),
            self.standard_shared(encoded.shared),
            tf.reduce_mean(self.standard_specific(encoded.specific), axis=0),
            tf.transpose(self.standard_logits(encoded.logits)),
        )
        return encoded._replace(standard=standard)

    def set_statistics(self, mean: Encoded, deviation: Encoded) -> None:
        """Takes the means and deviations of what the backbone says of its training rows.

        They are weights that no optimizer changes, and part of the fingerprint.

        Args:
          mean: x [D], shared [H], specific [K, H] and logits [K], NumPy arrays.
          deviation: Likewise.
        """
        for of in ("x", "shared", "specific", "logits"):
            layer = getattr(self, f"standard_{of}")
            layer.set_statistics(getattr(mean, of), getattr(deviation, of))

    def predict_tasks(self, encoded: Encoded, training: bool | None = None) -> TaskOutputs:
        """Returns what the pre-trained tasks make of the representations."""
        shared = tf.broadcast_to(encoded.shared, tf.shape(encoded.specific))
        gates = self.gates(encoded.x)
        aware = self.prompts(encoded.specific)
        if self.config.fusion == "share_only":
            fused = shared
        elif self.config.fusion == "specific_only":
            fused = aware
        else:
            fused = fuse(gates, aware, encoded.shared)
        # One product serves both predictions of a tower.
        logits, shared_logits = tf.split(
            self.towers(tf.concat([fused, shared], axis=1), training=training), 2, axis=1
        )
        return TaskOutputs(logits, shared_logits, gates)

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns the probabilities [B, K] of the pre-trained tasks."""
        outputs = self.predict_tasks(self.encode(features, training), training)
        return tf.sigmoid(tf.transpose(outputs.logits))

    @property
    def parameters(self) -> list[tf.Variable]:
        """All that stage 1 trains, frozen or not."""
        fixed = {id(weight) for weight in fixed_weights(self)}
        return [weight for weight in self.weights if id(weight) not in fixed]

    def named_weights(self) -> dict[str, tf.Variable]:
        """All weights under names that do not depend on how the model was made."""
        return named_weights(self)

    def get_config(self) -> dict:
        """The configuration."""
        return {"config": dataclasses.asdict(self.config)}

    @classmethod
    def from_config(cls, config: dict, custom_objects: Mapping | None = None) -> "Backbone":
        """Makes a backbone of the shape that `get_config` returned."""
        return cls(BackboneConfig.from_json(json.dumps(config["config"])))


def fixed_weights(module: tf.Module) -> list[tf.Variable]:
    """What is stored with a model's trained weights and is none of them: its statistics."""
    return [weight for layer in module.submodules for weight in getattr(layer, "fixed_weights", ())]


def named_weights(module: keras.layers.Layer) -> dict[str, tf.Variable]:
    """Weights of a model of single-level layers, as "layer/weight" in order.

    Raises:
      ValueError: if two weights have one name.
    """
    named = {}
    for layer in module.submodules:
        fixed = getattr(layer, "fixed_weights", ())
        for weight in (*getattr(layer, "_trainable_weights", ()), *fixed):
            name = f"{layer.name}/{weight.name.split('/')[-1].split(':')[0]}"
            if name in named:
                raise ValueError(f"two weights should not share a name. Received: {name!r}.")
            named[name] = weight
    return dict(sorted(named.items()))
