"""The kind of task whose labels are one of several classes."""

import dataclasses
import json
import math

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss, roc_auc_score

from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.data.survey import Survey, survey_block
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.classes import ClassesTask
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.classes import (
    fit_temperature,
    one_against_rest,
    one_against_rest_difference,
)
from mptrec_tf.evaluation.metrics import auc_difference
from mptrec_tf.models.task_outputs import task_losses, task_predictions

STATUS = ClassesTask("status", "status", values=("paid", "shipped", "lost"))
SPEC = """
name: shop
categorical: [city]
tasks:
  - {name: status, label: status, kind: classes, values: [paid, shipped, 3.0], others: true}
  - {name: brand, label: brand, kind: classes}
"""


def make_block(**columns):
    columns = {name: np.array(values, object) for name, values in columns.items()}
    return Block(columns, "rows.csv", np.arange(2, 2 + len(next(iter(columns.values())))))


# Specs.


def test_a_spec_is_read_and_written():
    spec = parse(SPEC, "spec.yaml")
    status, brand = spec.tasks
    assert status == ClassesTask("status", "status", values=("paid", "shipped", "3"), others=True)
    assert status.output_names == ("paid", "shipped", "3", "others")
    assert (status.logits, status.outputs, status.needs_values) == (4, 4, False)
    assert (brand.output_names, brand.needs_values) == ((), True)
    fitted = dataclasses.replace(spec, tasks=(status, brand.fit_values({"b": 1, "a": 2})))
    assert DatasetSpec.from_json(fitted.to_json()) == fitted
    assert fitted.tasks[1].found == ("a", "b")
    assert list(ClassesTask("t", "y", others=True).problems(())) == []
    assert list(ClassesTask("t", "y", values=("a",), others=True).problems(())) == []


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("values: [a, b, a]", "task 't': class 'a' is listed twice under values"),
        ("values: a", "task 't': values lists one class; list two or more, or leave values out"),
        (
            "values: [a, others], others: true",
            "task 't': values lists 'others', which is the class of all other values",
        ),
        ("found: [a]", "unknown key 'found' in a task"),
    ],
)
def test_a_problem_is_named_with_its_line(keys, sentence):
    task = f"{{name: t, label: y, kind: classes, {keys}}}"
    with pytest.raises(InputError) as caught:
        parse(f"name: shop\ncategorical: [city]\ntasks:\n  - {task}\n", "my.yaml")
    assert str(caught.value).startswith(f"my.yaml, line 4: {sentence}")


def test_classes_of_the_training_rows_are_sorted():
    task = ClassesTask("t", "y")
    assert task.fit_values({"b": 9, "a": 1}).output_names == ("a", "b")
    assert task.fit_values({"10": 1, "9": 2, "-1": 1}).output_names == ("-1", "9", "10")
    assert task.fit_values({"10": 1, "9": 2, "x": 1}).output_names == ("10", "9", "x")
    more = dataclasses.replace(task, others=True)
    assert more.fit_values({"b": 9, "a": 1}).output_names == ("a", "b", "others")
    with pytest.raises(InputError, match=r"column 'y' has 1,000 or more distinct values .*values"):
        task.fit_values(dict.fromkeys(map(str, range(1000)), 1))
    with pytest.raises(InputError, match="column 'y' has the value 'others', which is the class"):
        more.fit_values({"others": 1, "a": 1})


def test_what_decides_labels():
    one, other = (ClassesTask("t", "y").fit_values(of) for of in ({"a": 1}, {"b": 1}))
    assert one.same_rule(other)
    assert not one.same_labels(other)
    assert one.same_labels(dataclasses.replace(one))
    assert not one.same_rule(dataclasses.replace(one, others=True))


# Labels.


def test_labels_are_places_of_classes():
    block = make_block(status=["shipped ", "paid", "lost", "paid"])
    np.testing.assert_array_equal(STATUS.labels(block, ()), [1, 0, 2, 0])
    numbers = ClassesTask("t", "y", values=("1", "2"))
    np.testing.assert_array_equal(numbers.labels(make_block(y=["2.0", "1"]), ()), [1, 0])
    exact = ClassesTask("t", "y", values=("1", "1.0"), exact=True)
    np.testing.assert_array_equal(exact.labels(make_block(y=["1.0", "1"]), ()), [1, 0])
    others = dataclasses.replace(STATUS, others=True)
    np.testing.assert_array_equal(others.labels(make_block(status=["?", "paid"]), ()), [3, 0])
    listed = ClassesTask("t", "y", values=("NA", "x"))
    np.testing.assert_array_equal(listed.labels(make_block(y=["x", "NA"]), ("NA",)), [1, 0])
    skipped = dataclasses.replace(STATUS, missing="skip", where={"a": ("1",)})
    block = make_block(status=["lost", "", "paid"], a=["1", "1", "0"])
    np.testing.assert_array_equal(skipped.labels(block, ("",)), [2, math.nan, math.nan])


