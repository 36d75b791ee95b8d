"""Maps of predictions in a graph."""

import dataclasses

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.regression import RegressionTask
from mptrec_tf.models.monotone_maps import apply_knots
from mptrec_tf.models.task_outputs import task_predictions

SHORT = ((0.0, 0.0), (0.25, 0.5), (1.0, 1.0))
LONG = tuple((float(x), float(x**2)) for x in np.linspace(0, 1, 65, dtype=np.float32))
NUMBERS = ((-10.0, -5.0), (0.0, 0.0), (10.0, 30.0))


def task(name, knots=()):
    return BinaryTask(name, name, "1", calibrate="isotonic", knots=knots)


def mapped(knots, values):
    return apply_knots([task("a", knots)], tf.constant([values], tf.float32))[0].numpy()


def test_values_by_hand():
    np.testing.assert_array_equal(
        mapped(SHORT, [0, 0.125, 0.25, 0.625, 1]), [0, 0.25, 0.5, 0.75, 1]
    )
    # Beyond the ends a map continues.
    np.testing.assert_array_equal(mapped(NUMBERS, [-20, -2, 0, 5, 20]), [-10, -1, 0, 15, 60])


@pytest.mark.parametrize("knots", [SHORT, LONG])
def test_it_is_linear_between_the_knots(knots):
    values = np.random.default_rng(1).random(1000).astype(np.float32)
    np.testing.assert_allclose(mapped(knots, values), np.interp(values, *np.array(knots).T), 1e-5)


def test_it_never_descends_and_stays_within_0_and_1():
    random = np.random.default_rng(2)
    for _ in range(20):
        x, y = np.sort(random.random((2, 30)).astype(np.float32), axis=1)
        knots = ((0.0, 0.0), *zip(x.tolist(), y.tolist(), strict=True), (1.0, 1.0))
        near = [np.nextafter(x, side, dtype=np.float32) for side in (0, 1)]
        values = np.sort(np.concatenate([x, *near, random.random(500), [0, 1]]).astype(np.float32))
        after = mapped(knots, values)
        assert (np.diff(after) >= 0).all()
        assert after.min() == 0
        assert after.max() == 1


def test_each_prediction_is_alone():
    """The bits depend on no other row and no other task; tasks without a map keep theirs."""
    values = np.random.default_rng(3).random((3, 97)).astype(np.float32)
    tasks = [task("a", SHORT), task("b"), task("c", LONG)]
    apply = tf.function(lambda values: apply_knots(tasks, values), reduce_retracing=True)
    together = apply(tf.constant(values)).numpy()
    np.testing.assert_array_equal(together[1], values[1])
    for row, of in ((0, SHORT), (2, LONG)):
        np.testing.assert_array_equal(together[row], mapped(of, values[row]))
    for rows in (slice(0, 1), slice(5, 22), slice(60, 97)):
        np.testing.assert_array_equal(apply(tf.constant(values[:, rows])), together[:, rows])


def test_without_maps_nothing_is_computed():
    values = tf.constant([[0.5], [0.25]])
    assert apply_knots([task("a"), task("b")], values) is values


def test_predictions_of_several_kinds_are_mapped():
    watch = RegressionTask("watch", "seconds", knots=NUMBERS)
    tasks = [task("a", SHORT), watch, dataclasses.replace(watch, name="w", knots=())]
    actual = task_predictions(tasks, tf.constant([[0.0], [5.0], [5.0]]))
    np.testing.assert_allclose(actual, [[2 / 3], [15], [5]], rtol=1e-6)
