"""The interface of every multi-task model: packed features to representations, then to tasks.

A kind of model is a subclass of `MultiTaskModel`, which defines how features become `Encoded` and
how its own tasks read that; a shape (`shapes`); and, where its loss is more than the sum of its
tasks' losses, a `Trainer`. Everything else that handles models (training, files, export,
evaluation, heads of new tasks) uses this interface alone.
"""

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

import tensorflow as tf

from mptrec_tf.data.features.input_shape import Embedding, InputShape
from mptrec_tf.data.features.registry import FEATURES, feature_layers, input_width, make_zeros
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.keras import keras
from mptrec_tf.layers.banks import ExpertBank
from mptrec_tf.layers.statistics import Standardize
from mptrec_tf.models.encoded import (
    Encoded,
    HeadInputs,
    InputExperts,
    Layout,
    Standardized,
    Statistics,
)
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.models.task_outputs import task_predictions, unstack_predictions
from mptrec_tf.models.weights import (
    Untracked,
    collect_fixed_weights,
    count_parameters,
    named_weights,
)
from mptrec_tf.storage.plain import from_plain, to_plain

# Standardised features and logits are clipped to [-LIMIT, LIMIT].
LIMIT = 5.0


class Logits(Protocol):
    """The least that `predict_tasks` returns.

    Attributes:
      logits: [L, B], the tasks' logits in their order. Each task's kind turns its own into its
        prediction. L is K unless tasks have several logits, see `ModelShape.task_logits`.
    """

    logits: tf.Tensor


