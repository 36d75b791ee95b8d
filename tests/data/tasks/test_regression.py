"""Regression tasks: labels, scaled statistics, losses and predictions by hand."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import math

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.prepare import complete_spec
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.data.survey import survey_block
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.registry import task_from_plain
from mptrec_tf.data.tasks.regression import RegressionTask
from mptrec_tf.errors import InputError
from mptrec_tf.models.task_outputs import task_losses, task_predictions

WATCH = RegressionTask("watch", "seconds", scale="log", mean=1.0, deviation=2.0)
PRICE = RegressionTask("price", "paid", loss="huber", mean=10.0, deviation=5.0)


def block_of(values, column="seconds"):
    columns = {column: np.array(values, object), "age": np.array(["1"] * len(values), object)}
    return Block(columns, "a.csv", np.arange(2, len(values) + 2))


def test_labels():
    assert WATCH.labels(block_of(["0", "12.5", " 3 "]), ()).tolist() == [0, 12.5, 3]
    negative = block_of(["1", "-0.5"])
    with pytest.raises(
        InputError,
        match=r"a\.csv, line 3, column 'seconds': '-0\.5' is not a label "
        r"of task 'watch'; expected 0 or a positive number\.",
    ):
        WATCH.labels(negative, ())
    assert RegressionTask("t", "seconds").labels(negative, ()).tolist() == [1, -0.5]
    for value in ("inf", "1e39", "long"):
        with pytest.raises(InputError, match="expected a finite number"):
            RegressionTask("t", "seconds").labels(block_of([value]), ())


def test_preparation_fits_mean_and_deviation_by_hand():
    """Of log(1 + y): log 1, log 2, log 4; the order of rows and blocks does not matter."""
    task = RegressionTask("watch", "seconds", scale="log")
    spec = DatasetSpec("shop", (Numeric("age"),), (task,))
    survey = survey_block(spec, block_of(["3", "0"]))
    survey.add(survey_block(spec, block_of(["1"])))
    other = survey_block(spec, block_of(["0", "1", "3"]))
    plain = survey.to_dict(spec)
    assert plain["tasks"] == other.to_dict(spec)["tasks"]
    [fitted] = complete_spec(spec, plain).tasks
    assert fitted.mean == pytest.approx(math.log(2))
    assert fitted.deviation == pytest.approx(math.log(2) * math.sqrt(2 / 3))
    assert plain["tasks"]["watch"]["sum"] == 4
    assert (plain["tasks"]["watch"]["lowest"], plain["tasks"]["watch"]["highest"]) == (0, 3)
    assert fitted.same_rule(task)
    assert not fitted.same_rule(RegressionTask("watch", "seconds"))
    assert not fitted.same_rule(BinaryTask("watch", "seconds", above=1))
    assert task_from_plain(fitted.to_plain()) == fitted


def test_losses_by_hand():
    """z of e^3 - 1 is (3 - 1) / 2 = 1; z of 30 is (30 - 10) / 5 = 4."""
    labels = tf.constant([[math.e**3 - 1, 30.0], [math.e - 1, 10.0]])  # [B, K]
    logits = tf.constant([[0.0, 0.5], [1.0, 0.25]])  # [K, B]
    expected = [[0.5, 0.125], [3 - 0.5, 0.25**2 / 2]]
    np.testing.assert_allclose(task_losses([WATCH, PRICE], logits, labels), expected, rtol=1e-5)


def test_predictions_are_the_labels_that_lose_nothing():
    labels = tf.constant([[0.0, 30.0], [100.0, -7.0]])
    z = [[(math.log1p(y) - 1) / 2 for y in (0, 100)], [(y - 10) / 5 for y in (30, -7)]]
    predictions = task_predictions([WATCH, PRICE], tf.constant(z))
    np.testing.assert_allclose(predictions, tf.transpose(labels), rtol=1e-5, atol=1e-6)
    far = task_predictions([WATCH], tf.constant([[-100.0, 1e6]]))
    assert far[0, 0] == 0
    assert np.isfinite(far[0, 1])


def test_kinds_of_tasks_stand_side_by_side():
    click = BinaryTask("click", "clicked", "1")
    logits = tf.constant([[0.5], [0.0], [0.25]])
    labels = tf.constant([[math.e**3 - 1, 1.0, 10.0]])
    losses = task_losses([WATCH, click, PRICE], logits, labels)
    np.testing.assert_allclose(losses, [[0.125], [math.log(2)], [0.03125]], rtol=1e-5)


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_calibration_finds_scale_and_shift_of_the_logit(loss):
    random = np.random.default_rng(1)
    task = RegressionTask("watch", "seconds", scale="log", loss=loss, mean=3.0, deviation=0.5)
    z = random.normal(size=5000)
    labels = np.expm1(3 + 0.5 * (0.5 * z + 0.25 + 0.1 * random.normal(size=5000)))
    scale, shift = task.calibration(np.expm1(3 + 0.5 * z), labels, None)
    assert scale == pytest.approx(0.5, abs=0.01)
    assert shift == pytest.approx(0.25, abs=0.01)
    if loss == "squared":
        plain = np.polyfit(z, (np.log1p(labels) - 3) / 0.5, 1)
        np.testing.assert_allclose([scale, shift], plain, atol=1e-3)
    odd = labels.copy()
    odd[:50] = 1e9  # outliers move a line of squares
    moved = task.calibration(np.expm1(3 + 0.5 * z), odd, None)
    assert (abs(moved[1] - shift) < 0.05) == (loss == "huber")


def test_metrics_by_hand():
    labels, predictions = np.array([1.0, 2.0, 4.0]), np.array([2.0, 2.0, 1.0])
    metrics = PRICE.metrics(labels, predictions)
    assert metrics["rows"] == 3
    assert metrics["concordance"] == pytest.approx(0.5 / 3)  # a tie, two wrong
    assert metrics["rmse"] == pytest.approx(math.sqrt(10 / 3))
    assert metrics["mae"] == pytest.approx(4 / 3)
    assert metrics["rank_correlation"] == pytest.approx(-0.8660254)
    weighted = PRICE.metrics(labels, predictions, np.array([1.0, 0.0, 1.0]))
    assert weighted["concordance"] == 0
    assert weighted["mae"] == 2
    assert math.isnan(PRICE.metrics(labels, np.ones(3))["rank_correlation"])


SPEC = """\
name: shop
numeric: [age]
tasks:
  - {name: watch, kind: regression, label: seconds, FIELDS}
