"""Stage 2 as a run: a frozen backbone and labelled rows in, heads of a new task out.

The frozen backbone encodes each row once; all epochs read what came out.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mptrec_tf.data.packed import LABELS
from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.models import head_kinds
from mptrec_tf.models.backbone import Backbone
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.training import loop
from mptrec_tf.training.batches import MEMORY_LIMIT, Rows
from mptrec_tf.training.calibration import calibration
from mptrec_tf.training.callbacks import saved_state
from mptrec_tf.training.representations import encode_task


def tune(
    backbone: Backbone,
    data: TrainingData,
    task: str,
    heads: Mapping[str, head_kinds.AnyConfig],
    training: loop.TrainingConfig,
    *,
    directory: str,
    fingerprint: str,
    logs: str | None = None,
    title: str | None = None,
    show_progress: bool = True,
    encoded: tuple[Rows, Rows] | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> dict[str, tuple[head_kinds.AnyHead, loop.Training]]:
    """Trains heads of a new task side by side; each has its own best epoch's weights, calibrated.

    They know nothing of one another: each learns what it would learn alone.

    Args:
      backbone: A pre-trained backbone. It is frozen.
      data: Data with the new task's labels.
      task: Name of the new task.
      heads: Shapes by kind.
      training: How long and how fast.
      directory: Where the state of the run is kept; a run that was killed is continued.
      fingerprint: Names the backbone, so that a run is continued on the same one alone.
      logs: Where TensorBoard's logs go. Defaults to `logs` in the directory.
      title: Which training it is, for the lines that say how far it is. Defaults to the task.
      show_progress: Whether to say how far it is.
      encoded: What `encode_task` returned, where several runs read it.
      memory_limit: Bytes of a split, or of its representations, that are held in memory.

    Returns:
      Head and training by kind; the logs of a training name the task.

    Raises:
      InputError: for a task with one class only, one that the backbone has already, data that
        are damaged, or a directory that holds the state of another run.
    """
    loop.seed_everything(training.seed)
    model = PromptedMPTRec(backbone)
    names = _names(task, heads)
    for kind, name in names.items():
        model.add_task(name, heads[kind])
    # Before anything is written where another run may keep what it reads.
    check_state(directory, data, fingerprint, task, heads, training)
    train, validation = encoded or encode_task(model, data, [task], directory, memory_limit)
    results = loop.run(
        model,
        {f"val_auc/{name}": model.heads[name].weights for name in names.values()},
        _label_for_each(train, len(heads)),
        _label_for_each(validation, len(heads)),
        list(names.values()),
        training,
        directory=directory,
        settings=_settings(data, fingerprint, task, heads),
        logs=logs,
        title=title or task,
        show_progress=show_progress,
    )
    trained = {kind: _logs_of(results[f"val_auc/{n}"], n, task) for kind, n in names.items()}
    if training.calibrate:
        found = calibration(model, _label_for_each(validation, len(heads)))
        for (kind, name), (scale, shift) in zip(names.items(), found, strict=True):
            model.heads[name].rescale(scale, shift)
            trained[kind] = dataclasses.replace(trained[kind], calibration={task: (scale, shift)})
    return {kind: (model.heads[name], trained[kind]) for kind, name in names.items()}


def check_state(
    directory: str,
    data: TrainingData,
    fingerprint: str,
    task: str,
    heads: Mapping[str, head_kinds.AnyConfig],
    training: loop.TrainingConfig,
) -> None:
    """Refuses a directory that holds the state of another run than `tune` would continue.

    Raises:
      InputError: naming the settings that differ.
    """
    settings = _settings(data, fingerprint, task, heads)
    names = _names(task, heads).values()
    saved_state(directory, loop.all_settings(settings, training, list(names)))


def _names(task: str, heads: Mapping[str, head_kinds.AnyConfig]) -> dict[str, str]:
    """What the heads are called while they train: one alone as the task."""
    return {kind: task if len(heads) == 1 else f"{task}/{kind}" for kind in heads}


def _settings(
    data: TrainingData, fingerprint: str, task: str, heads: Mapping[str, head_kinds.AnyConfig]
) -> dict[str, Any]:
    return {
        "data": data.splits,
        "backbone": fingerprint,
        "task": task,
        "heads": {kind: head_kinds.to_dict(head) for kind, head in heads.items()},
    }


def _label_for_each(rows: Rows, count: int) -> Rows:
    """The one label of each row as often as there are heads."""
    if count == 1:
        return rows

    def repeat(columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**columns, LABELS: tf.repeat(columns[LABELS], count, axis=1)}

    return Rows(
        rows.count,
        lambda seed, size: rows.windows(seed, size).map(repeat),
        rows.columns and repeat(rows.columns),
    )


def _logs_of(result: loop.Training, name: str, task: str) -> loop.Training:
    """A training with the logs of one head, under the task's name."""
    history = [
        {
            f"{key.removesuffix(name)}{task}": value
            for key, value in logs.items()
            if key.endswith(f"/{name}")
        }
        for logs in result.history
    ]
    return dataclasses.replace(result, history=history)
