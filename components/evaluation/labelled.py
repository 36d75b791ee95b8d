"""Calibration and number of the rows that have a label, as metrics of TensorFlow Model Analysis.

The library's own count every row: for a task that only some rows have a label of, its calibration
would not be a number.
"""

from collections.abc import Iterable

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluation.rows import read_labelled_rows

CALIBRATION, COUNT = NAMES = ("calibration", "example_count")


class LabelledRows(metric_types.Metric):
    """A sum over the rows with a label.

    Args:
      name: "calibration", the mean prediction over the mean label, or "example_count", the sum of
        the weights. The library's metrics of these names are the same where all rows have labels.
    """

    def __init__(self, name: str):
        if name not in NAMES:
            raise ValueError(f"name should be one of {NAMES}. Received: {name!r}.")
        super().__init__(metric_util.merge_per_key_computations(_make_computations), name=name)


metric_types.register_metric(LabelledRows)


def _make_computations(
    name: str,
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
    combiner = _Sum(key, eval_config)
    return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=combiner)]


class _Sum(beam.CombineFn):
    """Sums predictions, labels and weights, each weighted."""

    def __init__(self, key: metric_types.MetricKey, eval_config):
        self._key = key
        self._eval_config = eval_config

    def create_accumulator(self) -> np.ndarray:
        return np.zeros(3)

    def add_input(
        self, accumulator: np.ndarray, element: metric_types.StandardMetricInputs
    ) -> np.ndarray:
        for label, prediction, weight in read_labelled_rows(element, self._key, self._eval_config):
            accumulator += weight * np.array([prediction, label, 1.0])
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[np.ndarray]) -> np.ndarray:
        return np.sum([np.zeros(3), *accumulators], axis=0)

    def extract_output(self, accumulator: np.ndarray) -> dict[metric_types.MetricKey, float]:
        predictions, labels, count = accumulator.tolist()
        if self._key.name == COUNT:
            return {self._key: count}
        return {self._key: predictions / labels if labels else float("nan")}
