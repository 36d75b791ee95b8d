"""Stage 2: a frozen backbone and any number of new tasks, each with a head of its own.

Bai et al., *Efficient Multi-task Prompt Tuning for Recommendation*, TOIS 2025,
https://arxiv.org/abs/2408.17214.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from mptrec_tf.data.packed import LABELS, TASK_WEIGHTS, WEIGHT
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.errors import InputError
from mptrec_tf.keras import keras
from mptrec_tf.models.encoded import HeadInputs
from mptrec_tf.models.heads.base import Head, HeadOutputs, stack_reports
from mptrec_tf.models.heads.registry import DEFAULT, HEADS, make_head
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.task_outputs import (
    conditional_predictions,
    list_factors,
    multiply_predictions,
    task_losses,
    task_predictions,
    task_weights,
)
from mptrec_tf.models.trainer import TrainedModel, mean_over_batch

# Keys of what `encode_once` returns.
REPRESENTATIONS, IDS = "representations", "ids"


class NewTask(NamedTuple):
    """A new task and the head that predicts it."""

    task: Task
    head: Head


class PromptedMPTRec(TrainedModel):
    """A frozen backbone and the heads of new tasks, which are independent of one another.

    The constructor freezes the backbone: `backbone.trainable` is the toggle.

    Args:
      backbone: A pre-trained model.
      new_tasks: Optional tasks with trained heads, by name. Others are added by `add_task`.
      begin: Optional. Sets the weights that each head begins with that `add_task` adds.

    Example:
      >>> from mptrec_tf.data.features.input_shape import InputShape
      >>> from mptrec_tf.data.tasks.binary import BinaryTask
      >>> from mptrec_tf.models.mptrec import MPTRec
      >>> from mptrec_tf.models.shapes import MPTRecShape
      >>> shape = MPTRecShape(("click", "like"), (InputShape("categorical", 5, rows=1000),))
      >>> model = PromptedMPTRec(MPTRec(shape))
      >>> head = model.add_task(BinaryTask("share", "shares", above=0))
      >>> model({"categorical": tf.zeros([3, 5], tf.int64)})["share"].shape
      TensorShape([3])
    """

    def __init__(
        self,
        backbone: MultiTaskModel,
        new_tasks: Mapping[str, NewTask] | None = None,
        begin: Callable[[Head], None] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.backbone = backbone
        self.backbone.trainable = False
        self._begin = begin
        self.heads: dict[str, Head] = {}
        self._tasks: dict[str, Task] = {}
        self._means: dict[str, keras.metrics.Mean] = {}
        for name, new in (new_tasks or {}).items():
            self.attach(name, *new)

    @property
    def new_tasks(self) -> tuple[str, ...]:
        """Names of the new tasks."""
        return tuple(self.heads)

    def add_task(self, task: Task, config: Any | None = None, name: str | None = None) -> Head:
        """Adds a new task with fresh weights and returns its head.

        Compile the model again before the next `fit`: an optimizer tracks the weights that it was
        built for.

        Args:
          task: The task.
          config: The shape of its head, of a kind in `HEADS`. Defaults to the paper's.
          name: Its name in this model. Defaults to the task's name.

        Raises:
          InputError: if the model has a task of this name already.
        """
        name = name or task.name
        config = config or HEADS.get(DEFAULT).make_shape()
        head = make_head(config, self.backbone.layout, name, task.logits)
        if self._begin:
            self._begin(head)
        self.attach(name, task, head)
        return head

    def remove_task(self, name: str) -> None:
        """Removes a new task; the predictions of every other task stay the same.

        Raises:
          InputError: if no new task has this name.
        """
        if name not in self.heads:
            raise InputError(f"no new task {name!r} to remove; there are {list(self.heads)}.")
        self.heads = {k: head for k, head in self.heads.items() if k != name}
        self._tasks = {k: task for k, task in self._tasks.items() if k != name}
        self._means = {k: mean for k, mean in self._means.items() if k != f"loss/{name}"}
        self._forget_traces()

    def attach(self, name: str, task: Task, head: Head) -> None:
        """Adds a new task with an existing head.

        Raises:
          InputError: if the model has a task of this name already.
        """
        if name in self.heads or name in self.backbone.shape.tasks:
            raise InputError(f"task {name!r} is there already; remove it first or rename this one.")
        self.heads = {**self.heads, name: head}
        self._tasks = {**self._tasks, name: task}
        self._means = {**self._means, f"loss/{name}": keras.metrics.Mean(f"loss/{name}")}
        self._forget_traces()

    def _forget_traces(self) -> None:
        # Keras would reuse the functions that it traced for the previous heads.
        self.train_function = self.test_function = self.predict_function = None

    @property
    def losses(self) -> list[tf.Tensor]:
        """The L2 and KL terms of the heads.

        The backbone's are left out: a frozen layer that a step does not call still holds its loss
        from pre-training.
        """
        return [loss for head in self.heads.values() for loss in head.losses]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The mean loss of every new task; Keras would retain those of removed tasks."""
        return list(self._means.values())

    @tf.function(autograph=False, reduce_retracing=True)
    def encode_once(self, features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the expensive part of the heads' inputs for packed features, see `encode`.

        Returns:
          `representations`, see `Layout`, and `ids` [B, F] if there are any.
        """
        encoded = self.backbone.encode(features)
        logits = self.backbone.predict_logits(encoded)
        ids = {IDS: encoded.ids} if self.backbone.layout.ids else {}
        return {REPRESENTATIONS: self.backbone.layout.pack(encoded, logits), **ids}

    def encode(self, inputs: Mapping[str, tf.Tensor]) -> HeadInputs:
        """Returns the heads' inputs, from what `encode_once` returned or from packed features."""
        if REPRESENTATIONS not in inputs:
            return self.backbone.head_inputs(self.backbone.encode(inputs))
        packed = inputs[REPRESENTATIONS]
        ids = inputs.get(IDS)
        if ids is None:
            ids = tf.zeros([tf.shape(packed)[0], 0], tf.int64)
        return self.backbone.head_inputs(*self.backbone.layout.unpack(packed, ids))

    def call(
        self, inputs: Mapping[str, tf.Tensor], training: bool | None = None
    ) -> dict[str, tf.Tensor]:
        """Returns the predictions of the new tasks by name: [B], or [B, outputs] of several."""
        encoded = self.encode(inputs)
        known = self._predict_given(encoded)
        predictions = {
            name: self._predict(name, head(encoded, training=training), known)
            for name, head in self.heads.items()
        }
        return {k: v[0] if v.shape[0] == 1 else tf.transpose(v) for k, v in predictions.items()}

    def _predict_given(self, encoded: HeadInputs) -> dict[str, tf.Tensor]:
        return self.backbone.predict_given(list(self._tasks.values()), encoded.logits)

    def _predict(
        self, name: str, outputs: HeadOutputs, known: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Returns the predictions [outputs, B] of a task."""
        return task_predictions([self._tasks[name]], self._logits(name, outputs), known)

    def _logits(self, name: str, outputs: HeadOutputs) -> tf.Tensor:
        """Returns the logits [n, B] of a task."""
        logits, wanted = outputs.rows, self._tasks[name].logits
        if logits.shape[0] != wanted:
            raise ValueError(
                f"{type(self.heads[name]).__name__} should return {wanted} logits for task "
                f"{name!r}: see `Head.logits`. Received: {logits.shape[0]}."
            )
        return logits

    def compute_loss(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """Returns the sum of the new tasks' losses, without the L2 and KL terms.

        Args:
          inputs: What `encode_once` returned (or packed features), `labels` [B, N] with a column
            for each new task in order, optionally `weight` [B] or `task_weights` [B, N].
          training: Whether this is a training step.
        """
        encoded = self.encode(inputs)
        known = self._predict_given(encoded)
        total = tf.constant(0.0)
        for column, (name, head) in enumerate(self.heads.items()):
            logits = self._logits(name, head(encoded, training=training))
            labels = inputs[LABELS][:, column : column + 1]
            losses = task_losses([self._tasks[name]], logits, labels, known)[0]
            weights = inputs.get(TASK_WEIGHTS)
            if weights is not None:
                weights = weights[:, column : column + 1]
            weight = task_weights([self._tasks[name]], labels, inputs.get(WEIGHT), weights)
            loss = tf.reshape(mean_over_batch(losses, weight), [])
            self._means[f"loss/{name}"].update_state(loss)
            total += loss
        return total

    def report(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns per-sample values of a batch.

        Returns:
          `prediction` [B, O] of the new tasks, side by side (O = N if each is one number, see
          `split_predictions`), and what their heads report, [B, N] each by name: NaN for a head
          that does not report it. See `HeadOutputs`.
        """
        return self._report(inputs, tuple(self.heads.values()))

    @tf.function(autograph=False)
    def _report(self, inputs, heads: tuple[Head, ...]) -> dict[str, tf.Tensor]:
        # The heads are an argument so that other heads are traced again.
        encoded = self.encode(inputs)
        outputs = [head(encoded) for head in heads]
        named = list(zip(self.heads, outputs, strict=True))
        rows = [conditional_predictions([self._tasks[n]], self._logits(n, o)) for n, o in named]
        tasks, conditional = list(self._tasks.values()), tf.concat(rows, axis=0)
        known = self._predict_given(encoded)
        return {
            "prediction": tf.transpose(multiply_predictions(tasks, conditional, known)),
            **list_factors(tasks, conditional, known),
            **stack_reports(outputs),
        }