def test_a_class_that_is_not_known_is_rejected_with_its_place():
    with pytest.raises(InputError) as caught:
        STATUS.labels(make_block(status=["paid", "sent"]), ())
    assert str(caught.value) == (
        "rows.csv, line 3, column 'status': 'sent' is no class of task 'status'; under values are "
        "'paid', 'shipped', 'lost': list it under values, or give the task `others: true`."
    )
    found = ClassesTask("t", "y").fit_values(dict.fromkeys(map(str, range(10)), 1))
    with pytest.raises(InputError, match=r"in the training rows are '0', .*'7' and 2 more: list"):
        found.labels(make_block(y=["11"]), ())
    with pytest.raises(InputError, match=r"line 2.*'' is a missing value, and task 'status' needs"):
        STATUS.labels(make_block(status=[""]), ("",))


def test_statistics_of_labels_and_warnings():
    spec = DatasetSpec("shop", parse(SPEC, "spec.yaml").features, (STATUS,))
    surveys = {}
    for split, values in (("train", ["paid", "paid", "shipped", " paid"]), ("test", ["lost"])):
        survey = Survey()
        survey.add(survey_block(spec, make_block(status=values, city=["x"] * len(values))))
        surveys[split] = survey.to_dict(spec)
    assert surveys["train"]["tasks"]["status"] == {"classes": 2, "largest": 3}
    summary = surveys["train"]["tasks"]["status"]
    assert STATUS.summary_columns(summary, 4) == {"classes": 2, "largest_share": 0.75}
    assert STATUS.informative_rows(summary, 4) == 1
    assert STATUS.explain_one_label(summary, 4) == ""
    assert (
        STATUS.explain_one_label({"classes": 1, "largest": 4}, 4) == "all 4 rows are of one class"
    )
    assert [(row["value"], row["is"]) for row in STATUS.label_rows(surveys)] == [
        ("'paid'", "paid"),
        ("'shipped'", "shipped"),
        ("'lost'", "lost"),
    ]
    assert list(STATUS.label_warnings(surveys)) == [
        "task 'status': all 1 rows are of one class in the test rows; check what column 'status' "
        "holds.",
        "task 'status': no training row is of class 'lost'; the model cannot learn it.",
    ]
    assert STATUS.describe_label() == "status: 'paid', 'shipped', 'lost'"


# In a model.

PAIR = ClassesTask("pair", "pair", values=("a", "b"))
Z = np.array([[0.0, 1, -2], [1, 1, 0], [2, -1, 1], [0.5, 0, 3], [-1, 2, 0], [9, 0, -90]])


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=0)


def test_losses_and_predictions_beside_another_kind():
    tasks = [STATUS, BinaryTask("click", "click", "1"), PAIR]
    logits = tf.constant(Z, tf.float32)
    labels = np.array([[2, 0, 1], [0, 1, 0], [1, 1, 1.0]])
    p, q = softmax(Z[:3]), softmax(Z[4:])
    expected = [
        [-np.log(p[int(k), i]) for i, k in enumerate(labels[:, 0])],
        [np.log1p(np.exp(0.5)), np.log(2), np.log1p(np.exp(-3))],
        [-np.log(q[int(k), i]) for i, k in enumerate(labels[:, 2])],
    ]
    losses = task_losses(tasks, logits, tf.constant(labels, tf.float32))
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-7)
    predictions = task_predictions(tasks, logits)
    expected = np.concatenate([p, 1 / (1 + np.exp(-Z[3:4])), q])
    np.testing.assert_allclose(predictions, expected, rtol=1e-5, atol=1e-30)
    np.testing.assert_array_equal(task_predictions([STATUS], logits[:3]), predictions[:3])


