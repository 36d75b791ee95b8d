"""Stage 1 as a run: prepared data in, a pre-trained backbone out."""

import dataclasses
import json
from collections.abc import Sequence

from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.data.transform.transform_fingerprint import transform_fingerprint
from mptrec_tf.errors import InputError
from mptrec_tf.models.backbone import Backbone, BackboneConfig
from mptrec_tf.models.mptrec import MPTRec, PretrainingConfig
from mptrec_tf.training import loop
from mptrec_tf.training.batches import MEMORY_LIMIT, Rows, load_rows
from mptrec_tf.training.calibration import calibration
from mptrec_tf.training.callbacks import AUC_SUM, RenewEnvironments
from mptrec_tf.training.statistics import statistics


def backbone_config(data: TrainingData, tasks: Sequence[str], **shape) -> BackboneConfig:
    """Returns the configuration of a backbone that fits prepared data.

    Args:
      data: The prepared data.
      tasks: Names of the tasks to pre-train on.
      **shape: Fields of `BackboneConfig` that differ from its defaults.
    """
    return BackboneConfig(
        tasks=tuple(task.name for task in data.spec.select_tasks(tasks)),
        embedding_rows=data.embedding_rows,
        categorical_features=len(data.spec.categorical),
        numeric_features=len(data.spec.numeric),
        **shape,
    )


def pretrain(
    data: TrainingData,
    shape: BackboneConfig,
    losses: PretrainingConfig,
    training: loop.TrainingConfig,
    *,
    directory: str,
    title: str = "pre-training",
    show_progress: bool = True,
    memory_limit: int = MEMORY_LIMIT,
    rows: tuple[Rows, Rows] | None = None,
) -> tuple[Backbone, loop.Training]:
    """Pre-trains a backbone; it has its best epoch's weights, calibrated, and its rows' statistics.

    Args:
      data: The prepared data.
      shape: Shape of the backbone, see `backbone_config`.
      losses: How the losses are weighed.
      training: How long and how fast.
      directory: Where the state of the run is kept; a run that was killed is continued.
      title: Which training it is, for the lines that say how far it is.
      show_progress: Whether to say how far it is.
      memory_limit: Bytes of a split up to which it is held in memory.
      rows: Training and validation rows of these tasks, where they are loaded already.

    Raises:
      InputError: for a task with one class only, data that are damaged, data too large for
        periodic assignment, or a directory that holds the state of another run.
    """
    graph = transform_fingerprint(data.transform_dir)
    loop.seed_everything(training.seed)
    train, validation = rows or (
        load_rows(data, split, shape.tasks, memory_limit) for split in ("train", "validation")
    )
    periodic = losses.assignment == "periodic" and losses.adversarial_weight > 0
    if periodic and train.columns is None:
        raise InputError(
            f"{data.directory} holds {train.count} training rows, more than fit in memory, and "
            "periodic assignment keeps an environment for each; use --assignment=online."
        )
    model = MPTRec(
        shape,
        losses,
        training_steps=training.epochs * train.steps(training.batch_size),
        training_rows=train.count if periodic else 0,
    )
    results = loop.run(
        model,
        {AUC_SUM: list(model.backbone.named_weights().values())},
        train,
        validation,
        shape.tasks,
        training,
        directory=directory,
        settings={
            "data": data.splits,
            "preprocessing": graph,
            "backbone": json.loads(shape.to_json()),
            "losses": dataclasses.asdict(losses),
        },
        callbacks=[RenewEnvironments(train)] if periodic else [],
        title=title,
        show_progress=show_progress,
    )
    result = results[AUC_SUM]
    if training.calibrate:
        found = calibration(model, validation)
        model.backbone.towers.rescale(*zip(*found, strict=True))
        by_task = dict(zip(shape.tasks, found, strict=True))
        result = dataclasses.replace(result, calibration=by_task)
    model.backbone.set_statistics(
        *statistics(model.backbone, train, title if show_progress else None)
    )
    return model.backbone, result
