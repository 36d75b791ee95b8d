"""Pre-training: a model of several tasks and its loss, as Keras's `fit` takes it.

    loss = sum_k mean over the batch of the loss of task k + L2 terms

`Trainer` is that; a kind of model whose loss is more than the sum has a trainer of its own.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from mptrec_tf.data.packed import LABELS, WEIGHT
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.keras import keras
from mptrec_tf.models.multitask import Logits, MultiTaskModel
from mptrec_tf.models.shapes import PlainLosses
from mptrec_tf.models.task_outputs import task_losses, task_predictions


def mean_over_batch(values: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    """The mean over the last axis, weighted by `weight` [B] where it is given."""
    if weight is None:
        return tf.reduce_mean(values, axis=-1)
    total = tf.reduce_sum(values * weight, axis=-1)
    return tf.math.divide_no_nan(total, tf.reduce_sum(weight))


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long a training is planned to be.

    Attributes:
      steps: int. All planned steps.
      rows: int. How many training rows there are.
    """

    steps: int
    rows: int

    def __post_init__(self) -> None:
        for name in ("steps", "rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} should be 1 or more. Received: {getattr(self, name)}.")


class TrainedModel(tfrs.Model):
    """What the training loop trains.

    Attributes:
      fixed_shapes: bool. Whether XLA can compile a step: whether it knows all shapes.
    """

    fixed_shapes = True

    def report(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns per-sample values [B, K] of a batch by name: `prediction` and others."""
        raise NotImplementedError

    def end_epoch(
        self, epoch: int, batches: Callable[[], Iterable[Mapping[str, tf.Tensor]]]
    ) -> None:
        """Does what is due after an epoch; nothing, in most models.

        Args:
          epoch: Its number, counted from 0.
          batches: Function that returns all training rows in their stored order.
        """


class Trainer(TrainedModel):
    """A model in pre-training.

    Args:
      model: The model.
      tasks: Its tasks, in the order of its shape.
      losses: How the losses are weighed.
      plan: How long the training is planned to be.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        tasks: Sequence[Task],
        losses: Any = None,
        plan: Plan | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.backbone = model
        self.task_kinds = tuple(tasks)
        self.tasks = model.shape.tasks
        if tuple(task.name for task in tasks) != self.tasks:
            raise ValueError(
                f"tasks should be {self.tasks}. Received: {[task.name for task in tasks]}."
            )
        self.loss_weights = losses or PlainLosses()
        self.plan = plan
        # XLA needs to know how many rows of the table a step touches.
        self.fixed_shapes = model.shape.l2_embedding_over == "table"
        self._means = {name: keras.metrics.Mean(name) for name in self.mean_names()}

    @classmethod
    def explain_rows_in_memory(cls, losses: Any) -> str:
        """Why a training with these losses needs its rows in memory; empty where it does not."""
        del losses
        return ""

    def mean_names(self) -> list[str]:
        """Names of what `compute_loss` takes the means of over an epoch, for the logs."""
        return [f"loss/{task}" for task in self.tasks]

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns the predictions [B, K]."""
        logits = self.backbone(features, training=training)
        return tf.transpose(task_predictions(self.task_kinds, tf.transpose(logits)))

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns the loss of a batch, without the L2 terms, which Keras adds.

        Args:
          inputs: Packed features, `labels` [B, K], optionally `weight` [B].
          training: Whether this is a training step.
        """
        outputs = self.backbone.predict_tasks(self.backbone.encode(inputs, training), training)
        mean = mean_over_batch(self.losses_of(outputs, inputs), inputs.get(WEIGHT))
        self.record("loss", mean)
        return tf.reduce_sum(mean)

    def losses_of(self, outputs: Logits, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the loss of each task on each sample, [K, B]."""
        return task_losses(self.task_kinds, outputs.logits, inputs[LABELS])

    def record(self, what: str, values: tf.Tensor) -> None:
        """Adds a batch's values [K] to the means that are logged as `<what>/<task>`."""
        for i, task in enumerate(self.tasks):
            self._means[f"{what}/{task}"].update_state(values[i])

    @tf.function
    def report(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns `prediction` [B, K] of a batch, and what the model reports of it."""
        encoded = self.backbone.encode(inputs)
        outputs = self.backbone.predict_tasks(encoded)
        predictions = tf.transpose(task_predictions(self.task_kinds, outputs.logits))
        return {"prediction": predictions, **self.backbone.report(encoded, outputs)}
