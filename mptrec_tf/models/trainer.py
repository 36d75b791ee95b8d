"""Pre-training: a multi-task model and its loss, for Keras's `fit`.

    loss = sum_k mean over the batch of the loss of task k + L2 terms

where each task may have a weight, see `loss_balance`. A kind of model whose loss is more than this
sum has a subclass of `Trainer`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from mptrec_tf.data.features.registry import has_fixed_shapes
from mptrec_tf.data.packed import LABELS, TASK_WEIGHTS, WEIGHT
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.keras import keras
from mptrec_tf.layers.replicas import count_replicas, sum_over_replicas
from mptrec_tf.models.loss_balance import make_balance
from mptrec_tf.models.loss_weights import EQUAL
from mptrec_tf.models.multitask import Logits, MultiTaskModel
from mptrec_tf.models.shapes import PlainLosses
from mptrec_tf.models.task_outputs import (
    conditional_predictions,
    list_factors,
    multiply_predictions,
    task_losses,
    task_predictions,
    task_weights,
)


def mean_over_batch(values: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
    """Returns the mean over the last axis; weighted, if there is a weight [B] or [K, B].

    Where all weights are 0, the mean is 0. Where several replicas have parts of a batch, the mean
    of what they return is that over the whole batch.
    """
    replicas = count_replicas()
    if weight is None:
        if replicas == 1:
            return tf.reduce_mean(values, axis=-1)
        weight = tf.ones_like(values)
    total = tf.reduce_sum(values * weight, axis=-1)
    of_batch = sum_over_replicas(tf.reduce_sum(weight, axis=-1))
    if replicas > 1:
        total *= float(replicas)
    return tf.math.divide_no_nan(total, of_batch)


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
      rows_alone: bool. Whether a step reads and changes no rows of a table but its batch's, so that
        it takes no longer with a larger table.
      updates_per_step: int. How many times a step updates the weights.
      whole_batches: str. Why a step needs a whole batch, which several replicas do not have; empty
        if it does not.
    """

    fixed_shapes = True
    rows_alone = False
    updates_per_step = 1
    whole_batches = ""

    # No model branches on the values of tensors, and AutoGraph, which rewrites every function of a
    # step, takes longer than all else before the first step.
    @tf.autograph.experimental.do_not_convert
    def train_step(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Trains on a batch, or on a replica's part of it; returns the logs."""
        replicas = count_replicas()
        if replicas == 1:
            return super().train_step(inputs)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(inputs, training=True)
            regularization = tf.add_n([tf.zeros([]), *self.losses])
            total = loss + regularization
            part = total / float(replicas)  # the optimizer adds the gradients of all
        gradients = tape.gradient(part, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        logs = {metric.name: metric.result() for metric in self.metrics}
        logs |= {"loss": loss, "regularization_loss": regularization, "total_loss": total}
        return {name: value / float(replicas) for name, value in logs.items()}  # Keras adds them

    def report(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns per-sample values [B, K] of a batch by name: `prediction` and others.

        `prediction` is [B, O], with the numbers of each task's prediction side by side.
        """
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
      >>> from mptrec_tf.data.features.input_shape import InputShape
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
        self.balance = make_balance(getattr(losses, "loss_weights", EQUAL), self.tasks)
        if self.balance is not None and self.balance.separate:
            self.whole_batches = "the tasks' gradients are compared with each other"
        self.rows_alone = model.shape.l2_embedding_over == "batch"
        # XLA needs to know how many rows of the table a step updates.
        self.fixed_shapes = not self.rows_alone and has_fixed_shapes(model.shape.inputs)
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
        """Returns the predictions [B, O], O = K if each is one number."""
        logits = self.backbone(features, training=training)
        return tf.transpose(task_predictions(self.task_kinds, tf.transpose(logits)))

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns the loss of a batch, without the L2 terms, which Keras adds.

        Args:
          inputs: Packed features, `labels` [B, K], optionally `weight` [B] or
            `task_weights` [B, K].
          training: Whether this is a training step.
        """
        outputs = self.backbone.predict_tasks(self.backbone.encode(inputs, training), training)
        mean = mean_over_batch(self.losses_of(outputs, inputs), self.weights_of(inputs))
        self.record("loss", mean)
        return self.sum_tasks(mean)

    def sum_tasks(self, losses: tf.Tensor, factor: float | None = None) -> tf.Tensor:
        """Returns `factor` times the sum of the tasks' losses [K], weighed as is asked for.

        All of a loss that belongs to single tasks goes through here. Where the tasks' gradients are
        computed one by one, it is put aside for that, and 0 is returned.
        """
        if self.balance is not None and self.balance.separate:
            self._put_aside.append(losses if factor is None else factor * losses)
            return tf.zeros([])
        add = tf.reduce_sum if self.balance is None else self.balance.sum_tasks
        return add(losses) if factor is None else factor * add(losses)

    @tf.autograph.experimental.do_not_convert
    def train_step(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Trains on a batch; returns the logs."""
        if self.balance is None or not self.balance.separate:
            return super().train_step(inputs)
        self._put_aside = []
        with tf.GradientTape(persistent=True) as tape:
            rest = self.compute_loss(inputs, training=True)
            of_tasks = tf.unstack(tf.add_n(self._put_aside), num=len(self.tasks))
            regularization = tf.add_n([tf.zeros([]), *self.losses])
            rest += regularization
        self._put_aside = []
        # One backward pass for each task is what such a way to weigh losses costs.
        gradients = [self._flat_gradient(tape, loss) for loss in of_tasks]
        joined = self.balance.join_gradients(tf.stack(gradients))
        flat = tf.split(
            joined + self._flat_gradient(tape, rest), [v.shape.num_elements() for v in self._free]
        )
        shaped = [tf.reshape(g, v.shape) for g, v in zip(flat, self._free, strict=True)]
        self.optimizer.apply_gradients(zip(shaped, self._free, strict=True))
        total = tf.add_n([rest, *of_tasks])
        logs = {metric.name: metric.result() for metric in self.metrics}
        return logs | {
            "loss": total - regularization,
            "regularization_loss": regularization,
            "total_loss": total,
        }

    @property
    def _free(self) -> list[tf.Variable]:
        return self.trainable_variables

    def _flat_gradient(self, tape: tf.GradientTape, loss: tf.Tensor) -> tf.Tensor:
        """Returns the gradient of a loss for all trainable numbers, [P]."""
        gradients = tape.gradient(
            loss, self._free, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return tf.concat([tf.reshape(gradient, [-1]) for gradient in gradients], axis=0)

    def end_epoch(
        self, epoch: int, batches: Callable[[], Iterable[Mapping[str, tf.Tensor]]]
    ) -> None:
        """Updates the weights of the tasks' losses by the epoch's mean losses.

        Args:
          epoch: Its number, counted from 0.
          batches: Function that returns all training rows in their stored order.
        """
        if self.balance is not None:
            means = [self._means[f"loss/{task}"].result() for task in self.tasks]
            self.balance.end_epoch(tf.stack(means))

    def losses_of(self, outputs: Logits, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the loss of each task on each sample, [K, B]."""
        return task_losses(self.task_kinds, outputs.logits, inputs[LABELS])

    def weights_of(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor | None:
        """Returns the samples' weights: None, [B], or [K, B] if they differ from task to task."""
        weights = inputs.get(WEIGHT), inputs.get(TASK_WEIGHTS)
        return task_weights(self.task_kinds, inputs[LABELS], *weights)

    def record(self, name: str, values: tf.Tensor) -> None:
        """Adds a batch's values [K] to the means that are logged as `<name>/<task>`."""
        for i, task in enumerate(self.tasks):
            self._means[f"{name}/{task}"].update_state(values[i])

    @tf.function(autograph=False)
    def report(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns `prediction` [B, O] of a batch, and the values of the model's own `report`."""
        encoded = self.backbone.encode(inputs)
        outputs = self.backbone.predict_tasks(encoded)
        conditional = conditional_predictions(self.task_kinds, outputs.logits)
        return {
            "prediction": tf.transpose(multiply_predictions(self.task_kinds, conditional)),
            **list_factors(self.task_kinds, conditional),
            **self.backbone.report(encoded, outputs),
        }