class MultiTaskModel(keras.Model, abc.ABC):
    """A model of several tasks, with the statistics of its training rows.

    A subclass sets `kind`, its name in the registry. Its `__init__` calls this one, creates its
    layers, and then calls `self.finish(shared, specific)`.

    `trainable` is the one toggle between pre-training and a frozen model.

    Args:
      shape: The shape.
      tables: int. How many embeddings each id has. Defaults to 1.

    Example:
      A model whose towers read the features themselves, registered for `mptrec-pretrain`:

          class Linear(MultiTaskModel):
              kind = "linear"

              def __init__(self, shape, **kwargs):
                  super().__init__(shape, **kwargs)
                  self.first = keras.layers.Dense(shape.width, name="first")
                  self.last = TowerBank(
                      len(shape.tasks), shape.tower_units, logits=shape.task_logits, name="last"
                  )
                  self.finish(shared=1, specific=0)

              def encode(self, features, training=None):
                  x, ids = self.embed(features)
                  h = self.first(x)[tf.newaxis]
                  return Encoded(x, ids, h, h[:0])

              def predict_tasks(self, encoded, training=None):
                  h = tf.repeat(encoded.shared, len(self.shape.tasks), axis=0)
                  return TowerOutputs(self.last(h, training=training))

              def rescale(self, scale, shift):
                  self.last.rescale(scale, shift)

              def joint_parameters(self, new_tasks=1):
                  tower = count_parameters(self.last.weights) // len(self.shape.tasks)
                  return count_parameters(self.parameters) + new_tasks * tower

          MODELS.register("linear", ModelKind(Linear))
    """

    kind: ClassVar[str]
    shape_type: ClassVar[type[ModelShape]] = ModelShape

    def __init__(self, shape: ModelShape, tables: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.shape = shape
        self.tables = tables
        self._tasks: Untracked = Untracked(())
        width = tables * shape.embedding_width
        inputs = [of.widen(tables) for of in shape.inputs]
        self.part_widths = [input_width([of], width) for of in inputs]
        self.input_width = sum(self.part_widths)
        layers = feature_layers(
            inputs, Embedding(width, shape.l2_embedding, shape.l2_embedding_over, tables)
        )
        # By kind of feature. Numbers go into x unchanged, and have no layer.
        self.embeddings = {kind: layer for kind, layer in layers.items() if layer is not None}

    def finish(self, shared: int, specific: int, experts: ExpertBank | None = None) -> None:
        """Creates the parts that all models share, and all weights, after a model's own layers.

        Args:
          shared: S, how many shared representations `encode` returns.
          specific: T, how many specific ones.
          experts: Optional. Experts that read x, which heads can change for their task.
        """
        shape = self.shape
        tasks = len(shape.tasks)
        ids = sum(of.columns for of in shape.inputs if _has_single_ids(of))
        more = shape.logits - tasks
        self._input_experts = Untracked(experts)
        of_experts = (experts.count, experts.units) if experts else ()
        self.layout = Layout(
            self.input_width, shared, specific, shape.width, tasks, ids, more, *of_experts
        )
        self.standard_x = Standardize(1e-6, LIMIT, name="standard_x")
        self.standard_shared = Standardize(1e-4, name="standard_shared")
        self.standard_specific = Standardize(1e-4, name="standard_specific")
        self.standard_logits = Standardize(1e-6, LIMIT, name="standard_logits")
        self.standard_x.build((None, self.input_width))
        self.standard_shared.build((shared, None, shape.width))
        self.standard_specific.build((specific, None, shape.width))
        self.standard_logits.build((shape.logits, None))
        # One call creates all weights, so that they can be listed and loaded before any data.
        logits = self(make_zeros(shape.inputs, 1))
        if logits.shape[1] != shape.logits:
            raise ValueError(
                f"predict_tasks of model {self.kind!r} should return {shape.logits} logits for the "
                f"tasks {', '.join(shape.tasks)}: see `ModelShape.task_logits`. "
                f"Received: {logits.shape[1]}."
            )

    @abc.abstractmethod
    def encode(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Encoded:
        """Returns the representations of packed features.

        Args:
          features: Packed tensors by name, [B, n] for most kinds of features, see `packed`.
          training: Whether to drop units.
        """

    @abc.abstractmethod
    def predict_tasks(self, encoded: Encoded, training: bool | None = None) -> Logits:
        """Returns the outputs of the model's own tasks for the representations."""

    def predict_logits(self, encoded: Encoded) -> tf.Tensor:
        """Returns the logits [L, B] of `predict_tasks` alone, as serving needs no more."""
        return self.predict_tasks(encoded).logits

    @abc.abstractmethod
    def rescale(self, scale: Sequence[float], shift: Sequence[float]) -> None:
        """Rescales the weights so that each logit becomes `scale * logit + shift`, [L] each.

        Representations do not change.
        """

    @abc.abstractmethod
    def joint_parameters(self, new_tasks: int = 1) -> int:
        """Returns how many parameters joint training of the tasks and `new_tasks` more would train.

        A new task's parameters are compared with this.
        """

    def prompts_of_tasks(self) -> tf.Tensor:
        """Returns the tasks' prompts [P, H]; P is 0 for a model without prompts."""
        return tf.zeros([0, self.shape.width])

    def report(self, encoded: Encoded, outputs: Logits) -> dict[str, tf.Tensor]:
        """Returns values to log beside the predictions, [B, K] each by name. Defaults to none.

        Args:
          encoded: What `encode` returned.
          outputs: What `predict_tasks` returned.
        """
        del encoded, outputs
        return {}

    def representations(self, encoded: Encoded) -> dict[str, tf.Tensor]:
        """Returns the outputs of the serving signature `encode`.

        Returns:
          `x` [B, D]; where there are any, `shared` [B, H], or [B, S, H] if there are several, and
          `specific` [B, T, H].
        """
        outputs = {"x": encoded.x}
        if self.layout.shared == 1:
            outputs["shared"] = encoded.shared[0]
        elif self.layout.shared:
            outputs["shared"] = tf.transpose(encoded.shared, [1, 0, 2])
        if self.layout.specific:
            outputs["specific"] = tf.transpose(encoded.specific, [1, 0, 2])
        return outputs

    def embed(self, features: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns x [B, D], the embedded features and the numbers, and all packed ids [B, F].

        Ids of which a row may have any number are in x alone.
        """
        parts, ids = [], []
        for of in self.shape.inputs:
            packed = FEATURES.get(of.kind).layer_inputs(features)
            layer = self.embeddings.get(of.kind)
            parts.append(packed if layer is None else layer(packed))
            if _has_single_ids(of):
                ids.append(packed)
        x = tf.concat(parts, axis=1)
        none = tf.zeros([tf.shape(x)[0], 0], tf.int64)
        return x, tf.cast(tf.concat(ids, axis=1), tf.int64) if ids else none

    def head_inputs(self, encoded: Encoded, logits: tf.Tensor | None = None) -> HeadInputs:
        """Returns the inputs of heads for a batch.

        Args:
          encoded: What `encode` returned.
          logits: Optional [L, B] of the model's own tasks, where they were computed already.
        """
        if logits is None:
            logits = self.predict_logits(encoded)
        standard = Standardized(
            self.standard_x(encoded.x),
            _standardize_mean(self.standard_shared, encoded.shared),
            _standardize_mean(self.standard_specific, encoded.specific),
            tf.transpose(self.standard_logits(logits)),
        )
        experts = self._input_experts.value
        if experts is not None:
            experts = InputExperts(tuple(experts.kernels), tuple(experts.biases))
        return HeadInputs(encoded, self.prompts_of_tasks(), logits, standard, experts)

    def set_tasks(self, tasks: Sequence[Task]) -> None:
        """Sets the model's own tasks, as they were trained, for `predict_given`."""
        self._tasks = Untracked(tuple(tasks))

    def predict_given(self, tasks: Sequence[Task], logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the predictions [B] of own tasks that new tasks are given, by name.

        Args:
          tasks: New tasks.
          logits: [L, B] of the model's own tasks.

        Raises:
          ValueError: if a new task is given one that the model does not have.
        """
        own, wanted = self._tasks.value, {task.given for task in tasks if task.given}
        if not wanted:
            return {}
        unknown = wanted - {task.name for task in own}
        if unknown:
            raise ValueError(
                f"the model should have the task {sorted(unknown)[0]!r}, which a new task is "
                f"given; see `set_tasks`. It has: {[task.name for task in own]}."
            )
        predictions = unstack_predictions(own, task_predictions(own, logits))
        return {name: predictions[name] for name in sorted(wanted)}

    def set_statistics(self, statistics: Statistics) -> None:
        """Sets the means and deviations of the model's values over its training rows.

        They are weights that no optimizer changes, and part of the fingerprint.
        """
        for part, mean, deviation in zip(
            statistics.mean._fields, statistics.mean, statistics.deviation, strict=True
        ):
            getattr(self, f"standard_{part}").set_statistics(mean, deviation)

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns the logits [B, L] of the model's own tasks."""
        return tf.transpose(self.predict_tasks(self.encode(features, training), training).logits)

    @property
    def parameters(self) -> list[tf.Variable]:
        """The weights that pre-training trains, frozen or not."""
        fixed = {id(weight) for weight in collect_fixed_weights(self)}
        return [weight for weight in self.weights if id(weight) not in fixed]

    def count_other_parameters(self, layers: Sequence[keras.layers.Layer]) -> int:
        """Returns how many parameters the model has outside of some layers."""
        excluded = {id(weight) for layer in layers for weight in layer.weights}
        return count_parameters([w for w in self.parameters if id(w) not in excluded])

    def named_weights(self) -> dict[str, tf.Variable]:
        """Returns all weights by names that do not depend on how the model was created."""
        return named_weights(self)

    def get_config(self) -> dict:
        """Returns the shape."""
        return {"shape": to_plain(self.shape)}

    @classmethod
    def from_config(cls, config: dict, custom_objects: Mapping | None = None) -> "MultiTaskModel":
        """Creates a model of the shape that `get_config` returned."""
        return cls(from_plain(cls.shape_type, config["shape"]))


def _has_single_ids(of: InputShape) -> bool:
    """Whether each column of a kind's packed tensor holds one id."""
    return bool(of.rows) and not FEATURES.get(of.kind).packed_parts


def _standardize_mean(layer: Standardize, values: tf.Tensor) -> tf.Tensor:
    """Returns the mean [B, H] of [n, B, H], standardised; zeros for n = 0."""
    if values.shape[0] == 1:
        return layer(values[0], index=0)
    standard = layer(values)
    return tf.reduce_mean(standard, axis=0) if values.shape[0] else tf.reduce_sum(standard, axis=0)
