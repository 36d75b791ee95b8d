"""The training loop of both stages: compile, resume, fit with callbacks, restore the best epoch."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mptrec_tf.data.tasks.base import Task
from mptrec_tf.errors import InputError
from mptrec_tf.keras import keras
from mptrec_tf.models.trainer import TrainedModel
from mptrec_tf.models.weights import set_named_weights
from mptrec_tf.storage.directories import exclusive_lock
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.batches import Rows
from mptrec_tf.training.callbacks import (
    EndEpoch,
    KeepBest,
    ProgressBar,
    SaveProgress,
    StopEarly,
    Validate,
)
from mptrec_tf.training.configurations import TrainingConfig
from mptrec_tf.training.distribution import ONE_PROCESS, Epochs
from mptrec_tf.training.lazy_adam import LazyAdam
from mptrec_tf.training.run_context import RunContext

# Steps that Keras runs between two returns to Python, where the progress bar is updated.
STEPS_PER_EXECUTION = 32


@dataclasses.dataclass(frozen=True)
class Training:
    """The results of a training run.

    Attributes:
      history: Logs of every epoch.
      best_epoch: int. Counted from 0.
      seconds: float. Of this process, without earlier ones of a resumed run.
      steps: int. Steps of this process.
      settings: All settings that the run depended on.
      calibration: Scale and shift of each calibrated task's logits, by task.
      knots: The monotone map of each task that has one, by task; see `Task.knots`.
      baseline: What served rows are compared with, see `training.baseline`.
    """

    history: Sequence[Mapping[str, float]]
    best_epoch: int
    seconds: float
    steps: int
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    calibration: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    knots: Mapping[str, tuple[tuple[float, float], ...]] = dataclasses.field(default_factory=dict)
    baseline: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def best(self) -> Mapping[str, float]:
        """Logs of the best epoch."""
        return self.history[self.best_epoch]

    def complete(self, tasks: Sequence[Task]) -> tuple[Task, ...]:
        """Returns tasks with the maps that were fitted to their predictions."""
        return tuple(
            dataclasses.replace(task, knots=self.knots[task.name])
            if task.name in self.knots
            else task
            for task in tasks
        )


def seed_everything(seed: int) -> None:
    """Makes all later computations repeatable bit for bit on this machine."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def compile_model(model: keras.Model, config: TrainingConfig, steps: int) -> None:
    """Compiles a model for `steps` steps an epoch with Adam, as the paper trains.

    XLA fuses the many small operations of a step: on two cores, an eighth more samples a second in
    stage 1 and a fifth more in stage 2 (`benchmarks/throughput.py`).
    """
    make_optimizer = LazyAdam if model.rows_alone else keras.optimizers.Adam
    # Of one call, what replicas gather has one shape; how many rows a batch reads differs.
    gathers = model.rows_alone and tf.distribute.get_strategy().num_replicas_in_sync > 1
    model.compile(
        optimizer=make_optimizer(
            _make_learning_rate(config, steps * model.updates_per_step, model.updates_per_step)
        ),
        steps_per_execution=1 if gathers else min(STEPS_PER_EXECUTION, steps),
        # XLA cannot compile sums over replicas for processors.
        jit_compile=model.fixed_shapes and not tf.distribute.has_strategy(),
    )


@contextlib.contextmanager
def _step_traced_once(model: keras.Model) -> Iterator[None]:
    """Makes a step a function while `fit` runs, whose loop over steps traces its body twice."""
    if tf.distribute.has_strategy():  # in its replicas no function may update weights
        yield
        return
    # Not by setting an attribute, which would be part of the model's checkpoints.
    vars(model)["train_step"] = tf.function(model.train_step, autograph=False)
    try:
        yield
    finally:
        del vars(model)["train_step"]


