import itertools

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from sklearn.metrics import roc_auc_score
from tensorflow_model_analysis.proto import config_pb2
from tfx.v1.components import Evaluator

from components.evaluation.eval_config import make_eval_config
from components.evaluation.exact_auc import ExactAuc, _Count, compute_area
from components.evaluation.thresholds import Thresholds
from components.model_artifact import serving_directory
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import evaluate

SPEC = DatasetSpec(
    "shop",
    (Numeric("price"), Numeric("size")),
    (BinaryTask("buy", "bought", ("yes",)), BinaryTask("stay", "seconds", above=30)),
    weight="importance",
)


def count_predictions(labels, predictions, weights=None):
    counts = {}
    for label, prediction, weight in zip(
        labels, predictions, itertools.repeat(1.0) if weights is None else weights, strict=False
    ):
        counts.setdefault(float(prediction), [0.0, 0.0])[int(label)] += float(weight)
    return counts


@pytest.mark.parametrize(
    ("labels", "predictions", "weights", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], None, 1),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4], None, 0),
        ([0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4], None, 3 / 4),
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], None, 1 / 2),
        # Of two pairs, one is in order and one is tied.
        ([0, 0, 1], [0.1, 0.3, 0.3], None, 3 / 4),
        # Pairs weigh 2 * 3 (in order) and 1 * 3 (not).
        ([0, 0, 1], [0.1, 0.9, 0.5], [2, 1, 3], 6 / 9),
        # Pairs weigh 1 * 2 (tied), 1 * 4 and 5 * 4 (in order), 5 * 2 (not).
        ([0, 1, 0, 1], [0.2, 0.2, 0.4, 0.6], [1, 2, 5, 4], (1 + 4 + 20) / 36),
        # What weighs nothing counts nothing.
        ([0, 1, 0], [0.1, 0.2, 0.3], [1, 1, 0], 1),
    ],
)
def test_the_area_by_hand(labels, predictions, weights, expected):
    assert compute_area(count_predictions(labels, predictions, weights)) == pytest.approx(
        expected, abs=1e-15
    )


def test_the_area_is_sklearns():
    random = np.random.default_rng(1)
    for digits in (1, 2, 7):
        predictions = random.random(5000).astype(np.float32).round(digits)
        labels = random.random(5000) < predictions
        weights = random.random(5000)
        for weight in (None, weights):
            actual = compute_area(count_predictions(labels, predictions, weight))
            expected = roc_auc_score(labels, predictions, sample_weight=weight)
            assert actual == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("labels", [[], [0, 0], [1, 1]])
def test_one_class_has_no_area(labels):
    assert np.isnan(compute_area(count_predictions(labels, [0.1, 0.2][: len(labels)])))


def test_parts_make_the_whole_in_any_order():
    random = np.random.default_rng(2)
    predictions = random.random(300).round(2)
    labels = random.random(300) < predictions
    parts = [count_predictions(labels[i::3], predictions[i::3]) for i in range(3)]
    count = _Count(tfma.metrics.MetricKey("auc"), None)
    whole = compute_area(count_predictions(labels, predictions))
    for order in itertools.permutations(parts):
        [actual] = count.extract_output(count.merge_accumulators(order)).values()
        assert actual == pytest.approx(whole, abs=1e-15)
    assert count.merge_accumulators([]) == count.create_accumulator() == {}


def test_the_metric_has_its_name():
    assert ExactAuc("area").get_config() == {"name": "area"}


def test_every_task_has_its_metrics_and_threshold():
    thresholds = Thresholds(least={"buy": 0.8}, least_of_all=0.6)
    config = make_eval_config(SPEC, ["buy", "stay"], thresholds, slices=[["size"]])
    [model] = config.model_specs
    assert (model.name, model.signature_name, model.is_baseline) == (
        "candidate",
        "serving_default",
        False,
    )
    assert model.example_weight_key == "importance"
    assert dict(model.label_keys) == {"buy": "label/buy", "stay": "label/stay"}
    assert not config.options.include_default_metrics.value
    actual = {}
    for metrics in config.metrics_specs:
        [task] = metrics.output_names
        auc, *others = metrics.metrics
        assert [m.class_name for m in others] == ["Calibration", "ExampleCount"]
        assert auc.class_name == "ExactAuc"
        assert not auc.threshold.HasField("change_threshold")
        actual[task] = auc.threshold.value_threshold.lower_bound.value
    assert actual == {"buy": 0.8, "stay": 0.6}
    assert [list(s.feature_keys) for s in config.slicing_specs] == [[], ["size"]]


