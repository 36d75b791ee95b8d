import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.evaluation.component import Evaluator
from components.evaluation.config import EvaluatorConfig
from components.evaluation.executor import Executor, _leave_out_other_labels
from components.evaluation.measuring import measure
from components.evaluation.rows import PredictedRows
from components.evaluation.slicing import MOST_SLICES, SlicedColumn, find_slices, show_slice
from components.evaluation.thresholds import Thresholds
from components.model_artifact import serving_directory
from components.report import read_report
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.classes import ClassesTask
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.gate import CALIBRATION, GROUPED, SAME, WORSE, Gate, Verdict
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import evaluate

SPEC = DatasetSpec(
    "shop",
    (Numeric("price"), Numeric("size")),
    (BinaryTask("buy", "bought", ("yes",)), BinaryTask("stay", "seconds", above=30)),
    weight="importance",
)
TASKS = ("click", "like", "share")


def test_the_configuration_survives_json():
    thresholds = Thresholds({"buy": 0.8}, 0.6, Gate(0.01, least_positives=3), ("stay",))
    config = EvaluatorConfig(("buy", "stay"), thresholds, ("buy",), (("price", "size"),), "train")
    assert EvaluatorConfig.from_json(config.to_json()) == config
    assert EvaluatorConfig.from_json(EvaluatorConfig(("buy",)).to_json()) == EvaluatorConfig(
        ("buy",)
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EvaluatorConfig(("sell",)), "unknown task 'sell': data set 'shop' has buy, stay"),
        (
            EvaluatorConfig(("buy",), Thresholds({"sell": 0.5})),
            "a threshold is given for 'sell', which is not a task of data set 'shop'",
        ),
        (
            EvaluatorConfig(("buy",), Thresholds(accepted=("sell",))),
            "--accept names 'sell', which is not a task of data set 'shop'",
        ),
        (
            EvaluatorConfig(("buy",), slices=(("size", "seconds"),)),
            "cannot slice by 'seconds': it is not a feature of data set",
        ),
    ],
)
def test_what_does_not_fit_the_data_is_rejected(config, message):
    EvaluatorConfig(("buy", "stay"), slices=(("size",), ("price", "size"))).check(SPEC)
    with pytest.raises(InputError, match=message):
        config.check(SPEC)


def make_column(name, *batches):
    column, first = SlicedColumn(name), 0
    for batch in batches:
        column.add(batch, first)
        first += batch.shape[0]
    return column


def test_slices_by_hand():
    """Rows 0 to 3; topics are a bag, of which each value counts; a missing number is in none."""
    device = make_column("device", tf.constant(["phone", "tablet"]), tf.constant(["phone"] * 2))
    hour = make_column("hour", tf.constant([3.0, math.nan]), tf.constant([4.5, 3.0]))
    topics = make_column(
        "topics",
        tf.sparse.from_dense([["a", "b", "a"], ["b", "", ""]]),
        tf.sparse.from_dense([["", ""], ["", ""]]),
    )
    specs = [["device"], ["hour", "device"], ["topics"], ["device", "topics"]]
    slices, left_out = find_slices(specs, [device, hour, topics])
    assert {show_slice(key): sorted(rows.tolist()) for key, rows in slices.items()} == {
        "device=phone": [0, 2, 3],
        "device=tablet": [1],
        "hour=3, device=phone": [0, 3],
        "hour=4.5, device=phone": [2],
        "topics=a": [0],
        "topics=b": [0, 1],
        "device=phone, topics=a": [0],
        "device=phone, topics=b": [0],
        "device=tablet, topics=b": [1],
    }
    assert left_out == 0
    assert (("hour", 3.0), ("device", "phone")) in slices
    assert show_slice(()) == ""


