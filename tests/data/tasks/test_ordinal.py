"""The kind of task whose labels are levels that order."""

import dataclasses
import math

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit
from scipy.stats import spearmanr

from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.ordinal import OrdinalTask
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.concordance import concordance
from mptrec_tf.evaluation.levels import invert_expected, level_losses
from mptrec_tf.models.task_outputs import task_losses, task_predictions

STARS = OrdinalTask("stars", "stars", levels=("1", "2", "3", "4", "5"))
STARS = STARS.fit_values({"1": 9, "2": 19, "4": 39, "5": 29})
SPEC = """
name: shop
categorical: [city]
tasks:
  - {name: stars, label: stars, kind: ordinal, levels: [1, 2.0, 3]}
  - {name: visits, label: visits, kind: ordinal, most: 4}
"""


def make_block(values):
    return Block({"y": np.array(values, object)}, "rows.csv", np.arange(2, 2 + len(values)))


def test_a_spec_is_read_and_written():
    spec = parse(SPEC, "spec.yaml")
    stars, visits = spec.tasks
    assert stars == OrdinalTask("stars", "stars", levels=("1", "2", "3"))
    assert visits == OrdinalTask("visits", "visits", most=4.0)
    assert stars.numbers == (1, 2, 3)
    fitted = dataclasses.replace(spec, tasks=(stars, visits.fit_values({"0": 3, "9": 5})))
    assert DatasetSpec.from_json(fitted.to_json()) == fitted


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("levels: [1, x]", "task 't': level 'x' is no finite number; number the levels"),
        ("levels: [1, 3, 2]", "task 't': levels must rise, each listed once; received 1, 3, 2"),
        ("levels: [1, 1.0]", "task 't': levels must rise, each listed once; received 1, 1"),
        ("levels: 1", "task 't': levels lists one level; list two or more, or leave levels out"),
        ("levels: [1, 2], most: 3", "task 't': most must be the last of levels, 2, not 3"),
        ("most: 2.5", "task 't': most must be a whole number, not 2.5"),
        ("thresholds: [1]", "unknown key 'thresholds' in a task"),
    ],
)
def test_a_problem_is_named_with_its_line(keys, sentence):
    task = f"{{name: t, label: y, kind: ordinal, {keys}}}"
    with pytest.raises(InputError) as caught:
        parse(f"name: shop\ncategorical: [city]\ntasks:\n  - {task}\n", "my.yaml")
    assert str(caught.value).startswith(f"my.yaml, line 4: {sentence}")


def test_levels_and_thresholds_of_the_training_rows():
    task = OrdinalTask("t", "y")
    fitted = task.fit_values({"10": 2, "9": 5, "x": 1})
    assert fitted.found == (9, 10)
    np.testing.assert_allclose(fitted.thresholds, [math.log(5.5 / 2.5)])
    counts = dataclasses.replace(task, most=3.0).fit_values({"1": 4, "7": 2, "3": 1})
    assert counts.found == (1, 2, 3)
    # Half a row more for each level: no threshold is that of the next one.
    np.testing.assert_allclose(counts.thresholds, np.log([4.5 / 4, 5 / 3.5]))
    # A logit of 0 predicts the shares of the levels.
    above = expit(-np.array(STARS.thresholds))
    np.testing.assert_allclose(above, 1 - np.cumsum([9.5, 19.5, 0.5, 39.5]) / 98.5)
    with pytest.raises(InputError, match="column 'y' has 1,000 or more levels in the training"):
        task.fit_values(dict.fromkeys(map(str, range(1000)), 1))
    assert task.same_rule(fitted)
    assert not fitted.same_labels(counts)


def test_labels_are_levels():
    np.testing.assert_array_equal(STARS.labels(make_y(["5", " 1.0", "3"]), ()), [5, 1, 3])
    counts = OrdinalTask("t", "y", most=3.0).fit_values({"0": 4, "7": 2})
    np.testing.assert_array_equal(counts.labels(make_block(["12", "0", "2"]), ()), [3, 0, 2])
    part = OrdinalTask("t", "y").fit_values({"0.1": 4, "0.7": 2})
    np.testing.assert_array_equal(part.labels(make_block(["0.7", "0.1"]), ()), part.found[::-1])
    skipped = dataclasses.replace(part, missing="skip")
    np.testing.assert_array_equal(skipped.labels(make_block([""]), ("",)), [math.nan])


def make_y(values):
    return Block({"stars": np.array(values, object)}, "rows.csv", np.arange(2, 2 + len(values)))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("six", "'six' is no level of task 'stars'; expected a finite number"),
        ("inf", "'inf' is no level of task 'stars'; expected a finite number"),
        (
            "6",
            "'6' is no level of task 'stars'; listed are 1, 2, 3, 4, 5: list all under levels, or "
            "give a largest one that holds all above with `most`",
        ),
        (
            "",
            "'' is a missing value, and task 'stars' needs a label in every row; leave such rows "
            "out, give the task `missing: skip`, or change missing_values in the spec",
        ),
    ],
)
def test_what_is_no_level_is_rejected_with_its_place(value, reason):
    with pytest.raises(InputError) as caught:
        STARS.labels(make_y(["1", value]), ("",))
    assert str(caught.value) == f"rows.csv, line 3, column 'stars': {reason}."


