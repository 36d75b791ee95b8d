"""The rows that metrics of one output count: those with a label."""

from collections.abc import Iterator

import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util


def read_labelled_rows(
    element: metric_types.StandardMetricInputs, key: metric_types.MetricKey, eval_config
) -> Iterator[tuple[float, float, float]]:
    """Yields label, prediction and weight of the rows that have a label (another than NaN).

    A prediction of several numbers is yielded as NaN.
    """
    for label, prediction, weight in metric_util.to_label_prediction_example_weight(
        element,
        eval_config=eval_config,
        model_name=key.model_name,
        output_name=key.output_name,
        example_weighted=key.example_weighted,
        flatten=False,  # otherwise labels of classes are spread over them
    ):
        if not np.isnan(label.item()):
            one = prediction.item() if prediction.size == 1 else np.nan
            yield label.item(), one, weight.item()
