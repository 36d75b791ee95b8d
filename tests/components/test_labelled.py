"""Calibration and count of the rows that have a label, by hand."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
from tensorflow_model_analysis.metrics import metric_types

from components.evaluation.labelled import LabelledRows

# Label, prediction, weight; the second row has no label.
ROWS = [(1.0, 0.5, 2.0), (np.nan, 0.9, 3.0), (0.0, 0.25, 4.0)]


@pytest.mark.parametrize(("name", "expected"), [("calibration", 1.0), ("example_count", 6.0)])
def test_rows_without_a_label_do_not_count(name, expected):
    """Predictions 2 * 0.5 + 4 * 0.25, labels 2 * 1."""
    [computation] = LabelledRows(name).computations(example_weighted=True)
    combiner = computation.combiner
    total = combiner.create_accumulator()
    for label, prediction, weight in ROWS:
        element = metric_types.StandardMetricInputs(
            labels=np.array([label]),
            predictions=np.array([prediction]),
            example_weights=np.array([weight]),
        )
        total = combiner.add_input(total, element)
    merged = combiner.merge_accumulators([total, combiner.create_accumulator()])
    [value] = combiner.extract_output(merged).values()
    assert value == pytest.approx(expected)


def test_an_unknown_name():
    with pytest.raises(ValueError, match="name should be one of"):
        LabelledRows("auc")