def test_tasks_of_the_baseline_are_compared_with_it():
    config = make_eval_config(SPEC, ["buy", "stay"], Thresholds(), baseline_tasks=["buy"])
    assert [(m.name, m.is_baseline) for m in config.model_specs] == [
        ("candidate", False),
        ("baseline", True),
    ]
    buy, stay = (metrics for metrics in config.metrics_specs)
    assert list(buy.model_names) == ["candidate", "baseline"]
    change = buy.metrics[0].threshold.change_threshold
    assert change.absolute.value == -0.005
    assert change.direction == config_pb2.MetricDirection.HIGHER_IS_BETTER
    assert list(stay.model_names) == ["candidate"]
    assert not stay.metrics[0].threshold.HasField("change_threshold")


def test_what_does_not_fit_the_spec_is_rejected():
    with pytest.raises(InputError, match="unknown task 'sell': data set 'shop' has buy, stay"):
        make_eval_config(SPEC, ["sell"], Thresholds())
    with pytest.raises(
        InputError, match="threshold is given for 'sell', which is not a task of data"
    ):
        make_eval_config(SPEC, ["buy"], Thresholds(least={"sell": 0.5}))
    with pytest.raises(
        InputError, match="cannot slice by 'seconds': it is not a feature of data set"
    ):
        make_eval_config(SPEC, ["buy"], Thresholds(), slices=[["size", "seconds"]])


@pytest.fixture
def run_evaluator(tmp_path, run_component, examples, synthetic):
    """Runs TFX's Evaluator on the test rows; returns its metrics by task, and its blessing."""
    runs = itertools.count()

    def run_evaluator(model, tasks, thresholds, baseline=None, baseline_tasks=None):
        config = make_eval_config(
            synthetic.make_spec(), tasks, thresholds, baseline_tasks=baseline_tasks
        )
        inputs = {"examples": examples, "model": model}
        if baseline:
            inputs["baseline_model"] = baseline
        outputs = run_component(
            Evaluator,
            tmp_path / f"evaluator-{next(runs)}",
            inputs,
            eval_config=config,
            example_splits=["test"],
        )
        uri = outputs["evaluation"].uri
        result = tfma.load_eval_result(uri, model_name="candidate" if baseline else None)
        [(_, metrics)] = result.slicing_metrics
        actual = {
            task: {name: v["doubleValue"] for name, v in values[""].items() if "doubleValue" in v}
            for task, values in metrics.items()
        }
        return actual, outputs["blessing"].get_int_custom_property("blessed"), uri

    return run_evaluator


@pytest.fixture(scope="module")
def expected(grown, synthetic):
    return evaluate(LoadedModel(serving_directory(grown.uri)), synthetic.open({}), "test")


def test_the_evaluator_computes_the_programs_aucs(run_evaluator, grown, expected):
    tasks = ["click", "like", "share"]
    least = {task: expected[task]["auc"] - 1e-9 for task in tasks}
    actual, blessed, _ = run_evaluator(grown, tasks, Thresholds(least=least))
    assert blessed == 1
    for task in tasks:
        assert actual[task]["auc"] == pytest.approx(expected[task]["auc"], abs=1e-9)
        assert actual[task]["calibration"] == pytest.approx(expected[task]["calibration"], rel=1e-5)
        assert actual[task]["example_count"] == 400


def test_a_task_below_its_threshold_rejects_the_model(run_evaluator, grown, model, expected):
    """Click is below by a hair; like, no worse than in production, is not the reason."""
    least = {"click": expected["click"]["auc"] + 1e-9}
    thresholds = Thresholds(least=least, least_of_all=0.0, margin=0.0)
    tasks = ["click", "like", "share"]
    _, blessed, uri = run_evaluator(grown, tasks, thresholds, model, ["click", "like"])
    assert blessed == 0
    result = tfma.load_validation_result(uri)
    failures = [
        failure.metric_key
        for by_slice in result.metric_validations_per_slice
        for failure in by_slice.failures
    ]
    assert [(key.name, key.output_name) for key in failures] == [("auc", "click")]
