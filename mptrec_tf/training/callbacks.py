"""Keras callbacks of both stages: validation, the best epoch, saved state, and progress.

They are defined in the order in which they must run: each adds to the epoch's logs, or saves the
results of those before it.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mptrec_tf.data.labels import weights_of_task
from mptrec_tf.data.tasks.base import Task, drop_unlabelled
from mptrec_tf.data.tasks.slices import split_predictions
from mptrec_tf.errors import InputError
from mptrec_tf.keras import keras
from mptrec_tf.progress import EpochProgress
from mptrec_tf.storage.arrays import load_arrays, save_arrays
from mptrec_tf.storage.directories import write_file
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.batches import Rows, evaluate_rows, make_ordered_batches

SCORE_SUM = "val_score_sum"  # no "/", as a task may be named "sum"
_STATE = "state.json"


class EndEpoch(keras.callbacks.Callback):
    """Calls the model's `end_epoch` with all training rows."""

    def __init__(self, rows: Rows):
        super().__init__()
        self._rows = rows

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Calls `TrainedModel.end_epoch`."""
        self.model.end_epoch(epoch, lambda: make_ordered_batches(self._rows))


class Validate(keras.callbacks.Callback):
    """Logs each task's score on the validation rows, their sum, and means of other reported values.

    The score is logged as `val_auc/<task>`, or under the name of the task kind's score; the sum as
    `val_score_sum`. Kinds of tasks have different scores, so a sum can only be compared with the
    same tasks' sum after another epoch.

    Args:
      rows: The validation rows.
      tasks: The tasks, in the order of the model's report.

    Raises:
      InputError: if training diverged, or a task has no score.
    """

    def __init__(self, rows: Rows, tasks: Sequence[Task]):
        super().__init__()
        self._rows = rows
        self._tasks = tasks

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Adds the report to the logs."""
        report, labels, weight = evaluate_rows(self.model, self._rows)
        predictions = report.pop("prediction")
        if not np.isfinite(predictions).all():
            raise InputError(
                f"training diverged in epoch {epoch + 1}: a prediction is not a number; "
                "use a smaller --learning_rate."
            )
        scores = []
        of_tasks = split_predictions(self._tasks, predictions)
        for i, task in enumerate(self._tasks):
            weights = weights_of_task(weight, i)
            scores.append(task.score(*drop_unlabelled(labels[:, i], of_tasks[i], weights)))
            if np.isnan(scores[-1]):
                raise InputError(
                    f"task {task.name!r} has {task.one_label} in the validation rows whose weight "
                    f"is not 0; without {task.a_score} no epoch is the best."
                )
            logs[task.score_log] = scores[-1]
            for name, values in report.items():
                mean = float(values[:, i].mean())
                if not np.isnan(mean):  # NaN: this head does not report it
                    logs[f"{name}/{task.name}"] = mean
        logs[SCORE_SUM] = sum(scores)


class KeepBest(keras.callbacks.Callback):
    """Stores the weights of the epoch with the largest validation score, until patience runs out.

    Args:
      weights: The variables to store.
      patience: Epochs without improvement after which later ones do not count.
      monitor: Name of the log to maximise.
    """

    def __init__(self, weights: Sequence[tf.Variable], patience: int, monitor: str = SCORE_SUM):
        super().__init__()
        self._weights = list(weights)
        self._patience = patience
        self._monitor = monitor
        self.best = -np.inf
        self.epoch = -1
        self.values: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Compares the epoch with the best one so far."""
        if logs[self._monitor] > self.best and not self.is_over(epoch - 1):
            self.best, self.epoch = float(logs[self._monitor]), epoch
            self.values = [weight.numpy() for weight in self._weights]

    def is_over(self, epoch: int) -> bool:
        """Whether patience has run out after this epoch."""
        return self.epoch >= 0 and epoch - self.epoch >= self._patience

    def restore_weights(self, weights: Sequence[tf.Variable] | None = None) -> None:
        """Assigns the best epoch's values to the variables, or to others like them."""
        for weight, value in zip(weights or self._weights, self.values, strict=True):
            weight.assign(value)


class StopEarly(keras.callbacks.Callback):
    """Stops training when every `KeepBest` has run out of patience."""

    def __init__(self, bests: Sequence[KeepBest]):
        super().__init__()
        self._bests = bests

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Checks the patience of all."""
        if all(best.is_over(epoch) for best in self._bests):
            self.model.stop_training = True


def load_state(directory: str, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the state that `SaveProgress` saved after the last epoch; None if there is none.

    Args:
      directory: Directory of the state.
      settings: Settings that must be equal for a run to be resumed.

    Raises:
      InputError: if it is the state of a run with other settings, or is damaged.
    """
    path = os.path.join(directory, _STATE)
    if not tf.io.gfile.exists(path):
        return None
    try:
        with tf.io.gfile.GFile(path) as file:
            state = json.load(file)
        stored = state["settings"]
    except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise _make_damage_error(directory, error) from error
    settings = to_plain(settings)
    if stored != settings:
        keys = {*settings, *stored}
        changed = sorted(key for key in keys if settings.get(key) != stored.get(key))
        raise InputError(
            f"{directory} holds an unfinished run with other settings "
            f"({', '.join(changed)}); start it with the same flags to continue it, or remove "
            "that directory to start again."
        )
    return state


