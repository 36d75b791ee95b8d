"""The Evaluator's results in the format of TensorFlow Model Analysis, which its tools read.

<directory>/
  eval_config.json       models, tasks, thresholds and slices (`tfma.load_eval_result(...).config`)
  metrics-*.tfrecord     a MetricsForSlice of each slice (`tfma.load_eval_result`)
  validations.tfrecord   whether the model is blessed, and why not (`tfma.load_validation_result`)
"""

import os
from collections.abc import Iterable, Mapping

import tensorflow as tf
from google.protobuf import json_format
from tensorflow_model_analysis import version
from tensorflow_model_analysis.proto import (
    config_pb2,
    metrics_for_slice_pb2,
    validation_result_pb2,
)

from components.evaluation.config import EvaluatorConfig
from components.evaluation.measuring import BASELINE, CANDIDATE, EXAMPLE_COUNT, Metrics
from components.evaluation.slicing import SliceKey, show_slice
from mptrec_tf.data.labels import has_task_weights
from mptrec_tf.data.raw_examples import label_column, weight_column
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.evaluation.gate import CALIBRATION, GROUPED, Verdict
from mptrec_tf.storage.directories import write_file

_METRICS, _VALIDATIONS = "metrics-00000-of-00001.tfrecord", "validations.tfrecord"
# The metrics that these measures of the gate belong to.
_MEASURED_BY = {CALIBRATION: "calibration", GROUPED: "grouped_auc"}


