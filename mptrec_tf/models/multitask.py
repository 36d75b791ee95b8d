"""What every multi-task model is: packed features to representations once, and its tasks on them.

A kind of model is a subclass of `MultiTaskModel` that says how features become `Encoded` and how
its own tasks read that; a shape (`shapes`), and where its loss is more than the sum of its tasks',
a `Trainer`. Whatever else handles models (training, files, export, evaluation, heads of new tasks)
knows this interface alone.
"""

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import tensorflow as tf

from mptrec_tf.data.features.base import Embedding
from mptrec_tf.data.features.registry import feature_layers, input_width, packed_signature
from mptrec_tf.keras import keras
from mptrec_tf.layers.statistics import Standardize
from mptrec_tf.models.encoded import Encoded, HeadInputs, Layout, Standardized, Statistics
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.weights import collect_fixed_weights, count_parameters, named_weights
from mptrec_tf.storage.plain import from_plain, to_plain

# Standardised features and logits are cut there.
LIMIT = 5.0


class Logits(Protocol):
    """What `predict_tasks` returns: at least this.

    Attributes:
      logits: [K, B]. Each task's kind makes its prediction of them.
    """

    logits: tf.Tensor


class MultiTaskModel(keras.Model, abc.ABC):
    """A model of several tasks; it also knows the statistics of its training rows.

    A subclass sets `kind`, its name in the registry; in `__init__` it calls this class's, makes its
    layers, and then calls `self.finish(shared, specific)`.

    `trainable` is the one toggle between pre-training and a frozen model.

    Args:
      shape: The shape.
      tables: int. How many embeddings each id has.
    """

    kind: ClassVar[str]
    shape_type: ClassVar[type[ModelShape]] = ModelShape

    def __init__(self, shape: ModelShape, tables: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.shape = shape
        width = tables * shape.embedding_width
        self.part_widths = [input_width([of], width) for of in shape.inputs]
        self.input_width = sum(self.part_widths)
        layers = feature_layers(
            shape.inputs, Embedding(width, shape.l2_embedding, shape.l2_embedding_over)
        )
        # By kind of feature; what goes into x as it is has no layer.
        self.embeddings = {kind: layer for kind, layer in layers.items() if layer is not None}

    def finish(self, shared: int, specific: int) -> None:
        """Makes what all models have once a model's own layers are there, and all weights.

        Args:
          shared: S, how many shared representations `encode` returns.
          specific: T, how many specific ones.
        """
        shape = self.shape
        tasks = len(shape.tasks)
        ids = sum(of.columns for of in shape.inputs if of.rows)
        self.layout = Layout(self.input_width, shared, specific, shape.width, tasks, ids)
        self.standard_x = Standardize(1e-6, LIMIT, name="standard_x")
        self.standard_shared = Standardize(1e-4, name="standard_shared")
        self.standard_specific = Standardize(1e-4, name="standard_specific")
        self.standard_logits = Standardize(1e-6, LIMIT, name="standard_logits")
        self.standard_x.build((None, self.input_width))
        self.standard_shared.build((shared, None, shape.width))
        self.standard_specific.build((specific, None, shape.width))
        self.standard_logits.build((tasks, None))
        # Made at once, so that weights can be listed and loaded before any data are seen.
        signature = packed_signature(shape.inputs)
        self({kind: tf.zeros([1, n], dtype) for kind, (n, dtype) in signature.items()})

    @abc.abstractmethod
    def encode(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Encoded:
        """Returns the representations of packed features.

        Args:
          features: Packed tensors [B, n] by kind of feature, see `packed`.
          training: Whether to drop units.
        """

    @abc.abstractmethod
    def predict_tasks(self, encoded: Encoded, training: bool | None = None) -> Logits:
        """Returns what the model's own tasks make of the representations."""

    @abc.abstractmethod
    def rescale(self, scale: Sequence[float], shift: Sequence[float]) -> None:
        """Changes the weights so that each task's logit becomes `scale * logit + shift`, [K] each.

        Representations stay as they are.
        """

    @abc.abstractmethod
    def joint_parameters(self, new_tasks: int = 1) -> int:
        """How many parameters would be trained on the tasks and `new_tasks` more from the start.

        The measure that a new task's parameters are compared with.
        """

    def prompts_of_tasks(self) -> tf.Tensor:
        """Returns the tasks' prompts [P, H]; none, where a model has no prompts."""
        return tf.zeros([0, self.shape.width])

    def report(self, encoded: Encoded, outputs: Logits) -> dict[str, tf.Tensor]:
        """Returns what is worth a look beside the predictions, [B, K] each by name; nothing here.

        Args:
          encoded: What `encode` returned.
          outputs: What `predict_tasks` returned.
        """
        del encoded, outputs
        return {}

    def representations(self, encoded: Encoded) -> dict[str, tf.Tensor]:
        """Returns what the signature `encode` serves.

        Returns:
          `x` [B, D]; where there are any, `shared` [B, H], or [B, S, H] if there are several, and
          `specific` [B, T, H].
        """
        served = {"x": encoded.x}
        if self.layout.shared == 1:
            served["shared"] = encoded.shared[0]
        elif self.layout.shared:
            served["shared"] = tf.transpose(encoded.shared, [1, 0, 2])
        if self.layout.specific:
            served["specific"] = tf.transpose(encoded.specific, [1, 0, 2])
        return served

    def embed(self, features: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns x [B, D], the embedded features and the numbers, and all packed ids [B, F]."""
        parts, ids = [], []
        for of in self.shape.inputs:
            packed = features[of.kind]
            layer = self.embeddings.get(of.kind)
            parts.append(packed if layer is None else layer(packed))
            if of.rows:
                ids.append(packed)
        x = tf.concat(parts, axis=1)
        none = tf.zeros([tf.shape(x)[0], 0], tf.int64)
        return x, tf.cast(tf.concat(ids, axis=1), tf.int64) if ids else none

    def head_inputs(self, encoded: Encoded, logits: tf.Tensor | None = None) -> HeadInputs:
        """Returns what heads read of a batch.

        Args:
          encoded: What `encode` returned.
          logits: [K, B] of the model's own tasks, where they are known already.
        """
        if logits is None:
            logits = self.predict_tasks(encoded).logits
        standard = Standardized(
            self.standard_x(encoded.x),
            _mean(self.standard_shared(encoded.shared)),
            _mean(self.standard_specific(encoded.specific)),
            tf.transpose(self.standard_logits(logits)),
        )
        return HeadInputs(*encoded, self.prompts_of_tasks(), logits, standard)

    def set_statistics(self, statistics: Statistics) -> None:
        """Takes the means and deviations of what the model makes of its training rows.

        They are weights that no optimizer changes, and part of the fingerprint.
        """
        for part, mean, deviation in zip(
            statistics.mean._fields, statistics.mean, statistics.deviation, strict=True
        ):
            getattr(self, f"standard_{part}").set_statistics(mean, deviation)

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns the logits [B, K] of the model's own tasks."""
        return tf.transpose(self.predict_tasks(self.encode(features, training), training).logits)

    @property
    def parameters(self) -> list[tf.Variable]:
        """All that pre-training trains, frozen or not."""
        fixed = {id(weight) for weight in collect_fixed_weights(self)}
        return [weight for weight in self.weights if id(weight) not in fixed]

    def count_other_parameters(self, banks: Sequence[keras.layers.Layer]) -> int:
        """How many parameters there are beside those of some layers."""
        banked = {id(weight) for bank in banks for weight in bank.weights}
        return count_parameters([weight for weight in self.parameters if id(weight) not in banked])

    def named_weights(self) -> dict[str, tf.Variable]:
        """All weights under names that do not depend on how the model was made."""
        return named_weights(self)

    def get_config(self) -> dict:
        """The shape."""
        return {"shape": to_plain(self.shape)}

    @classmethod
    def from_config(cls, config: dict, custom_objects: Mapping | None = None) -> "MultiTaskModel":
        """Makes a model of the shape that `get_config` returned."""
        return cls(from_plain(cls.shape_type, config["shape"]))


def _mean(values: tf.Tensor) -> tf.Tensor:
    """The mean [B, H] of [n, B, H]; zeros for n = 0."""
    if values.shape[0] == 1:
        return values[0]
    return tf.reduce_mean(values, axis=0) if values.shape[0] else tf.reduce_sum(values, axis=0)