def make_predictions(rows=400, classes=3, seed=1, sharpness=1.0):
    """Labels that are drawn from probabilities, and these."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)) + np.arange(classes) / 2
    true = softmax(logits.T).T
    labels = np.array([rng.choice(classes, p=of) for of in true]).astype(np.float64)
    return labels, softmax(sharpness * logits.T).T


def test_calibration_finds_temperature_and_shifts():
    labels, p = make_predictions(20_000, sharpness=3.0)
    scale, shifts = STATUS.calibration(p.astype(np.float32), labels, None)
    assert scale == pytest.approx(1 / 3, abs=0.02)
    np.testing.assert_allclose(shifts, 0, atol=0.06)
    json.dumps((scale, shifts))
    moved = softmax((np.log(p) + np.array([1, 0, -1])).T).T
    _, shifts = fit_temperature(moved, labels, np.full(len(labels), 7.0))
    np.testing.assert_allclose(np.diff(shifts), [1 / 3, 1 / 3], atol=0.06)
    # Hardly any rows: nearly unchanged; rows of weight 0 do not count.
    few = fit_temperature(p[:5], labels[:5], np.array([1.0, 0, 0, 0, 0]))
    assert few[0] == pytest.approx(1, abs=0.5)
    assert few == fit_temperature(p[:1], labels[:1])


# Scores and metrics.


def test_the_score_of_two_classes_is_the_auc():
    labels, p = make_predictions(300, 2)
    assert PAIR.score(labels, p) == pytest.approx(roc_auc_score(labels, p[:, 1]))
    weight = np.random.default_rng(2).random(300)
    weighted = roc_auc_score(labels, p[:, 1], sample_weight=weight)
    assert PAIR.score(labels, p, weight) == pytest.approx(weighted)
    other = make_predictions(300, 2, seed=5)[1]
    expected = auc_difference(labels, p[:, 1], other[:, 1])
    assert PAIR.score_difference(labels, p, other) == pytest.approx(expected, rel=0.01)


def test_the_score_of_more_classes():
    labels, p = make_predictions()
    expected = roc_auc_score(labels, p, multi_class="ovr", average="weighted")
    assert STATUS.score(labels, p) == pytest.approx(expected)
    macro = one_against_rest(labels, p, equally=True)
    assert macro == pytest.approx(roc_auc_score(labels, p, multi_class="ovr", average="macro"))
    # A class that no row has is left out; one class alone has no score.
    some = labels < 2
    assert STATUS.score(labels[some], p[some]) == pytest.approx(
        np.average(
            [roc_auc_score(labels[some] == k, p[some, k]) for k in (0, 1)],
            weights=np.bincount(labels[some].astype(int)),
        )
    )
    assert math.isnan(STATUS.score(np.zeros(3), p[:3]))
    assert STATUS.score_difference(np.zeros(3), p[:3], p[:3]) == pytest.approx(
        (math.nan, math.nan), nan_ok=True
    )
    ties = STATUS.score(np.array([0.0, 1, 2]), np.full((3, 3), 1 / 3))
    assert ties == 0.5


def test_the_standard_error_is_that_of_samples():
    differences, errors = [], []
    for seed in range(150):
        labels, p = make_predictions(300, 3, seed)
        noisy = np.random.default_rng(seed).dirichlet(np.ones(3), 300)
        difference, error = one_against_rest_difference(labels, p, (p + noisy) / 2)
        differences.append(difference)
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.2)
    assert one_against_rest_difference(labels, p, p) == (0.0, 0.0)
    weight = (np.arange(300) < 200).astype(float)
    assert STATUS.score_difference(labels, p, noisy, weight) == one_against_rest_difference(
        labels[:200], p[:200], noisy[:200]
    )


def test_metrics():
    labels, p = make_predictions()
    weight = np.random.default_rng(3).random(len(labels))
    metrics = STATUS.metrics(labels, p, weight)
    assert list(metrics) == ["rows", "classes", "auc", "macro_auc", "accuracy", "log_loss", "ece"]
    assert (metrics["rows"], metrics["classes"]) == (400, 3)
    assert metrics["auc"] == STATUS.score(labels, p, weight)
    right = p.argmax(axis=1) == labels
    assert metrics["accuracy"] == pytest.approx((weight * right).sum() / weight.sum())
    assert metrics["log_loss"] == pytest.approx(log_loss(labels, p, sample_weight=weight))
    assert 0 < metrics["ece"] < 0.2
    assert (STATUS.score_key, STATUS.score_log) == ("auc", "val_auc/status")
