"""AUC without bins, as a metric of TensorFlow Model Analysis.

Its own AUC sorts predictions into bins of equal width, which is off by some 1e-4 where predictions
crowd near 0. This one counts every distinct prediction: exact, and as large as there are distinct
float32 predictions.
"""

from collections.abc import Iterable

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

# Prediction to the weight of its negatives and of its positives.
Counts = dict[float, list[float]]


class ExactAuc(metric_types.Metric):
    """Area under the ROC curve of a binary output; ties count one half.

    Args:
      name: What the metric is called.
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
    """Predictions and labels to the area."""

    def __init__(self, key: metric_types.MetricKey, eval_config):
        self._key = key
        self._eval_config = eval_config

    def create_accumulator(self) -> Counts:
        return {}

    def add_input(self, accumulator: Counts, element: metric_types.StandardMetricInputs) -> Counts:
        for label, prediction, weight in metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._key.model_name,
            output_name=self._key.output_name,
            example_weighted=self._key.example_weighted,
        ):
            counts = accumulator.setdefault(float(prediction.item()), [0.0, 0.0])
            counts[int(label.item() > 0.5)] += float(weight.item())
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
    """The share of (negative, positive) pairs in the right order; NaN where a class is missing."""
    if not counts:
        return float("nan")
    negative, positive = np.array([counts[prediction] for prediction in sorted(counts)]).T
    pairs = negative.sum() * positive.sum()
    if not pairs:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float(np.dot(positive, below + negative / 2) / pairs)