def test_slices_of_numbers_that_are_near_each_other_have_names_of_their_own():
    """The gate and TFMA's files know slices by their names: one of two would go unjudged."""
    numbers = [1234567, 1234568, 0.1, 0.1000001, 3, -2.5e20]
    slices, _ = find_slices([["x"]], [make_column("x", tf.constant(numbers, tf.float32))])
    names = ["1234567", "1234568", "0.1", "0.1000001", "3", "-2.5e+20"]
    assert {show_slice(key) for key in slices} == {f"x={name}" for name in names}


def test_values_that_are_no_text_are_one_slice():
    column = make_column("city", tf.constant([b"\xff", b"Rome", b"\xfe"]), tf.constant([b"\xff"]))
    slices, _ = find_slices([["city"]], [column])
    assert {show_slice(key): sorted(rows.tolist()) for key, rows in slices.items()} == {
        "city=\ufffd": [0, 2, 3],
        "city=Rome": [1],
    }


def test_of_too_many_slices_the_largest_stay():
    values = np.concatenate([np.arange(MOST_SLICES + 5), np.arange(MOST_SLICES)])
    slices, left_out = find_slices([["x"]], [make_column("x", tf.constant(values, tf.float32))])
    assert (len(slices), left_out) == (MOST_SLICES, 5)
    assert all(len(rows) == 2 for rows in slices.values())


def test_metrics_of_several_numbers_and_of_rows_with_a_label_by_hand():
    """Row 2 has no label, and row 3 no weight; one slice has neither."""
    size = ClassesTask("size", "size", ("S", "M"))
    rows = PredictedRows(
        {
            "label/size": np.array([0.0, 1.0, math.nan, 1.0], np.float32),
            "prediction/size": np.array([[0.8, 0.2], [0.4, 0.6], [1, 0], [1, 0]], np.float32),
            "production/size": np.array([[0.2, 0.8], [0.4, 0.6], [1, 0], [1, 0]], np.float32),
            "weight": np.array([2.0, 3.0, 4.0, 0.0], np.float32),
        },
        {(("city", "Rome"),): np.array([0, 1]), (("city", "Oslo"),): np.array([2])},
        0,
    )
    metrics = measure(rows, {"size": size}, {"size": size})
    mine, theirs = (metrics[()][model]["size"] for model in ("candidate", "baseline"))
    assert (mine["auc"], theirs["auc"], mine["example_count"]) == (1.0, 0.0, 5.0)
    assert mine["accuracy"] == 1.0
    assert theirs["accuracy"] == pytest.approx(0.6)
    assert metrics[(("city", "Rome"),)]["baseline"]["size"]["auc"] == 0.0
    assert metrics[(("city", "Oslo"),)]["candidate"]["size"] == {"example_count": 0.0}


def test_a_task_of_which_the_rows_have_other_labels_is_left_out():
    size = ClassesTask("size", "size", found=("S", "M"))
    model, rows = (
        DatasetSpec("shop", (Numeric("price"),), (SPEC.tasks[0], of))
        for of in (size, dataclasses.replace(size, found=("S", "M", "L")))
    )
    config = EvaluatorConfig(("buy", "size"), compared=("buy", "size"))
    assert _leave_out_other_labels(config, model, model) == (config, [])
    fit, [note] = _leave_out_other_labels(config, rows, model)
    assert (fit.tasks, fit.compared) == (("buy",), ("buy",))
    assert note.startswith("task 'size' is not evaluated, as these rows have other labels than")


@pytest.fixture
def run_evaluator(tmp_path, run_component, examples):
    """Runs the Evaluator on the test rows; returns its outputs."""
    runs = itertools.count()

    def run_evaluator(model, baseline=None, **fields):
        inputs = {"examples": examples, "model": model}
        if baseline:
            inputs["baseline_model"] = baseline
        config = EvaluatorConfig(**{"tasks": TASKS} | fields)
        return run_component(Evaluator, tmp_path / f"evaluator-{next(runs)}", inputs, config=config)

    return run_evaluator


