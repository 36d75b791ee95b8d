"""Stage 1 as a run: prepared data in, a pre-trained model out."""

import dataclasses
from collections.abc import Callable

from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.data.transform.transform_fingerprint import fingerprint_transform
from mptrec_tf.errors import InputError
from mptrec_tf.kinds import load
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.trainer import Plan, Trainer
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training import loop
from mptrec_tf.training.baseline import describe_rows, describe_tasks
from mptrec_tf.training.batches import Rows, load_both
from mptrec_tf.training.calibration import calibrate_model, list_rescaling
from mptrec_tf.training.callbacks import SCORE_SUM
from mptrec_tf.training.configurations import PretrainingConfig
from mptrec_tf.training.distribution import ONE_PROCESS
from mptrec_tf.training.run_context import RunContext
from mptrec_tf.training.statistics import compute_statistics


def pretrain(
    data: TrainingData,
    config: PretrainingConfig,
    context: RunContext,
    rows: tuple[Rows, Rows] | None = None,
    begin: Callable[..., loop.Job] | None = None,
) -> tuple[MultiTaskModel, loop.Training]:
    """Pre-trains a model, restores its best epoch, calibrates it, and sets its statistics.

    Maps of isotonic calibration are no part of the model, which does not know them: see
    `Training.knots`.

    Args:
      data: The prepared data.
      config: The model and its training.
      context: The directory of the run's state, and whether to show progress.
      rows: Optional training and validation rows of these tasks, if they are loaded already.
      begin: Optional. What comes before this training, as `ModelKind.begin`; defaults to that.

    Returns:
      The model, and the results of the training.

    Raises:
      InputError: for fields that the model does not have, a task with one label only, data that are
        damaged, data too large for a training that needs its rows in memory, or a directory that
        holds the state of another run.
      ValueError: for a model that is registered under another name than its `kind`.

    Example:
      Pre-trains on prepared data, and writes the backbone:

          data = PreparedData("DATA")
          config = PretrainingConfig(("click", "like"))
          context = RunContext("BACKBONE.training")
          model, result = pretrain(data, config, context)
          save_trained_backbone(
              "BACKBONE", model, data, config.record(), result, context.directory
          )
    """
    config.check_fields()
    kind, training = MODELS.get(config.model), config.training
    if kind.model_class.kind != config.model:
        # Otherwise loading the model would fail, after hours of training.
        raise ValueError(
            f"{kind.model_class.__name__}.kind should be {config.model!r}, as it is registered. "
            f"Received: {kind.model_class.kind!r}."
        )
    distribution = context.distribution or ONE_PROCESS
    if kind.begin and distribution.is_shared:
        raise InputError(
            f"model {config.model!r} searches for its parts before it is trained, the work "
            "of one process: train it without --strategy."
        )
    shape, losses = config.make_shape(data), config.make_losses()
    reason = kind.explain_rows_in_memory(losses)
    if problem := distribution.explain_rows(reason):
        raise InputError(problem)
    graph = fingerprint_transform(data.transform_dir)
    loop.seed_everything(training.seed)
    train, validation = rows or load_both(data, shape.tasks, context.row_memory)
    if reason and train.columns is None:
        raise InputError(
            f"{data.directory} holds {train.count} training rows, more than fit in memory, and "
            f"{reason}."
        )
    plan = Plan(training.epochs * train.steps(training.batch_size), train.count)
    tasks = data.spec.select_tasks(shape.tasks)
    job = loop.Job(
        make_model=lambda: kind.make_trainer(kind.make(shape), tasks, losses, plan),
        select_weights=lambda model: {SCORE_SUM: list(model.backbone.named_weights().values())},
        train=train,
        validation=validation,
        tasks=tasks,
        settings={
            "data": data.splits,
            "preprocessing": graph,
            "model": config.model,
            "backbone": to_plain(shape),
            "losses": to_plain(losses),
        },
    )
    begin = begin or (kind.begin and load(kind.begin))
    if begin:
        job = begin(job, shape, losses, training, context)
    trainer, results = loop.run(job, training, context)
    model, result = trainer.backbone, results[SCORE_SUM]
    corrections = [(1.0, task.logit_correction) for task in tasks]
    if any(shift for _, shift in corrections):
        model.rescale(*list_rescaling(tasks, corrections))
    if training.calibrate:
        scales, knots = calibrate_model(trainer, validation, tasks)
        result = dataclasses.replace(result, calibration=scales, knots=knots)
    model.set_tasks(result.complete(tasks))
    title = context.title if context.show_progress else None
    model.set_statistics(compute_statistics(model, train, title))
    baseline = describe_rows(data, train, validation)
    complete = result.complete(tasks)
    baseline["tasks"] = describe_tasks(Trainer(model, complete), complete, validation)
    return model, dataclasses.replace(result, baseline=baseline)
