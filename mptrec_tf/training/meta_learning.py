"""MAML: first weights from which one network learns a new task, found on the old tasks.

Finn, Abbeel and Levine, *Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks*, ICML
2017, https://arxiv.org/abs/1703.03400, algorithm 2. For each old task k, with half of a batch as
support and half as query:

    theta_k = theta - alpha * grad L_k(support; theta)                         (equation 1)
    theta <- theta - beta * grad of sum_k L_k(query; theta_k)                  (equation 2)

The second gradient goes through the first step: with v = grad L_k(query; theta_k) it is
v - alpha * H v, where H is the Hessian of L_k(support; theta), and H v the gradient of
<grad L_k(support; theta), v>. Adam takes the place of the second step's plain descent, as in the
paper's experiments. The new task then trains all of the network from these weights: nothing is
frozen, so it is a model of its own, and what it is compared with is a head.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import tensorflow as tf

from mptrec_tf.data.features.registry import has_fixed_shapes
from mptrec_tf.data.packed import LABELS, TASK_WEIGHTS, WEIGHT
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.errors import InputError
from mptrec_tf.models.shapes import ModelShape, PlainLosses
from mptrec_tf.models.single import Single
from mptrec_tf.models.task_outputs import task_losses, task_predictions, task_weights
from mptrec_tf.models.trainer import TrainedModel, mean_over_batch
from mptrec_tf.training import loop
from mptrec_tf.training.batches import Rows
from mptrec_tf.training.callbacks import SCORE_SUM
from mptrec_tf.training.configurations import TrainingConfig
from mptrec_tf.training.run_context import RunContext

Batch = Mapping[str, tf.Tensor]
INNER_RATE = 0.1  # alpha


class MetaLearner(TrainedModel):
    """Trains the first weights of a network of one task, by what old tasks make of them.

    Its predictions of an old task are those of the network after one step on the first
    training rows.

    Args:
      model: The network: of one task, with one logit.
      tasks: The old tasks, with one logit each.
      inner_rate: float. alpha.
    """

    def __init__(
        self, model: Single, tasks: Sequence[Task], inner_rate: float = INNER_RATE, **kwargs
    ):
        super().__init__(**kwargs)
        self.backbone = model
        self._tasks = tuple(tasks)
        self._inner_rate = inner_rate
        of_table = model.shape.l2_embedding_over == "table"
        self.fixed_shapes = of_table and has_fixed_shapes(model.shape.inputs)
        self._adapted: list[list[tf.Tensor]] = []

    def call(self, features: Batch, training: bool | None = None) -> tf.Tensor:
        """Returns the logits [B, 1]."""
        return self.backbone(features, training=training)

    @tf.autograph.experimental.do_not_convert
    def train_step(self, inputs: Batch) -> dict[str, tf.Tensor]:
        """Trains on a batch; returns the logs."""
        half = tf.shape(inputs[LABELS])[0] // 2
        # The last batch of an epoch may be a single row, which is in both then.
        support = {name: values[: tf.maximum(half, 1)] for name, values in inputs.items()}
        query = {name: values[half:] for name, values in inputs.items()}
        pairs = [self.differentiate(k, support, query) for k in range(len(self._tasks))]
        with tf.GradientTape() as tape:
            self.backbone(query, training=True)
            regularization = tf.add_n([tf.zeros([]), *self.backbone.losses])
        of_all = [self._gradient(tape, regularization), *(gradient for _, gradient in pairs)]
        total = [tf.add_n(parts) for parts in zip(*of_all, strict=True)]
        self.optimizer.apply_gradients(zip(total, self._weights, strict=True))
        losses = {
            f"loss/{task.name}": loss for task, (loss, _) in zip(self._tasks, pairs, strict=True)
        }
        return {"loss": tf.add_n(list(losses.values())), **losses}

    def differentiate(
        self, k: int, support: Batch, query: Batch
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Returns L_k(query; theta_k), and its gradient for theta: equation 2's.

        Args:
          k: The number of the old task.
          support: The rows of the inner step, with labels [B, K].
          query: The rows after it.
        """
        start = [tf.identity(weight) for weight in self._weights]
        self._assign(self._step(k, support))
        with tf.GradientTape() as tape:
            loss = self._loss(k, query)
        direction = self._gradient(tape, loss)
        self._assign(start)
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                support_loss = self._loss(k, support)
            gradient = self._gradient(inner, support_loss)
            product = tf.add_n(
                [tf.reduce_sum(g * v) for g, v in zip(gradient, direction, strict=True)]
            )
        curved = self._gradient(outer, product)
        return loss, [v - self._inner_rate * c for v, c in zip(direction, curved, strict=True)]

    def end_epoch(self, epoch: int, batches: Callable[[], Iterable[Batch]]) -> None:
        """Takes a step of each task on the first training rows, for `report`."""
        del epoch
        support = next(iter(batches()))
        self._adapted = [self._step(k, support) for k in range(len(self._tasks))]

    def report(self, inputs: Batch) -> dict[str, tf.Tensor]:
        """Returns `prediction` [B, K] of the weights that each task's step led to."""
        start = [tf.identity(weight) for weight in self._weights]
        predictions = []
        for task, adapted in zip(self._tasks, self._adapted, strict=True):
            self._assign(adapted)
            logits = tf.transpose(self._predict(inputs))
            predictions.append(task_predictions([task], logits)[0])
        self._assign(start)
        return {"prediction": tf.stack(predictions, axis=1)}

    @tf.function(autograph=False)
    def _predict(self, inputs: Batch) -> tf.Tensor:
        return self.backbone(inputs)

    def _step(self, k: int, support: Batch) -> list[tf.Tensor]:
        """Returns theta_k."""
        with tf.GradientTape() as tape:
            loss = self._loss(k, support)
        gradient = self._gradient(tape, loss)
        return [w - self._inner_rate * g for w, g in zip(self._weights, gradient, strict=True)]

    def _loss(self, k: int, batch: Batch) -> tf.Tensor:
        """Returns L_k, without L2 terms."""
        tasks, labels = [self._tasks[k]], batch[LABELS][:, k : k + 1]
        by_task = batch.get(TASK_WEIGHTS)
        by_task = None if by_task is None else by_task[:, k : k + 1]
        logits = tf.transpose(self.backbone(batch, training=True))
        losses = task_losses(tasks, logits, labels)
        weights = task_weights(tasks, labels, batch.get(WEIGHT), by_task)
        return tf.reduce_sum(mean_over_batch(losses, weights))

    @property
    def _weights(self) -> list[tf.Variable]:
        return self.backbone.trainable_variables

    def _gradient(self, tape: tf.GradientTape, value: tf.Tensor) -> list[tf.Tensor]:
        gradients = tape.gradient(
            value, self._weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _assign(self, values: Sequence[tf.Tensor]) -> None:
        for weight, value in zip(self._weights, values, strict=True):
            weight.assign(value)


class MetaLearning:
    """What comes before the training of a new task's own network: see `pretrain`'s `begin`.

    Args:
      tasks: The old tasks.
      train: Training rows with their labels.
      validation: Rows that decide the best epoch.

    Attributes:
      result: The results of the old tasks' training, once it has ended.

    Raises:
      InputError: for a task that has several logits or is given another one.
    """

    def __init__(self, tasks: Sequence[Task], train: Rows, validation: Rows):
        _check_tasks(tasks)
        self.tasks, self.train, self.validation = tuple(tasks), train, validation
        self.result: loop.Training | None = None

    def make_learner(self, shape: ModelShape) -> MetaLearner:
        """Returns what trains the first weights of a network of this shape."""
        return MetaLearner(Single(shape), self.tasks)

    def begin(
        self,
        job: loop.Job,
        shape: ModelShape,
        losses: PlainLosses,
        config: TrainingConfig,
        context: RunContext,
    ) -> loop.Job:
        """Returns the training of the new task's network from the weights that were found.

        Args:
          job: The training of the network from fresh weights.
          shape: The shape of the network.
          losses: How its loss is weighed.
          config: How long and how fast both trainings are.
          context: The context of the new task's training.

        Raises:
          InputError: as `loop.run` does, and for a new task with several logits or a `given`.
        """
        del losses
        _check_tasks(job.tasks)
        settings = {**job.settings, "meta_learning": [task.name for task in self.tasks]}
        first = loop.Job(
            make_model=lambda: self.make_learner(shape),
            select_weights=job.select_weights,
            train=self.train,
            validation=self.validation,
            tasks=self.tasks,
            settings={**settings, "inner_rate": INNER_RATE},
        )
        title = f"{context.title}, first weights"
        learner, results = loop.run(first, config, context.child("meta_learning", title=title))
        self.result = results[SCORE_SUM]
        found = {name: w.numpy() for name, w in learner.backbone.named_weights().items()}
        # The same random numbers follow, whether that was trained now or in an earlier process.
        loop.seed_everything(config.seed)
        return dataclasses.replace(job.start_from(found), settings=settings)


def can_learn(task: Task) -> bool:
    """Whether one network with one logit can predict a task, which MAML needs."""
    return task.logits == 1 and not task.given


def _check_tasks(tasks: Sequence[Task]) -> None:
    for task in tasks:
        if not can_learn(task):
            raise InputError(
                f"task {task.name!r} has several logits or a `given`, and MAML needs tasks that "
                "one network with one logit can predict; leave it out."
            )
