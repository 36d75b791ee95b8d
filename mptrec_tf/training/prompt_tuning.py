"""Stage 2 as a run: a frozen backbone and labelled rows in, heads of a new task out.

The frozen backbone encodes each row once; all epochs read the stored representations.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.models.heads.base import Head
from mptrec_tf.models.heads.registry import shape_to_plain
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.training import loop
from mptrec_tf.training.batches import Rows, change_task_columns
from mptrec_tf.training.calibration import fit_calibration, fit_knots, rescale_head
from mptrec_tf.training.callbacks import load_state
from mptrec_tf.training.configurations import TrainingConfig
from mptrec_tf.training.representations import encode_task
from mptrec_tf.training.run_context import RunContext


def tune(
    backbone: MultiTaskModel | PromptedMPTRec,
    data: TrainingData,
    task: str,
    heads: Mapping[str, Any],
    training: TrainingConfig,
    context: RunContext,
    encoded: tuple[Rows, Rows] | None = None,
) -> dict[str, tuple[Head, loop.Training]]:
    """Trains heads of a new task together; each gets its own best epoch's weights, calibrated.

    The heads are independent: each learns what it would learn alone.

    Args:
      backbone: A pre-trained model, which is frozen; or a frozen model to add the heads to.
      data: Data with the new task's labels.
      task: Name of the new task.
      heads: Shapes by kind.
      training: How long and how fast.
      context: The directory of the run's state, and the backbone's fingerprint.
      encoded: Optional. What `encode_task` returned, to encode rows only once for several runs.

    Returns:
      Head and results by kind; the logs have the task's name.

    Raises:
      InputError: for a task with one label only, one that the backbone has already, data that
        are damaged, or a directory that holds the state of another run.

    Example:
      Trains the paper's head with the paper's settings:

          backbone = load_backbone("BACKBONE")
          context = RunContext("STATE", fingerprint=backbone.fingerprint)
          data, shapes = PreparedData("DATA"), {"prompt": PromptConfig()}
          trained = tune(backbone.model, data, "share", shapes, TrainingConfig(), context)
          head, result = trained["prompt"]
    """
    loop.seed_everything(training.seed)
    model = backbone if isinstance(backbone, PromptedMPTRec) else PromptedMPTRec(backbone)
    named = _name_heads(data, task, heads)
    for kind, one in named.items():
        model.add_task(one, heads[kind])
    # Before anything is written to a directory that another run may use.
    check_state(data, task, heads, training, context)
    train, validation = encoded or encode_task(model, data, [task], context)
    job = loop.Job(
        make_model=lambda: model,
        select_weights=lambda model: {
            t.score_log: model.heads[t.name].weights for t in named.values()
        },
        train=_repeat_labels(train, len(heads)),
        validation=_repeat_labels(validation, len(heads)),
        tasks=list(named.values()),
        settings=_make_settings(data, task, heads, context),
    )
    _, results = loop.run(job, training, context)
    trained = {k: _select_logs(results[t.score_log], t.name, task) for k, t in named.items()}
    for one in named.values():
        if one.logit_correction:
            rescale_head(model.heads[one.name], (1.0, one.logit_correction))
    if training.calibrate:
        fitted = fit_calibration(model, job.validation, job.tasks)
        for (kind, one), by in zip(named.items(), fitted, strict=True):
            if by is not None:
                rescale_head(model.heads[one.name], by)
                trained[kind] = dataclasses.replace(trained[kind], calibration={task: by})
        fitted = fit_knots(model, job.validation, job.tasks)
        for kind, knots in zip(named, fitted, strict=True):
            if knots:
                trained[kind] = dataclasses.replace(trained[kind], knots={task: knots})
    return {kind: (model.heads[one.name], trained[kind]) for kind, one in named.items()}


def check_state(
    data: TrainingData,
    task: str,
    heads: Mapping[str, Any],
    training: TrainingConfig,
    context: RunContext,
) -> None:
    """Rejects a context whose directory holds the state of another run than `tune` would continue.

    Raises:
      InputError: naming the settings that differ.
    """
    settings = _make_settings(data, task, heads, context)
    named = list(_name_heads(data, task, heads).values())
    load_state(context.directory, loop.merge_settings(settings, training, named))


def _name_heads(data: TrainingData, task: str, heads: Mapping[str, Any]) -> dict[str, Task]:
    """Returns the task under a name for each head; a single head has the task's own name."""
    [one] = data.spec.select_tasks([task])
    alone = len(heads) == 1
    return {k: one if alone else dataclasses.replace(one, name=f"{task}/{k}") for k in heads}


def _make_settings(
    data: TrainingData,
    task: str,
    heads: Mapping[str, Any],
    context: RunContext,
) -> dict[str, Any]:
    return {
        "data": data.splits,
        "backbone": context.fingerprint,
        "task": task,
        "heads": {kind: shape_to_plain(head) for kind, head in heads.items()},
    }


def _repeat_labels(rows: Rows, count: int) -> Rows:
    """Repeats each row's label, and its weight for the task, for every head."""
    if count == 1:
        return rows
    return change_task_columns(rows, lambda column: tf.repeat(column, count, axis=1))


def _select_logs(result: loop.Training, name: str, task: str) -> loop.Training:
    """Returns a training with the logs of one head alone, under the task's name."""
    history = [
        {
            f"{key.removesuffix(name)}{task}": value
            for key, value in logs.items()
            if key.endswith(f"/{name}")
        }
        for logs in result.history
    ]
    return dataclasses.replace(result, history=history)
