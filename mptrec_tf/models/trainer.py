"""Pre-training: a multi-task model and its loss, for Keras's `fit`.

    loss = sum_k mean over the batch of the loss of task k + L2 terms

A kind of model whose loss is more than this sum has a subclass of `Trainer`.
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
from mptrec_tf.models.task_outputs import task_losses, task_predictions, task_weights


def mean_over_batch(values: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    """Returns the mean over the last axis; weighted, if there is a weight [B] or [K, B].

    Where all weights are 0, the mean is 0.
    """
    if weight is None:
        return tf.reduce_mean(values, axis=-1)
    total = tf.reduce_sum(values * weight, axis=-1)
    return tf.math.divide_no_nan(total, tf.reduce_sum(weight, axis=-1))


@dataclasses.dataclass(frozen=True)
class Plan:
    """The planned length of a training.

    Attributes:
      steps: int. Planned steps of all epochs.
      rows: int. Number of training rows.
    """

    steps: int
    rows: int

    def __post_init__(self) -> None:
        for name in ("steps", "rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} should be 1 or more. Received: {getattr(self, name)}.")


class TrainedModel(tfrs.Model):
    """The interface that the training loop trains.

    Attributes:
      fixed_shapes: bool. Whether all shapes of a step are static, so that XLA can compile it.
    """

    fixed_shapes = True

    # No model branches on the values of tensors, and AutoGraph, which rewrites every function of a
    # step, takes longer than all else before the first step.
    @tf.autograph.experimental.do_not_convert
    def train_step(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Trains on a batch; returns the logs."""
        return super().train_step(inputs)

    def report(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns per-sample values [B, K] of a batch by name: `prediction` and others."""
        raise NotImplementedError

    def end_epoch(
        self, epoch: int, batches: Callable[[], Iterable[Mapping[str, tf.Tensor]]]
    ) -> None:
        """Updates the model's own state after an epoch; most models have none.

        Args:
          epoch: Its number, counted from 0.
          batches: Function that returns all training rows in their stored order.
        """


class Trainer(TrainedModel):
    """Pre-trains a model on the sum of its tasks' losses.

    Args:
      model: The model.
      tasks: Its tasks, in the order of its shape.
      losses: Weights of the losses, of the class that the model's kind names.
      plan: The planned length of the training.

    Example:
      >>> from mptrec_tf.data.features.base import InputShape
      >>> from mptrec_tf.data.tasks.binary import BinaryTask
      >>> from mptrec_tf.models.shapes import ModelShape
      >>> from mptrec_tf.models.shared_bottom import SharedBottom
      >>> shape = ModelShape(("click",), (InputShape("categorical", 5, rows=1000),))
      >>> trainer = Trainer(SharedBottom(shape), [BinaryTask("click", "clicks", above=0)])
      >>> trainer.compile(optimizer="adam")
      >>> batch = {"categorical": tf.zeros([3, 5], tf.int64), "labels": tf.ones([3, 1])}
      >>> history = trainer.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
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
        # XLA needs to know how many rows of the table a step updates.
        self.fixed_shapes = model.shape.l2_embedding_over == "table"
        self._means = {name: keras.metrics.Mean(name) for name in self.mean_names()}

    @classmethod
    def explain_rows_in_memory(cls, losses: Any) -> str:
        """Explains why these losses need the rows in memory; empty if they do not."""
        del losses
        return ""

    def mean_names(self) -> list[str]:
        """Returns the names of the means over an epoch that `compute_loss` updates."""
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
        mean = mean_over_batch(self.losses_of(outputs, inputs), self.weights_of(inputs))
        self.record("loss", mean)
        return tf.reduce_sum(mean)

    def losses_of(self, outputs: Logits, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the loss of each task on each sample, [K, B]."""
        return task_losses(self.task_kinds, outputs.logits, inputs[LABELS])

    def weights_of(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor | None:
        """Returns the samples' weights: None, [B], or [K, B] if tasks may lack labels."""
        return task_weights(self.task_kinds, inputs[LABELS], inputs.get(WEIGHT))

    def record(self, name: str, values: tf.Tensor) -> None:
        """Adds a batch's values [K] to the means that are logged as `<name>/<task>`."""
        for i, task in enumerate(self.tasks):
            self._means[f"{name}/{task}"].update_state(values[i])

    @tf.function(autograph=False)
    def report(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns `prediction` [B, K] of a batch, and the values of the model's own `report`."""
        encoded = self.backbone.encode(inputs)
        outputs = self.backbone.predict_tasks(encoded)
        predictions = tf.transpose(task_predictions(self.task_kinds, outputs.logits))
        return {"prediction": predictions, **self.backbone.report(encoded, outputs)}
