"""AUC without bins, as a metric of TensorFlow Model Analysis.

The library's own AUC sorts predictions into bins of equal width, which is off by some 1e-4 where
most predictions are near 0. This one counts every distinct prediction: it is exact, and its size
grows with the number of distinct float32 predictions.

    AUC = sum_p w1(p) (sum_{q < p} w0(q) + w0(p) / 2) / (sum w0 sum w1)

w0 and w1 are the weights of the negatives and positives with a prediction.
"""

from collections.abc import Iterable

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

from components.evaluation.rows import read_labelled_rows

# The weight of the negatives and of the positives, by prediction.
Counts = dict[float, list[float]]


class ExactAuc(metric_types.Metric):
    """Area under the ROC curve of a binary output; ties count one half.

    Args:
      name: Name of the metric.

    Example:
      >>> compute_area({0.2: [1.0, 0.0], 0.7: [1.0, 1.0]})  # one pair in order, one tied
      0.75
    """

    def __init__(self, name: str = "auc"):
        super().__init__(metric_util.merge_per_key_computations(_make_computations), name=name)


metric_types.register_metric(ExactAuc)


def _make_computations(
    name: str = "auc",
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
    combiner = _Count(key, eval_config)
    return [metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=combiner)]


class _Count(beam.CombineFn):
    """Combines predictions and labels to the area."""

    def __init__(self, key: metric_types.MetricKey, eval_config):
        self._key = key
        self._eval_config = eval_config

    def create_accumulator(self) -> Counts:
        return {}

    def add_input(self, accumulator: Counts, element: metric_types.StandardMetricInputs) -> Counts:
        for label, prediction, weight in read_labelled_rows(element, self._key, self._eval_config):
            counts = accumulator.setdefault(prediction, [0.0, 0.0])
            counts[int(label > 0.5)] += weight
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Counts]) -> Counts:
        merged: Counts = {}
        for accumulator in accumulators:
            for prediction, (negative, positive) in accumulator.items():
                counts = merged.setdefault(prediction, [0.0, 0.0])
                counts[0] += negative
                counts[1] += positive
        return merged

    def extract_output(self, accumulator: Counts) -> dict[metric_types.MetricKey, float]:
        return {self._key: compute_area(accumulator)}


def compute_area(counts: Counts) -> float:
    """Returns the share of (negative, positive) pairs in the right order.

    A tie counts one half; without negatives or positives the share is NaN.
    """
    if not counts:
        return float("nan")
    negative, positive = np.array([counts[prediction] for prediction in sorted(counts)]).T
    pairs = negative.sum() * positive.sum()
    if not pairs:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float(np.dot(positive, below + negative / 2) / pairs)