# In a model.


def probabilities(z, thresholds):
    """P of each level [n, levels] by the definition."""
    above = expit(np.asarray(z)[:, None] - thresholds)
    ends = np.ones((len(z), 1)), np.zeros((len(z), 1))
    return -np.diff(np.concatenate([ends[0], above, ends[1]], axis=1))


def test_losses_and_predictions_beside_another_kind():
    two = OrdinalTask("two", "two").fit_values({"0": 3, "10": 9})
    tasks = [STARS, BinaryTask("click", "click", "1"), two]
    z = np.array([[0.0, 1, -2, 5, 0.5], [1, 0, 0, 0, 0], [2, -1, 0, 1, 8]])
    labels = np.array([[1, 0, 0], [5, 1, 0], [3, 0, 10], [4, 1, 10], [2, 1, 0.0]])
    of_stars, of_two = (probabilities(z[i], np.array(tasks[i].thresholds)) for i in (0, 2))
    losses = task_losses(tasks, *(tf.constant(v, tf.float32) for v in (z, labels)))
    expected = -np.log(of_stars[np.arange(5), labels[:, 0].astype(int) - 1])
    np.testing.assert_allclose(losses[0], expected, rtol=1e-5)
    expected = -np.log(of_two[np.arange(5), (labels[:, 2] / 10).astype(int)])
    np.testing.assert_allclose(losses[2], expected, rtol=1e-4)
    predictions = task_predictions(tasks, tf.constant(z, tf.float32))
    np.testing.assert_allclose(predictions[0], of_stars @ np.arange(1, 6), rtol=1e-5)
    np.testing.assert_allclose(predictions[2], 10 * of_two[:, 1], rtol=1e-5)
    np.testing.assert_array_equal(
        task_predictions([STARS], tf.constant(z[:1], tf.float32))[0], predictions[0]
    )
    far = task_predictions([STARS], tf.constant([[-200.0, 200.0]]))
    np.testing.assert_array_equal(far, [[1, 5]])
    far = task_losses([STARS], tf.constant([[-200.0, 200.0]]), tf.constant([[1.0], [5.0]]))
    np.testing.assert_array_equal(far, [[0, 0]])
    np.testing.assert_allclose(
        invert_expected(predictions[0], STARS.found, STARS.thresholds), z[0], atol=1e-4
    )
    np.testing.assert_allclose(
        level_losses(z[0], labels[:, 0].astype(int) - 1, STARS.thresholds), losses[0], rtol=1e-4
    )


def make_rows(rows=20_000, seed=1):
    """Logits, and labels that are drawn by them."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=rows)
    cumulative = 1 - expit(z[:, None] - np.array(STARS.thresholds))
    return z, 1.0 + (rng.random(rows)[:, None] > cumulative).sum(axis=1)


def test_calibration_finds_scale_and_shift():
    z, labels = make_rows()
    wrong = task_predictions([STARS], tf.constant([2 * z - 1], tf.float32))[0].numpy()
    scale, shift = STARS.calibration(wrong, labels, None)
    assert (scale, shift) == pytest.approx((0.5, 0.5), abs=0.03)
    assert STARS.calibration(wrong, labels, np.full(len(z), 9.0)) == pytest.approx((scale, shift))
    weight = (np.arange(len(z)) < 1).astype(float)
    few = STARS.calibration(wrong, labels, weight)
    assert few == pytest.approx((1, 0), abs=0.8)
    assert few[0] > 0


def test_score_and_metrics():
    z, labels = make_rows(500)
    predictions = task_predictions([STARS], tf.constant([z], tf.float32))[0].numpy()
    weight = np.random.default_rng(3).random(500)
    metrics = STARS.metrics(labels, predictions, weight)
    assert list(metrics) == [
        *("rows", "concordance", "mean_label", "mean_prediction"),
        *("mae", "accuracy", "rank_correlation", "log_loss"),
    ]
    assert metrics["concordance"] == concordance(labels, predictions, weight)
    gaps = np.abs(labels - predictions.astype(np.float64))
    assert metrics["mae"] == pytest.approx((weight * gaps).sum() / weight.sum())
    nearest = np.clip(np.round(predictions), 1, 5) == labels
    assert metrics["accuracy"] == pytest.approx((weight * nearest).sum() / weight.sum())
    assert metrics["rank_correlation"] == pytest.approx(spearmanr(labels, predictions).statistic)
    own = probabilities(z, np.array(STARS.thresholds))[np.arange(500), labels.astype(int) - 1]
    assert metrics["log_loss"] == pytest.approx(np.average(-np.log(own), weights=weight), rel=1e-4)
    difference, error = STARS.score_difference(labels, predictions, -predictions)
    assert difference == pytest.approx(2 * STARS.score(labels, predictions) - 1)
    assert 0 < error < 0.1
    assert math.isnan(STARS.score_difference(np.ones(3), z[:3], z[:3])[0])
    assert STARS.describe_label() == "stars (levels 1, 2, 3, 4, 5)"
    counts = OrdinalTask("t", "y", most=30.0).fit_values({"0": 4})
    assert counts.describe_label().endswith(
        "(levels 0, 1, 2, 3, 4, 5, 6, 7, ... 30 (31 in all) and more)"
    )