"""


def test_a_spec():
    spec = parse(SPEC.replace("FIELDS", "scale: log, loss: huber, missing: skip"), "shop.yaml")
    expected = RegressionTask("watch", "seconds", scale="log", loss="huber", missing="skip")
    assert spec.tasks == (expected,)
    assert DatasetSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("scale: sqrt", "task 'watch': scale must be standard or log, not 'sqrt'"),
        ("loss: l1", "task 'watch': loss must be squared or huber, not 'l1'"),
        ("mean: 3", "unknown key 'mean' in a task"),
        ("positive: 1", "unknown key 'positive' in a task"),
    ],
)
def test_a_bad_spec(fields, message):
    with pytest.raises(InputError, match=f"shop.yaml, line 4: {message}"):
        parse(SPEC.replace("FIELDS", fields), "shop.yaml")


def test_a_number_that_counts_as_missing_is_no_label():
    sentinel = block_of(["3", "-999", "1_000"])
    task = RegressionTask("t", "seconds")
    with pytest.raises(InputError, match=r"line 3, column 'seconds': '-999' is a missing value"):
        task.labels(sentinel, ("-999",))
    with pytest.raises(InputError, match="'1_000' is not a label"):
        task.labels(sentinel, ())
    task = RegressionTask("t", "seconds", missing="skip")
    skipped = task.labels(block_of(["3", "-999"]), ("-999",))
    np.testing.assert_array_equal(skipped, [3, np.nan])


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e7])
def test_statistics_do_not_depend_on_the_unit(size):
    task = RegressionTask("t", "seconds")
    spec = DatasetSpec("shop", (Numeric("age"),), (task,))
    values = np.array([1, 2, 2, 5], np.float32) * np.float32(size)
    plain = survey_block(spec, block_of(list(map(str, values)))).to_dict(spec)
    [fitted] = complete_spec(spec, plain).tasks
    assert fitted.mean == pytest.approx(values.astype(float).mean(), rel=1e-12)
    assert fitted.deviation == pytest.approx(values.astype(float).std(), rel=1e-9)


def test_labels_that_are_all_the_same_have_no_deviation():
    task = RegressionTask("t", "seconds")
    spec = DatasetSpec("shop", (Numeric("age"),), (task,))
    plain = survey_block(spec, block_of(["0.1"] * 3)).to_dict(spec)
    assert plain["tasks"]["t"]["scaled_deviation"] == 0
    assert complete_spec(spec, plain).tasks[0].deviation == 1


def test_another_loss_makes_no_other_label():
    where = {"where": {"c": ("2", "1")}}
    task = RegressionTask("t", "seconds", loss="huber", **where)
    assert task.same_rule(RegressionTask("t", "seconds", where={"c": ("1", "2")}))
    assert not task.same_rule(RegressionTask("t", "seconds", scale="log", **where))
