import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tensorflow_model_analysis.proto import config_pb2

from components.evaluation.eval_config import Thresholds, make_eval_config
from components.evaluation.exact_auc import area
from mptrec_tf.errors import InputError


def counts_of(labels, predictions, weights):
    counts = {}
    for label, prediction, weight in zip(labels, predictions, weights, strict=True):
        counts.setdefault(float(prediction), [0.0, 0.0])[int(label)] += float(weight)
    return counts


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({0.1: [1, 0], 0.9: [0, 1]}, 1.0),
        ({0.1: [0, 1], 0.9: [1, 0]}, 0.0),
        ({0.5: [3, 2]}, 0.5),
        # Of 2 x 2 pairs: 0.2 < 0.4, 0.2 < 0.8 and 0.4 < 0.8 in order, 0.4 and 0.4 a tie.
        ({0.8: [0, 1], 0.2: [1, 0], 0.4: [1, 1]}, 3.5 / 4),
        # The pair in order weighs 3 x 2, the other 1 x 2.
        ({0.1: [3, 0], 0.5: [0, 2], 0.9: [1, 0]}, 6 / 8),
    ],
)
def test_the_area_by_hand(counts, expected):
    assert area(counts) == expected


@pytest.mark.parametrize("counts", [{}, {0.1: [2, 0], 0.2: [1, 0]}, {0.1: [0, 2]}])
def test_without_both_classes_there_is_no_area(counts):
    assert np.isnan(area(counts))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("distinct", [3, 40, 10**9])
def test_the_area_is_that_of_scikit_learn(weighted, distinct):
    rng = np.random.default_rng(distinct)
    labels = rng.random(2000) < 0.1
    predictions = np.float32(rng.integers(distinct, size=2000) / distinct)
    weights = rng.random(2000) if weighted else np.ones(2000)
    expected = roc_auc_score(labels, predictions, sample_weight=weights)
    found = area(counts_of(labels, predictions, weights))
    assert found == pytest.approx(expected, abs=1e-12)


def test_every_task_has_its_own_thresholds(synthetic):
    thresholds = Thresholds({"like": 0.7}, least_auc_of_all=0.55, margin=0.01)
    config = make_eval_config(synthetic.make_spec(), ["click", "like"], thresholds)
    [model] = config.model_specs
    assert (model.name, model.is_baseline) == ("candidate", False)
    assert dict(model.label_keys) == {"click": "label/click", "like": "label/like"}
    bounds = {}
    for metrics in config.metrics_specs:
        assert [m.class_name for m in metrics.metrics] == [
            "ExactAuc",
            "Calibration",
            "ExampleCount",
        ]
        assert list(metrics.model_names) == ["candidate"]
        threshold = metrics.metrics[0].threshold
        assert not threshold.HasField("change_threshold")
        [task] = metrics.output_names
        bounds[task] = threshold.value_threshold.lower_bound.value
    assert bounds == {"click": 0.55, "like": 0.7}
    [everything] = config.slicing_specs
    assert everything == config_pb2.SlicingSpec()


def test_only_tasks_of_the_baseline_are_compared_with_it(synthetic):
    config = make_eval_config(
        synthetic.make_spec(), ["click", "share"], Thresholds(margin=0.01), baseline_tasks=["click"]
    )
    assert [(m.name, m.is_baseline) for m in config.model_specs] == [
        ("candidate", False),
        ("baseline", True),
    ]
    click, share = config.metrics_specs
    assert list(click.model_names) == ["candidate", "baseline"]
    change = click.metrics[0].threshold.change_threshold
    assert change.absolute.value == -0.01
    assert change.direction == config_pb2.MetricDirection.HIGHER_IS_BETTER
    assert list(share.model_names) == ["candidate"]
    assert not share.metrics[0].threshold.HasField("change_threshold")


def test_slices_come_after_all_rows_together(synthetic):
    config = make_eval_config(
        synthetic.make_spec(), ["click"], Thresholds(), slices=[["device"], ["device", "hour"]]
    )
    assert [list(s.feature_keys) for s in config.slicing_specs] == [
        [],
        ["device"],
        ["device", "hour"],
    ]


def test_what_cannot_be_evaluated_is_refused(synthetic):
    spec = synthetic.make_spec()
    with pytest.raises(InputError, match="unknown task 'fame'"):
        make_eval_config(spec, ["fame"], Thresholds())
    with pytest.raises(InputError, match="a threshold is given for 'fame', which is no task of"):
        make_eval_config(spec, ["click"], Thresholds({"fame": 0.6}))
    with pytest.raises(InputError, match="cannot slice by 'colour': it is no feature of data set"):
        make_eval_config(spec, ["click"], Thresholds(), slices=[["device", "colour"]])