@pytest.fixture(scope="module")
def expected(grown, synthetic):
    return evaluate(LoadedModel(serving_directory(grown.uri)), synthetic.open({}), "test")


def read_metrics(evaluation, model=None, where=()):
    """Metrics by task, as TFMA reads them."""
    result = tfma.load_eval_result(evaluation.uri, model_name=model)
    return {
        task: {name: value["doubleValue"] for name, value in values[""].items()}
        for task, values in dict(result.slicing_metrics)[where].items()
    }


def is_blessed(outputs):
    return outputs["blessing"].get_int_custom_property("blessed")


def read_verdicts(outputs):
    return [Verdict(**of) for of in read_report(outputs["report"].uri)["comparison"]]


def test_tfma_reads_the_metrics_of_the_program(run_evaluator, grown, expected):
    least = {task: expected[task]["auc"] - 1e-9 for task in TASKS}
    outputs = run_evaluator(grown, thresholds=Thresholds(least))
    assert is_blessed(outputs) == 1
    actual = read_metrics(outputs["evaluation"])
    assert actual.keys() == set(TASKS)
    for task in TASKS:
        assert actual[task].pop("example_count") == 400
        assert {"auc", "log_loss", "calibration", "grouped_auc"} <= actual[task].keys()
        for name, value in actual[task].items():
            assert value == pytest.approx(expected[task][name], rel=1e-5)
    result = tfma.load_validation_result(outputs["evaluation"].uri)
    assert result.validation_ok
    assert not result.metric_validations_per_slice
    assert read_verdicts(outputs) == []
    report = read_report(outputs["report"].uri)
    assert (report["blessed"], report["problems"]) == (True, [])


def test_its_configuration_as_tfma_reads_it(run_evaluator, grown, model):
    thresholds = Thresholds({"share": 0.1}, gate=Gate(0.02))
    outputs = run_evaluator(
        grown, model, thresholds=thresholds, compared=("click",), slices=(("device",),)
    )
    config = tfma.load_eval_result(outputs["evaluation"].uri, model_name="candidate").config
    assert [(m.name, m.is_baseline) for m in config.model_specs] == [
        ("candidate", False),
        ("baseline", True),
    ]
    assert dict(config.model_specs[0].label_keys) == {task: f"label/{task}" for task in TASKS}
    by_task = {m.output_names[0]: m for m in config.metrics_specs}
    threshold = by_task["click"].metrics[0].threshold
    assert threshold.change_threshold.absolute.value == -0.02
    assert threshold.value_threshold.lower_bound.value == 0.5
    assert by_task["share"].metrics[0].threshold.value_threshold.lower_bound.value == 0.1
    assert list(by_task["share"].model_names) == ["candidate"]
    assert [list(s.feature_keys) for s in config.slicing_specs] == [[], ["device"]]


def test_a_task_below_its_threshold_rejects_the_model(run_evaluator, grown, model, expected):
    """Click is below by a hair; like is as in production."""
    least = {"click": expected["click"]["auc"] + 1e-4}
    outputs = run_evaluator(
        grown, model, thresholds=Thresholds(least, 0.0), compared=("click", "like")
    )
    assert is_blessed(outputs) == 0
    result = tfma.load_validation_result(outputs["evaluation"].uri)
    assert not result.validation_ok
    [by_slice] = result.metric_validations_per_slice
    [failure] = by_slice.failures
    assert (failure.metric_key.name, failure.metric_key.output_name) == ("auc", "click")
    [problem] = read_report(outputs["report"].uri)["problems"]
    score = expected["click"]["auc"]
    assert problem == (
        f"task 'click' has AUC {score:.4f}, below its threshold {score + 1e-4:.4f} by 0.0001"
    )
    assert outputs["blessing"].get_string_custom_property("baseline_model") == model.uri


