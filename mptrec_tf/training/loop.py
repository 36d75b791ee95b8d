"""What both stages share: compile, fit with the callbacks, continue, and end on the best epoch."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.storage.directories import held_alone
from mptrec_tf.training.batches import Rows, training_batches
from mptrec_tf.training.callbacks import (
    LOGS,
    KeepBest,
    ProgressBar,
    SaveProgress,
    StopInTime,
    Validate,
)
from mptrec_tf.training.configurations import TrainingConfig

# Steps that Keras runs before it comes back to Python; the progress bar moves as often.
STEPS_PER_EXECUTION = 32


@dataclasses.dataclass(frozen=True)
class Training:
    """What a training run did.

    Attributes:
      history: Logs of every epoch.
      best_epoch: int. Counted from 0.
      seconds: float. Of this process; a continued run's earlier ones are not in it.
      steps: int. Steps of this process.
      settings: All that the run depended on.
      calibration: Scale and shift of each task's logits, by task, where they were calibrated.
    """

    history: Sequence[Mapping[str, float]]
    best_epoch: int
    seconds: float
    steps: int
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    calibration: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    @property
    def best(self) -> Mapping[str, float]:
        """Logs of the best epoch."""
        return self.history[self.best_epoch]


def seed_everything(seed: int) -> None:
    """Makes what follows repeatable bit for bit on this machine."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def compile_model(model: keras.Model, config: TrainingConfig, steps: int) -> None:
    """Compiles a model for `steps` steps an epoch with Adam, as the paper trains.

    XLA fuses the many small operations of a step: on two cores, one part in eight more samples a
    second in stage 1 and one in five in stage 2 (`benchmarks/throughput.py`).
    """
    model.compile(
        optimizer=keras.optimizers.Adam(_learning_rate(config, steps)),
        steps_per_execution=min(STEPS_PER_EXECUTION, steps),
        jit_compile=model.fixed_shapes,
    )


def _learning_rate(config: TrainingConfig, steps: int):
    if config.schedule == "constant":
        return config.learning_rate
    total = config.epochs * steps
    warmup = min(config.warmup_steps, total // 10)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, total)
    return keras.optimizers.schedules.CosineDecay(
        0.0, total - warmup, warmup_target=config.learning_rate, warmup_steps=warmup
    )


def all_settings(
    settings: Mapping[str, Any], config: TrainingConfig, tasks: Sequence[str]
) -> dict[str, Any]:
    """Returns all that must be equal for a run to be continued."""
    return {**settings, **dataclasses.asdict(config), "tasks": list(tasks)}


def run(
    model: keras.Model,
    best_of: Mapping[str, Sequence[tf.Variable]],
    train: Rows,
    validation: Rows,
    tasks: Sequence[str],
    config: TrainingConfig,
    *,
    directory: str,
    settings: Mapping[str, Any],
    callbacks: Sequence[keras.callbacks.Callback] = (),
    logs: str | None = None,
    title: str = "training",
    show_progress: bool = True,
) -> dict[str, Training]:
    """Trains a model and leaves its parts with the weights of their best epochs.

    Args:
      model: A `tfrs.Model` with a `report`.
      best_of: What is kept of a best epoch, by the log that is largest in it. Parts that know
        nothing of one another have best epochs of their own.
      train: Training rows.
      validation: Rows that choose the best epoch.
      tasks: Names of the tasks, in the order of the labels.
      config: How long and how fast.
      directory: Where the state of the run is kept; a run that was killed is continued.
      settings: What must be equal for a run to be continued.
      callbacks: More callbacks, which come first.
      logs: Where TensorBoard's logs go. Defaults to `logs` in the directory.
      title: Which training it is, for the lines that say how far it is.
      show_progress: Whether to say how far it is.

    Returns:
      What the training did, by the keys of `best_of`.

    Raises:
      InputError: if `directory` holds the state of another run, another process is at work in
        it, or training diverges.
    """
    start = time.monotonic()
    settings = all_settings(settings, config, tasks)
    steps = train.steps(config.batch_size)
    compile_model(model, config, steps)
    bests = {key: KeepBest(weights, config.patience, key) for key, weights in best_of.items()}
    progress = SaveProgress(directory, model, list(bests.values()), settings)
    with held_alone(directory):
        first = progress.resume()
        if first < config.epochs and not all(b.is_over(first - 1) for b in bests.values()):
            bars = []
            if show_progress:
                bars = [ProgressBar(title, config.epochs, steps, first, tasks)]
            try:
                model.fit(
                    training_batches(
                        train,
                        config.batch_size,
                        seed=config.seed,
                        epochs=config.epochs,
                        first_epoch=first,
                    ),
                    epochs=config.epochs,
                    initial_epoch=first,
                    steps_per_epoch=steps,
                    verbose=0,
                    callbacks=[
                        *callbacks,
                        Validate(validation, tasks),
                        *bests.values(),
                        StopInTime(list(bests.values())),
                        keras.callbacks.TensorBoard(
                            logs or f"{directory}/{LOGS}", profile_batch=0, write_graph=False
                        ),
                        progress,
                        *bars,
                    ],
                )
            finally:
                for bar in bars:
                    bar.stop()
    seconds = time.monotonic() - start
    results = {}
    for key, best in bests.items():
        best.restore_weights()
        results[key] = Training(
            history=progress.history,
            best_epoch=best.epoch,
            seconds=seconds,
            steps=(len(progress.history) - first) * steps,
            settings=settings,
        )
    return results
