"""What a new task is measured against: trained from scratch, alone and with the old tasks."""

import dataclasses
import os

from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.metrics import auc
from mptrec_tf.models import head_kinds
from mptrec_tf.models.backbone import Backbone, BackboneConfig
from mptrec_tf.models.mptrec import MPTRec, PretrainingConfig
from mptrec_tf.models.prompted import count
from mptrec_tf.training import loop
from mptrec_tf.training.batches import Rows, load_rows, reported
from mptrec_tf.training.new_task import predictions
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training_data import TrainingData

SPLITS = ("validation", "test")


def single_task(shape: BackboneConfig, task: str) -> BackboneConfig:
    """The shape of one task's own network: embedding, one expert and a tower, no gate or prompt."""
    return dataclasses.replace(shape, tasks=(task,), fusion="share_only")


def joint(shape: BackboneConfig, task: str) -> BackboneConfig:
    """The shape of a backbone that is pre-trained on the old tasks and the new one."""
    return dataclasses.replace(shape, tasks=(*shape.tasks, task))


def train_single(
    shape: BackboneConfig,
    data: TrainingData,
    task: str,
    training: loop.TrainingConfig,
    directory: str,
    **options,
) -> tuple[Backbone, loop.Training]:
    """Trains a task alone from scratch; see `pretrain` for the options."""
    losses = PretrainingConfig(gen_weight=0.0, adversarial_weight=0.0)
    shape = single_task(shape, task)
    return pretrain(data, shape, losses, training, directory=directory, **options)


def check_comparable(backbone: Backbone, data: TrainingData) -> None:
    """Refuses data that lack the labels of a pre-trained task.

    Raises:
      InputError: naming the tasks.
    """
    missing = [task for task in backbone.config.tasks if task not in data.spec.task_names]
    if missing:
        raise InputError(
            f"{data.directory} has no labels of {', '.join(missing)}, which joint training with "
            "the old tasks needs; leave out --compare, or prepare data with them."
        )


def compare(
    backbone: Backbone,
    data: TrainingData,
    task: str,
    head: head_kinds.AnyHead,
    training: loop.TrainingConfig,
    *,
    directory: str,
    show_progress: bool = True,
) -> list[dict[str, float | str]]:
    """Trains the reference points, and compares them with a new task's head.

    Args:
      backbone: The backbone.
      data: Labelled rows of the new task and of the old ones.
      task: Name of the new task.
      head: Its head.
      training: How the reference points are trained.
      directory: Where the state of their runs is kept.
      show_progress: Whether to show progress bars.

    Returns:
      A row for each task: `task`; AUC on both `SPLITS` of the frozen model (`mptrec`), of full
      joint training (`joint`), and of the new task alone (`single`).

    Raises:
      InputError: as `check_comparable` and `pretrain` do.
    """
    check_comparable(backbone, data)
    old = backbone.config.tasks
    together, _ = pretrain(
        data,
        joint(backbone.config, task),
        PretrainingConfig(),
        training,
        directory=os.path.join(directory, "joint"),
        show_progress=show_progress,
    )
    alone, _ = train_single(
        backbone.config,
        data,
        task,
        training,
        os.path.join(directory, "single"),
        show_progress=show_progress,
    )
    found: dict[str, dict[str, float | str]] = {name: {"task": name} for name in (*old, task)}
    for split in SPLITS:
        rows = load_rows(data, split, [*old, task])
        for name, value in backbone_aucs(together, rows).items():
            found[name][f"joint_{split}"] = value
        for name, value in backbone_aucs(backbone, rows).items():
            found[name][f"mptrec_{split}"] = value
        own = load_rows(data, split, [task])
        found[task][f"single_{split}"] = backbone_aucs(alone, own)[task]
        answers, labels, weight = predictions(backbone, {task: head}, own)
        found[task][f"mptrec_{split}"] = auc(labels, answers[task], weight)
    found[task]["parameters"] = count(head.trainable_weights)
    return list(found.values())


def backbone_aucs(backbone: Backbone, rows: Rows) -> dict[str, float]:
    """Returns the AUC of each pre-trained task, whose labels are the first of the rows' labels."""
    model = MPTRec(backbone, PretrainingConfig(assignment="online"), training_steps=1)
    report, labels, weight = reported(model, rows)
    return {
        task: auc(labels[:, i], report["probability"][:, i], weight)
        for i, task in enumerate(backbone.config.tasks)
    }
