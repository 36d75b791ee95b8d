"""The score of a task of any kind, as a metric of TensorFlow Model Analysis."""

from collections.abc import Iterable, Mapping
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

from mptrec_tf.data.tasks.base import drop_unlabelled
from mptrec_tf.data.tasks.registry import task_from_plain

# Labels, predictions and weights, in pieces.
Rows = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


class TaskScore(metric_types.Metric):
    """`Task.score` of an output, which training also uses, on all rows at once.

    It holds label, prediction and weight of each row in memory. A kind of task whose score needs
    less should have a metric of its own.

    Args:
      name: Name of the metric.
      task: The task, see `Task.to_plain`.
    """

    def __init__(self, name: str, task: Mapping[str, Any]):
        computations = metric_util.merge_per_key_computations(_make_computations)
        super().__init__(computations, name=name, task=task)


metric_types.register_metric(TaskScore)


def _make_computations(
    name: str,
    task: Mapping[str, Any],
    eval_config=None,
    model_name: str = "",
    output_name: str = "",
    example_weighted: bool = False,
) -> metric_types.MetricComputations:
    key = metric_types.MetricKey(
        name=name,
        model_name=model_name,
        output_name=output_name,
        example_weighted=example_weighted,
    )
    combiner = _Gather(key, eval_config, task)
    return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=combiner)]


class _Gather(beam.CombineFn):
    """Combines predictions and labels to the score."""

    def __init__(self, key: metric_types.MetricKey, eval_config, task: Mapping[str, Any]):
        self._key = key
        self._eval_config = eval_config
        self._task = task

    def create_accumulator(self) -> Rows:
        return []

    def add_input(self, accumulator: Rows, element: metric_types.StandardMetricInputs) -> Rows:
        for label, prediction, weight in metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._key.model_name,
            output_name=self._key.output_name,
            example_weighted=self._key.example_weighted,
            flatten=False,  # a prediction may have several numbers
        ):
            label = label.ravel()
            prediction = prediction.reshape(label.size, -1)
            accumulator.append(drop_unlabelled(label, prediction, weight.ravel()))
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Rows]) -> Rows:
        return [rows for accumulator in accumulators for rows in self.compact(accumulator)]

    def compact(self, accumulator: Rows) -> Rows:
        if not accumulator:
            return []
        columns = (np.concatenate(c).astype(np.float32) for c in zip(*accumulator, strict=True))
        return [tuple(columns)]

    def extract_output(self, accumulator: Rows) -> dict[metric_types.MetricKey, float]:
        if not accumulator:
            return {self._key: float("nan")}
        [(labels, predictions, weight)] = self.compact(accumulator)
        if predictions.shape[1] == 1:
            predictions = predictions[:, 0]
        if not labels.size:
            return {self._key: float("nan")}
        task = task_from_plain(self._task)
        return {self._key: task.score(labels, predictions, weight if weight.any() else None)}