def test_frozen_tasks_make_no_difference_however_few_rows_there_are(run_evaluator, grown, model):
    gate = Gate(least_positives=10**6)
    outputs = run_evaluator(
        grown,
        model,
        thresholds=Thresholds(least_of_all=0.0, gate=gate),
        compared=("click", "like"),
        slices=(("device",),),
    )
    assert is_blessed(outputs) == 1
    verdicts = read_verdicts(outputs)
    assert [(v.task, v.slice, v.difference, v.error) for v in verdicts] == [
        ("click", "", 0.0, 0.0),
        ("like", "", 0.0, 0.0),
    ]
    assert {v.outcome for v in verdicts} == {SAME}
    mine = read_metrics(outputs["evaluation"], "candidate")
    theirs = read_metrics(outputs["evaluation"], "baseline")
    assert mine["click"]["auc_diff"] == 0.0
    assert mine["click"]["auc"] == theirs["click"]["auc"]
    assert "share" not in theirs


@pytest.fixture(scope="module")
def other(grown, copy_artifact, tmp_path_factory):
    """A copy of the model, of which tests change what it predicts: `replace`."""
    return copy_artifact(grown, tmp_path_factory.mktemp("other") / "model")


@pytest.fixture
def replace(grown, other, monkeypatch):
    """Replaces a task's predictions of both models by functions of its labels."""

    def replace(task, candidate, production):
        predict = LoadedModel.predict_examples
        label = {f"label/{task}": tf.io.FixedLenFeature([], tf.float32)}

        def predict_examples(self, serialized):
            predictions = predict(self, serialized)
            labels = tf.io.parse_example(serialized, label)[f"label/{task}"].numpy()
            make = candidate if self.path.startswith(other.uri) else production
            return predictions | {task: make(labels).astype(np.float32)}

        monkeypatch.setattr(LoadedModel, "predict_examples", predict_examples)

    return replace


def guess(labels, right=1.0):
    """Predictions that are about as high as the labels on average, and follow them more or less."""
    noise = np.random.default_rng(1).random(len(labels))
    return labels.mean() * (1 + 0.2 * (noise - 0.5) + right * 0.2 * (labels - labels.mean()))


def test_a_worse_task_blocks_and_an_accepted_one_does_not(run_evaluator, other, grown, replace):
    replace("click", lambda labels: 2 * guess(labels, 0.1), guess)
    fields = {"compared": TASKS, "slices": (("device",),)}
    thresholds = Thresholds(least_of_all=0.0)
    outputs = run_evaluator(other, grown, thresholds=thresholds, **fields)
    assert is_blessed(outputs) == 0
    verdicts = {(v.task, v.measure, v.slice): v for v in read_verdicts(outputs)}
    assert verdicts["click", "AUC", ""].outcome == WORSE
    assert verdicts["click", CALIBRATION, ""].outcome == WORSE
    assert ("click", GROUPED, "") in verdicts
    assert verdicts["like", "AUC", ""].outcome == SAME
    where = {v.slice for v in verdicts.values()}
    assert any(name.startswith("device=") for name in where)
    problems = read_report(outputs["report"].uri)["problems"]
    assert problems[0].startswith("task 'click' is worse than in production: AUC 0.")
    result = tfma.load_validation_result(outputs["evaluation"].uri)
    failures = {
        (failure.metric_key.name, failure.metric_key.output_name): failure
        for by_slice in result.metric_validations_per_slice
        if not by_slice.slice_key.single_slice_keys
        for failure in by_slice.failures
    }
    assert failures["auc", "click"].message == problems[0]
    change = failures["calibration", "click"].metric_threshold.change_threshold
    assert change.absolute.value == Gate.calibration_margin
    html = tf.io.gfile.GFile(f"{outputs['report'].uri}/report.html").read()
    assert "Compared with production" in html

    accepted = Thresholds(least_of_all=0.0, accepted=("click", "like"))  # like blocks nothing
    outputs = run_evaluator(other, grown, thresholds=accepted, **fields)
    assert is_blessed(outputs) == 1
    assert read_report(outputs["report"].uri)["accepted"] == ["click", "like"]
    assert outputs["blessing"].get_string_custom_property("accepted") == "click"
    assert tfma.load_validation_result(outputs["evaluation"].uri).validation_ok