def _make_learning_rate(config: TrainingConfig, steps: int, updates: int):
    if config.schedule == "constant":
        return config.learning_rate
    total = config.epochs * steps
    warmup = min(config.warmup_steps * updates, total // 10)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, total)
    return keras.optimizers.schedules.CosineDecay(
        0.0, total - warmup, warmup_target=config.learning_rate, warmup_steps=warmup
    )


def merge_settings(
    settings: Mapping[str, Any], config: TrainingConfig, tasks: Sequence[Task]
) -> dict[str, Any]:
    """Returns all settings that must be equal for a run to be resumed."""
    return {**settings, **to_plain(config), "tasks": [task.to_plain() for task in tasks]}


@dataclasses.dataclass(frozen=True)
class Job:
    """The model and the rows of a training.

    Attributes:
      make_model: Creates the model. A function, so that it can be called in the scope of a
        distribution strategy.
      select_weights: Returns the variables of a model to save at their best epoch, by the name of
        the log that is largest there. Independent parts have best epochs of their own.
      train: Training rows.
      validation: Rows that decide the best epoch.
      tasks: The tasks, in the order of the labels; the model logs under their names.
      settings: Settings that must be equal for a run to be resumed, beside the `TrainingConfig`.
    """

    make_model: Callable[[], TrainedModel]
    select_weights: Callable[[TrainedModel], Mapping[str, Sequence[tf.Variable]]]
    train: Rows
    validation: Rows
    tasks: Sequence[Task]
    settings: Mapping[str, Any]

    def start_from(self, values: Mapping[str, np.ndarray]) -> "Job":
        """Returns the training of the same model from some weights, by their names."""

        def make_model() -> TrainedModel:
            model = self.make_model()
            set_named_weights(model.backbone, values)
            return model

        return dataclasses.replace(self, make_model=make_model)


def run(
    job: Job, config: TrainingConfig, context: RunContext
) -> tuple[TrainedModel, dict[str, Training]]:
    """Trains a model and leaves its parts with the weights of their best epochs.

    Args:
      job: The model and the rows.
      config: How long and how fast.
      context: The directory of the run's state, and whether to show progress.

    Returns:
      The model, and the results of the training, by the keys of `select_weights`.

    Raises:
      InputError: if the context's directory holds the state of another run, another process uses
        it, or training diverges.
    """
    start = time.monotonic()
    steps = job.train.steps(config.batch_size)
    distribution = context.distribution or ONE_PROCESS
    distributed = distribution.list_settings()
    settings = merge_settings({**job.settings, **distributed}, config, job.tasks)
    if values := distribution.begin(job.make_model, config.seed):
        job = job.start_from(values)
    with distribution.scope(), distribution.make_scratch() as scratch:
        model = job.make_model()
        if distribution.is_shared and model.whole_batches:
            raise InputError(
                f"{model.whole_batches}, so that a step needs a whole batch: train it without "
                "--strategy."
            )
        compile_model(model, config, steps)
        weights_by_log = job.select_weights(model)
        bests = {log: KeepBest(w, config.patience, log) for log, w in weights_by_log.items()}
        progress = SaveProgress(context.directory, model, list(bests.values()), settings, scratch)
        with contextlib.ExitStack() as stack:
            if distribution.is_chief:
                stack.enter_context(exclusive_lock(context.directory))
            stack.enter_context(_step_traced_once(model))
            stack.enter_context(distribution.explain_loss(context.directory))
            first = progress.resume()
            distribution.check_same(first, f"the epochs of {context.directory}, which all share")
            if first < config.epochs and not all(b.is_over(first - 1) for b in bests.values()):
                _fit(model, job, config, context, first, [*bests.values()], progress)
    seconds = time.monotonic() - start
    model = distribution.bring_home(model, job.make_model)
    results = {}
    for key, weights in job.select_weights(model).items():
        best = bests[key]
        best.restore_weights(weights)
        results[key] = Training(
            history=progress.history,
            best_epoch=best.epoch,
            seconds=seconds,
            steps=(len(progress.history) - first) * steps,
            settings=settings,
        )
    return model, results


def _fit(
    model: TrainedModel,
    job: Job,
    config: TrainingConfig,
    context: RunContext,
    first: int,
    bests: Sequence[KeepBest],
    progress: SaveProgress,
) -> None:
    """Trains from an epoch on, until patience runs out."""
    steps = job.train.steps(config.batch_size)
    distribution = context.distribution or ONE_PROCESS
    bars, boards = [], []
    if distribution.is_chief:
        boards = [keras.callbacks.TensorBoard(context.logs, profile_batch=0, write_graph=False)]
        if context.show_progress:
            bars = [ProgressBar(context.title, config.epochs, steps, first, job.tasks)]
    try:
        distribution.fit(
            model,
            Epochs(job.train, config, first),
            [
                EndEpoch(job.train),
                Validate(job.validation, job.tasks),
                *bests,
                StopEarly(bests),
                *boards,
                progress,
                *bars,
            ],
        )
    finally:
        for bar in bars:
            bar.stop()
