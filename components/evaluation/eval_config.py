"""The EvalConfig of TFX's Evaluator for a model with many tasks."""

from collections.abc import Sequence

from tensorflow_model_analysis.proto import config_pb2

from components.evaluation.thresholds import Thresholds
from mptrec_tf.data.raw_examples import label_column
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError

CANDIDATE, BASELINE = "candidate", "baseline"
AUC = "auc"


def make_eval_config(
    spec: DatasetSpec,
    tasks: Sequence[str],
    thresholds: Thresholds,
    *,
    baseline_tasks: Sequence[str] | None = None,
    slices: Sequence[Sequence[str]] = (),
) -> config_pb2.EvalConfig:
    """Returns the configuration: AUC, calibration and example counts for every task.

    Args:
      spec: Of the raw examples.
      tasks: Names of the tasks to evaluate.
      thresholds: What each task must reach on all rows together.
      baseline_tasks: Tasks that the model in production answers, too: each must not be worse there
        by more than the margin. None where there is no such model.
      slices: Lists of feature columns; a model is also evaluated on every combination of their
        values.

    Raises:
      InputError: for an unknown task, a threshold of a task that is not evaluated, or a slice by
        what is no feature.
    """
    spec.select_tasks(tasks)
    odd = sorted(set(thresholds.least_auc) - set(spec.task_names))
    if odd:
        raise InputError(
            f"a threshold is given for {odd[0]!r}, which is no task of data set {spec.name!r}."
        )
    for column in (column for columns in slices for column in columns):
        if column not in spec.feature_names:
            raise InputError(
                f"cannot slice by {column!r}: it is no feature of data set {spec.name!r}."
            )
    config = config_pb2.EvalConfig()
    config.options.include_default_metrics.value = False
    for name in (CANDIDATE,) if baseline_tasks is None else (CANDIDATE, BASELINE):
        model = config.model_specs.add(
            name=name, signature_name="serving_default", is_baseline=name == BASELINE
        )
        if spec.weight:
            model.example_weight_key = spec.weight
        for task in tasks:
            model.label_keys[task] = label_column(task)
    for task in tasks:
        compared = baseline_tasks is not None and task in baseline_tasks
        metrics = config.metrics_specs.add(
            output_names=[task],
            model_names=[CANDIDATE, BASELINE] if compared else [CANDIDATE],
        )
        auc = metrics.metrics.add(class_name="ExactAuc", module="components.evaluation.exact_auc")
        auc.config = f'"name": "{AUC}"'
        auc.threshold.value_threshold.lower_bound.value = thresholds.least(task)
        if compared:
            auc.threshold.change_threshold.absolute.value = -thresholds.margin
            auc.threshold.change_threshold.direction = config_pb2.MetricDirection.HIGHER_IS_BETTER
        for name in ("Calibration", "ExampleCount"):
            metrics.metrics.add(class_name=name)
    config.slicing_specs.add()
    for columns in slices:
        config.slicing_specs.add(feature_keys=list(columns))
    return config