class TfmaWriter:
    """Writes results of one evaluation.

    Args:
      directory: Where to write.
      spec: Of the rows, with the tasks.
      config: What was evaluated.
    """

    def __init__(self, directory: str, spec: DatasetSpec, config: EvaluatorConfig):
        self._directory = directory
        self._config = config
        self._spec = spec
        self._tasks = {task.name: task for task in spec.select_tasks(config.tasks)}
        tf.io.gfile.makedirs(directory)

    def write_config(self, examples: str, models: Mapping[str, str]) -> None:
        """Writes what was evaluated.

        Args:
          examples: Where the rows are.
          models: The directories of the SavedModels, by their names here.
        """
        run = config_pb2.EvalRun(
            eval_config=self._make_eval_config(list(models)),
            version=version.VERSION,
            data_location=examples,
            file_format="tfrecords",
            model_locations=models,
        )
        self._write("eval_config.json", json_format.MessageToJson(run).encode())

    def _make_eval_config(self, models: list[str]) -> config_pb2.EvalConfig:
        config = config_pb2.EvalConfig()
        config.options.include_default_metrics.value = False
        for name in models:
            model = config.model_specs.add(
                name=name, signature_name="serving_default", is_baseline=name == BASELINE
            )
            if self._spec.weight and not has_task_weights(self._spec):
                model.example_weight_key = self._spec.weight
            for task in self._tasks:
                model.label_keys[task] = label_column(task)
                if has_task_weights(self._spec):
                    model.example_weight_keys[task] = weight_column(self._spec, task)
        for name, task in self._tasks.items():
            compared = name in self._config.compared
            metrics = config.metrics_specs.add(
                output_names=[name], model_names=models if compared else [CANDIDATE]
            )
            metric = metrics.metrics.add(class_name=task.score_key)
            metric.threshold.value_threshold.CopyFrom(self._least(name))
            if compared:
                metric.threshold.change_threshold.CopyFrom(self._most_change(task.score_name))
        config.slicing_specs.add()
        for columns in self._config.slices:
            config.slicing_specs.add(feature_keys=columns)
        return config

    def _least(self, task: str) -> config_pb2.GenericValueThreshold:
        threshold = config_pb2.GenericValueThreshold()
        threshold.lower_bound.value = self._config.thresholds.least_of(self._tasks[task])
        return threshold

    def _most_change(self, measure: str) -> config_pb2.GenericChangeThreshold:
        gate, of_calibration = self._config.thresholds.gate, measure == CALIBRATION
        direction = config_pb2.MetricDirection
        threshold = config_pb2.GenericChangeThreshold(
            direction=direction.LOWER_IS_BETTER if of_calibration else direction.HIGHER_IS_BETTER
        )
        threshold.absolute.value = gate.calibration_margin if of_calibration else -gate.margin
        return threshold

    def write_metrics(self, metrics: Mapping[SliceKey, Mapping[str, Metrics]]) -> None:
        """Writes the metrics of both models, and their differences, by slice and by model."""
        records = []
        for key, by_model in metrics.items():
            record = metrics_for_slice_pb2.MetricsForSlice(slice_key=_make_slice_key(key))
            for model, by_task in by_model.items():
                for task, values in by_task.items():
                    for name, value in values.items():
                        self._add(record, self._make_key(model, task, name), value)
            for task, values in by_model.get(BASELINE, {}).items():
                mine = by_model[CANDIDATE][task]
                for name in values.keys() & mine.keys() - {EXAMPLE_COUNT}:
                    metric = self._make_key(CANDIDATE, task, name, is_diff=True)
                    self._add(record, metric, mine[name] - values[name])
            records.append(record.SerializeToString())
        self._write_records(_METRICS, records)

    def _make_key(
        self, model: str, task: str, name: str, is_diff: bool = False
    ) -> metrics_for_slice_pb2.MetricKey:
        key = metrics_for_slice_pb2.MetricKey(
            name=name, model_name=model, output_name=task, is_diff=is_diff
        )
        key.example_weighted.value = weight_column(self._spec, task) is not None
        return key

    def _add(
        self,
        record: metrics_for_slice_pb2.MetricsForSlice,
        key: metrics_for_slice_pb2.MetricKey,
        value: float,
    ) -> None:
        added = record.metric_keys_and_values.add(key=key)
        added.value.double_value.value = value

    def write_validation(
        self, below: Mapping[str, float], blocking: Iterable[Verdict], slices: Iterable[SliceKey]
    ) -> None:
        """Writes whether the model is blessed: whether there is nothing against it.

        Args:
          below: Scores that are below their thresholds, by task.
          blocking: Verdicts that block it.
          slices: All slices but that of all rows.
        """
        result = validation_result_pb2.ValidationResult(validation_ok=True)
        keys = {show_slice(key): key for key in ((), *slices)}
        by_slice = {}

        def add_failure(where: str) -> validation_result_pb2.ValidationFailure:
            result.validation_ok = False
            if where not in by_slice:
                by_slice[where] = result.metric_validations_per_slice.add(
                    slice_key=_make_slice_key(keys[where])
                )
            return by_slice[where].failures.add()

        for task, score in below.items():
            failure = add_failure("")
            failure.metric_key.CopyFrom(
                self._make_key(CANDIDATE, task, self._tasks[task].score_key)
            )
            failure.metric_threshold.value_threshold.CopyFrom(self._least(task))
            failure.metric_value.double_value.value = score
        for verdict in blocking:
            failure = add_failure(verdict.slice)
            task = self._tasks[verdict.task]
            name = _MEASURED_BY.get(verdict.measure, task.score_key)
            failure.metric_key.CopyFrom(self._make_key(CANDIDATE, task.name, name, is_diff=True))
            failure.metric_threshold.change_threshold.CopyFrom(self._most_change(verdict.measure))
            failure.metric_value.double_value.value = verdict.difference
            failure.message = verdict.explain(self._config.thresholds.gate)
        for columns in ((), *self._config.slices):
            details = result.validation_details.slicing_details.add()
            details.slicing_spec.feature_keys.extend(columns)
            names = [tuple(name for name, _ in key) for key in keys.values()]
            details.num_matching_slices = names.count(tuple(columns))
        self._write_records(_VALIDATIONS, [result.SerializeToString()])

    def _write(self, name: str, content: bytes) -> None:
        write_file(os.path.join(self._directory, name), content)

    def _write_records(self, name: str, records: Iterable[bytes]) -> None:
        with tf.io.TFRecordWriter(os.path.join(self._directory, name)) as writer:
            for record in records:
                writer.write(record)


def _make_slice_key(key: SliceKey) -> metrics_for_slice_pb2.SliceKey:
    result = metrics_for_slice_pb2.SliceKey()
    for column, value in key:
        one = result.single_slice_keys.add(column=column)
        if isinstance(value, str):
            one.bytes_value = value.encode()
        else:
            one.float_value = value
    return result
