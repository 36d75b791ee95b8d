"""Scores, their intervals, and days whose labels are still to come: numbers worked out by hand."""

import math

import numpy as np
import pytest

from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.classes import ClassesTask
from mptrec_tf.data.tasks.regression import RegressionTask
from mptrec_tf.watching.days import Days
from mptrec_tf.watching.outcomes import Outcome
from mptrec_tf.watching.scores import Estimate, score_days, score_task, select_complete

CLICK = BinaryTask("click", "clicked", ("1",))
DAY = 86_400


def test_a_binary_task():
    labels = np.array([1.0, 1.0, 0.0, 0.0])
    predictions = np.array([0.8, 0.4, 0.6, 0.2], np.float32)
    scores = score_task(CLICK, labels, predictions)
    assert (scores.rows, scores.informative, scores.score.value) == (4, 2, 0.75)
    # Each class ranks one of its rows right against both of the others, one against half: the
    # variance of 1, .5 is .125; DeLong's is .125 / 2 for each class.
    assert scores.score.error == pytest.approx(math.sqrt(0.125))
    losses = -np.log([0.8, 0.4, 0.4, 0.8])
    assert scores.log_loss.value == pytest.approx(losses.mean(), rel=1e-6)
    assert scores.log_loss.error == pytest.approx(losses.std(ddof=1) / 2, rel=1e-6)
    # Means are equal: the residuals are -.2, -.6, .6, .2.
    assert scores.calibration.value == pytest.approx(1)
    assert scores.calibration.error == pytest.approx(math.sqrt(0.8) / 2)
    low, high = scores.calibration.interval
    assert low * high == pytest.approx(1)


def test_a_number_has_no_log_loss_and_classes_no_calibration():
    scores = score_task(
        RegressionTask("watch", "seconds"), np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.0, 8.0])
    )
    assert scores.log_loss is None
    assert (scores.score.value, scores.calibration.value, scores.calibration.error) == (1, 2, 0)
    task = ClassesTask("end", "end", values=("a", "b"))
    predictions = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    scores = score_task(task, np.array([0.0, 1.0, 0.0, 1.0]), predictions)
    assert (scores.score.value, scores.log_loss, scores.calibration) == (0.75, None, None)
    assert 0 < scores.score.error < 1


def test_nothing_is_made_up_of_too_few_rows():
    for labels in ([], [1.0], [1.0, 1.0]):
        scores = score_task(CLICK, np.array(labels), np.full(len(labels), 0.5, np.float32))
        assert (scores.informative, scores.score.known) == (0, False)
        assert scores.score.interval is None
    assert Estimate(0.5, math.inf).interval is None
    assert Estimate(0.0, 0.0, is_ratio=True).interval is None
    assert Estimate(-1.0, 0.1, is_ratio=True).interval is None
    assert Estimate(0.001, 3.0, is_ratio=True).interval is None  # of numbers of both signs
    assert Estimate(0.5, 0.1).interval == pytest.approx((0.304, 0.696), abs=1e-4)


def test_days_without_all_labels_do_not_count():
    times = np.repeat([0, DAY, 2 * DAY], [8, 10, 2]) + 5.0
    labels = np.tile([0.0, 1.0], 10)
    outcome = Outcome(labels, np.linspace(0, 1, 20, dtype=np.float32), times)
    served = {"1970-01-01": 8, "1970-01-02": 11, "1970-01-03": 10, "1970-01-04": 7}
    days = score_days(CLICK, outcome, served)
    assert [(d.day, d.served, d.scores.rows, d.complete) for d in days] == [
        ("1970-01-01", 8, 8, True),
        ("1970-01-02", 11, 10, True),
        ("1970-01-03", 10, 2, False),
        ("1970-01-04", 7, 0, False),
    ]
    assert [round(d.labelled, 2) for d in days] == [1.0, 0.91, 0.2, 0.0]
    assert len(select_complete(outcome, days).labels) == 18


def test_rows_without_a_time_belong_to_no_day():
    days = Days(np.array([np.nan, DAY - 1.0, DAY]))
    assert (days.names, days.of.tolist()) == (["1970-01-01", "1970-01-02"], [-1, 0, 1])
    outcome = Outcome(np.array([1.0, 0.0]), np.float32([0.5, 0.5]), np.array([np.nan, 5.0]))
    scored = score_days(CLICK, outcome, {"1970-01-01": 1})
    assert (len(scored), scored[0].scores.rows) == (1, 1)
    assert len(select_complete(outcome, scored).labels) == 2
