"""The EvalConfig of TFX's Evaluator for a model with many tasks."""

import json
from collections.abc import Sequence

from tensorflow_model_analysis.proto import config_pb2

from components.evaluation.thresholds import Thresholds
from mptrec_tf.data.labels import has_task_weights
from mptrec_tf.data.raw_examples import label_column, weight_column
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.evaluator_metric import EvaluatorMetric
from mptrec_tf.errors import InputError

CANDIDATE, BASELINE = "candidate", "baseline"


def make_eval_config(
    spec: DatasetSpec,
    tasks: Sequence[str],
    thresholds: Thresholds,
    *,
    baseline_tasks: Sequence[str] | None = None,
    slices: Sequence[Sequence[str]] = (),
) -> config_pb2.EvalConfig:
    """Returns the configuration: the metrics of each task's kind, the score first.

    Args:
      spec: Of the raw examples.
      tasks: Names of the tasks to evaluate.
      thresholds: What each task must reach on all rows.
      baseline_tasks: Tasks that the model in production predicts, too: the candidate must not be
        worse than it by more than the margin. None where there is no such model.
      slices: Lists of feature columns; a model is also evaluated on every combination of their
        values.

    Raises:
      InputError: for an unknown task, a threshold of a task that is not evaluated, or a slice by
        a column that is not a feature.

    Example:
      config = make_eval_config(spec, ["click"], Thresholds({"click": 0.6}), slices=[["device"]])
    """
    selected = spec.select_tasks(tasks)
    unknown = sorted(set(thresholds.least) - set(spec.task_names))
    if unknown:
        raise InputError(
            f"a threshold is given for {unknown[0]!r}, which is not a task of data set "
            f"{spec.name!r}."
        )
    for column in (column for columns in slices for column in columns):
        if column not in spec.feature_names:
            raise InputError(
                f"cannot slice by {column!r}: it is not a feature of data set {spec.name!r}."
            )
    config = config_pb2.EvalConfig()
    config.options.include_default_metrics.value = False
    for name in (CANDIDATE,) if baseline_tasks is None else (CANDIDATE, BASELINE):
        model = config.model_specs.add(
            name=name, signature_name="serving_default", is_baseline=name == BASELINE
        )
        if spec.weight and not has_task_weights(spec):
            model.example_weight_key = spec.weight
        for task in tasks:
            model.label_keys[task] = label_column(task)
            if has_task_weights(spec):
                model.example_weight_keys[task] = weight_column(spec, task)
    for task in selected:
        compared = baseline_tasks is not None and task.name in baseline_tasks
        metrics = config.metrics_specs.add(
            output_names=[task.name],
            model_names=[CANDIDATE, BASELINE] if compared else [CANDIDATE],
        )
        score, *_ = (_add_metric(metrics, metric) for metric in task.evaluator_metrics())
        score.threshold.value_threshold.lower_bound.value = thresholds.least_of(task)
        if compared:
            score.threshold.change_threshold.absolute.value = -thresholds.margin
            score.threshold.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
    config.slicing_specs.add()
    for columns in slices:
        config.slicing_specs.add(feature_keys=list(columns))
    return config


def _add_metric(
    metrics: config_pb2.MetricsSpec, metric: EvaluatorMetric
) -> config_pb2.MetricConfig:
    added = metrics.metrics.add(class_name=metric.class_name, module=metric.module)
    if metric.config:
        # Without the braces: the library adds its own.
        added.config = json.dumps(dict(metric.config))[1:-1]
    return added