@contextlib.contextmanager
def _explain_write_errors(directory: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        raise InputError(f"cannot write {directory}: {error.message}.") from error


def _make_damage_error(directory: str, error: Exception) -> InputError:
    return InputError(
        f"the unfinished run in {directory} is damaged ({error}); remove that directory to start "
        "again."
    )


class SaveProgress(keras.callbacks.Callback):
    """Saves the state after every epoch, so that a killed run can be resumed with equal results.

    The state file is renamed into place last, so the files that it names are complete.

    Args:
      directory: Directory of the state.
      model: The compiled model; its optimizer is saved too.
      bests: The best epochs to save.
      settings: Settings that must be equal for a run to be resumed.
      scratch: Optional. Where a worker other than the chief writes, and keeps nothing: to save a
        model, all have to take part.

    Raises:
      InputError: if the directory cannot be written, or holds the state of a run with other
        settings.
    """

    def __init__(
        self,
        directory: str,
        model: keras.Model,
        bests: Sequence[KeepBest],
        settings: Mapping[str, Any],
        scratch: str | None = None,
    ):
        super().__init__()
        self.history: list[dict[str, float]] = []
        self._directory = directory
        self._bests = bests
        self._settings = settings
        self._scratch = scratch
        self._checkpoint = tf.train.Checkpoint(model=model)
        model.optimizer.build(model.trainable_variables)
        with _explain_write_errors(directory):
            tf.io.gfile.makedirs(directory)

    def resume(self) -> int:
        """Restores the last saved epoch, if there is one; returns the epoch to continue with."""
        state = load_state(self._directory, self._settings)
        if state is None:
            return 0
        try:
            checkpoint = os.path.join(self._directory, state["checkpoint"])
            self._checkpoint.read(checkpoint).assert_consumed()
            stored = load_arrays(os.path.join(self._directory, state["best_file"]))
            for i, (best, saved) in enumerate(zip(self._bests, state["bests"], strict=True)):
                best.best, best.epoch = saved["best"], saved["epoch"]
                best.values = [stored[f"{i}/{j}"] for j in range(saved["weights"])]
        except (InputError, AssertionError, KeyError, ValueError, tf.errors.OpError) as error:
            raise _make_damage_error(self._directory, error) from error
        self.history = state["history"]
        return len(self.history)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Saves the state after this epoch."""
        self.history.append({k: float(v) for k, v in logs.items()})
        if self._scratch:
            self._checkpoint.write(os.path.join(self._scratch, "epoch"))
            return
        newest = max(best.epoch for best in self._bests)
        best_file = f"best-{newest:04d}.npz"
        if newest == epoch:
            values = {
                f"{i}/{j}": value
                for i, best in enumerate(self._bests)
                for j, value in enumerate(best.values)
            }
            save_arrays(os.path.join(self._directory, best_file), values)
        name = f"epoch-{epoch:04d}"
        with _explain_write_errors(self._directory):
            self._checkpoint.write(os.path.join(self._directory, name))
        state = {
            "settings": self._settings,
            "checkpoint": name,
            "best_file": best_file,
            "bests": [
                {"best": best.best, "epoch": best.epoch, "weights": len(best.values)}
                for best in self._bests
            ],
            "history": self.history,
        }
        write_file(os.path.join(self._directory, _STATE), json.dumps(state))
        self._remove_all_but(name, best_file)

    def _remove_all_but(self, checkpoint: str, best_file: str) -> None:
        for name in tf.io.gfile.listdir(self._directory):
            old_checkpoint = name.startswith("epoch-") and not name.startswith(checkpoint)
            old_best = name.startswith("best-") and name != best_file
            path = os.path.join(self._directory, name)
            if old_checkpoint or old_best:
                # A process killed while it writes a checkpoint leaves a directory of its parts.
                (tf.io.gfile.rmtree if tf.io.gfile.isdir(path) else tf.io.gfile.remove)(path)


class ProgressBar(keras.callbacks.Callback):
    """Shows a progress bar over all planned steps on a terminal, and prints a line for every epoch.

    Args:
      run: Name of the training, with which lines begin.
      epochs: Planned epochs.
      steps: Steps of an epoch.
      first_epoch: First epoch of a resumed run.
      tasks: Tasks whose training loss and validation score are shown.
    """

    def __init__(self, run: str, epochs: int, steps: int, first_epoch: int, tasks: Sequence[Task]):
        super().__init__()
        self._first = first_epoch
        self._tasks = tasks
        self._progress = EpochProgress(run, epochs, steps)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Starts the bar."""
        self._progress.start(self._first)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Shows the number of the epoch."""
        self._epoch = epoch
        self._progress.show(epoch, 0)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Moves the bar."""
        self._progress.show(self._epoch, batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Prints the epoch's line."""
        self._progress.print_epoch(
            epoch,
            [
                f"{task.name}: loss {logs[f'loss/{task.name}']:.4f}, "
                f"{task.score_name} {logs[task.score_log]:.4f}"
                for task in self._tasks
            ],
        )

    def on_train_end(self, logs: dict | None = None) -> None:
        """Ends the bar."""
        self._progress.end(self._epoch + 1)

    def stop(self) -> None:
        """Releases the terminal; Keras calls no callback when training ends by an error."""
        self._progress.stop()