def test_a_task_that_production_lacks_is_named(run_evaluator, grown, model):
    with pytest.raises(InputError, match=r"unknown task 'share': data set .* has click, like"):
        run_evaluator(grown, model, compared=TASKS)


def test_a_worse_calibration_alone_blocks(run_evaluator, other, grown, replace):
    """Each prediction is twice as high: AUCs stay."""
    replace("like", lambda labels: 2 * guess(labels), guess)
    outputs = run_evaluator(
        other, grown, thresholds=Thresholds(least_of_all=0.0), compared=("like",)
    )
    assert is_blessed(outputs) == 0
    [problem] = read_report(outputs["report"].uri)["problems"]
    assert problem.startswith("task 'like' is worse than in production: calibration error 0.")


def test_too_few_positives_block_and_say_so(run_evaluator, other, grown, replace):
    replace("share", lambda labels: guess(labels) ** 2, guess)
    gate = Gate(least_positives=300)
    outputs = run_evaluator(
        other,
        grown,
        thresholds=Thresholds(least_of_all=0.0, gate=gate),
        compared=("click", "share"),
        slices=(("device",),),
    )
    assert is_blessed(outputs) == 0
    [problem] = read_report(outputs["report"].uri)["problems"]
    assert "task 'share' has too few test rows to know whether it is worse: " in problem
    assert "fewer than 300; give more test rows, or lower --least_positives" in problem


def test_a_model_that_predicts_no_numbers(run_evaluator, other, grown, replace):
    replace("like", lambda labels: np.full_like(labels, np.nan), guess)
    outputs = run_evaluator(
        other, grown, thresholds=Thresholds(least_of_all=0.0), compared=("like",)
    )
    assert is_blessed(outputs) == 0
    below, unknown = read_report(outputs["report"].uri)["problems"]
    assert below.startswith("task 'like' has no AUC on the test rows")
    assert unknown.startswith("task 'like': the difference of AUC is unknown")


def test_metrics_of_slices(run_evaluator, grown, synthetic):
    outputs = run_evaluator(grown, tasks=("click",), slices=(("device",), ("device", "hour")))
    result = tfma.load_eval_result(outputs["evaluation"].uri)
    [block] = read_split(synthetic.open({}), "test")
    devices, hours = block.text("device"), block.text("hour")
    by_slice = dict(result.slicing_metrics)
    assert by_slice.keys() >= {(("device", device),) for device in set(devices)}
    assert len(by_slice) == 1 + len(set(devices)) + len(set(zip(devices, hours, strict=True)))
    counts = {
        key[0][1]: of["click"][""]["example_count"]["doubleValue"]
        for key, of in by_slice.items()
        if len(key) == 1
    }
    assert counts == {device: (devices == device).sum() for device in set(devices)}


def test_no_rows(run_evaluator, grown, examples, copy_artifact, tmp_path, run_component):
    empty = copy_artifact(examples, tmp_path / "empty")
    for path in tf.io.gfile.glob(f"{empty.uri}/Split-test/*"):
        with tf.io.TFRecordWriter(path, "GZIP"):
            pass
    with pytest.raises(InputError, match="empty has no test rows"):
        run_component(
            Evaluator,
            tmp_path / "run",
            {"examples": empty, "model": grown},
            config=EvaluatorConfig(("click",)),
        )


def test_the_configuration_is_a_property_of_the_execution():
    assert Evaluator.EXECUTOR_SPEC.executor_class is Executor
    assert json.loads(EvaluatorConfig(("click",)).to_json())["thresholds"]["gate"] == {
        "margin": 0.001,
        "confidence": 0.95,
        "least_positives": 50,
        "calibration_margin": 0.02,
    }
