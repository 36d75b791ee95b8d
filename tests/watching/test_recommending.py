"""Each rule of what is recommended, on both sides of its limit."""

import math

import pytest

from mptrec_tf.data.distributions import Shares
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.regression import RegressionTask
from mptrec_tf.watching.features import ColumnReport
from mptrec_tf.watching.recommending import (
    ADD_BUCKETS,
    NOTHING,
    RECALIBRATE,
    REFRESH,
    Limits,
    find_level,
    judge_columns,
    judge_task,
    recommend,
)
from mptrec_tf.watching.scores import Estimate, TaskScores

LIMITS = Limits()


def column(skew=0.0, unknown=None, fresh=None):
    shares = Shares(10, {"0": 1.0}, unknown)
    return ColumnReport(
        column="categorical/city",
        feature="city",
        comparator="L-infinity",
        skew=skew,
        drift=None,
        fresh_drift=0.01,
        unknown=unknown,
        trained_unknown=None if unknown is None else 0.0,
        fresh_unknown=fresh,
        unknown_by_day={},
        moved="'Bern': 10.0% to 35.0%",
        trained=shares,
        served=shares,
    )


def scores(score=0.75, error=0.004, ratio=1.0, ratio_error=0.01, informative=500):
    return TaskScores(
        2000, informative, Estimate(score, error), None, Estimate(ratio, ratio_error, is_ratio=True)
    )


def judge(of, baseline=None, level=1.0):
    baseline = {"score": 0.78, "error": 0.003} if baseline is None else baseline
    return judge_task("click", "AUC", of, baseline, level, LIMITS)


def test_a_column_that_drifted_asks_for_a_refresh():
    # Validation rows were .01 away.
    assert judge_columns([column(0.11)], 5000, LIMITS) == []
    [reason] = judge_columns([column(0.25)], 5000, LIMITS)
    assert (reason.action, reason.value, reason.limit) == (REFRESH, 0.25, 0.11)
    assert reason.sentence == (
        "categorical/city: served values are 0.250 (L-infinity) from the training rows, more than "
        "0.1 above the 0.010 of the validation rows ('Bern': 10.0% to 35.0%)"
    )
    assert judge_columns([column(0.25)], 999, LIMITS) == []


def test_unknown_values_ask_for_a_newer_vocabulary_or_if_that_does_not_help_for_buckets():
    assert judge_columns([column(0.05, unknown=0.1, fresh=0.0)], 5000, LIMITS) == []
    [reason] = judge_columns([column(0.3, unknown=0.3, fresh=0.02)], 5000, LIMITS)
    assert (reason.action, reason.value, reason.limit) == (REFRESH, 0.3, 0.1)
    assert reason.sentence.endswith(
        "does not hold 30.0% of the served values, more than 10.0%; of the validation rows it did "
        "not hold 2.0%, so a newer vocabulary would know them"
    )
    [reason] = judge_columns([column(0.3, unknown=0.3, fresh=0.25)], 5000, LIMITS)
    assert reason.action == ADD_BUCKETS
    assert reason.sentence.endswith("would miss about as many: give the column buckets")


def test_a_score_that_fell_beyond_noise_and_margin_asks_for_a_refresh():
    # .75 is .03 below, with an error of .005: .03 - 1.645 * .005 = .0218 > .01.
    [reason] = judge(scores())
    assert (reason.action, reason.limit) == (REFRESH, -0.01)
    assert reason.value == pytest.approx(-0.03)
    assert "its AUC is 0.7500 on 2,000 labelled rows, 0.0300 ± 0.0050 below" in reason.sentence
    assert judge(scores(score=0.765)) == []  # .015 - .0082 is within the margin
    assert judge(scores(error=0.02)) == []
    assert judge(scores(informative=49)) == []
    assert judge(scores(score=math.nan)) == []
    assert judge(scores(), baseline={}) == []
    assert judge(scores(), baseline={"score": None, "error": None}) == []


def test_predictions_that_are_off_while_the_score_holds_ask_for_a_calibration():
    holds = {"score": 0.78}
    assert judge(scores(**holds, ratio=1.11)) == []  # within noise of 1.1
    [high] = judge(scores(**holds, ratio=1.2))
    assert (high.action, high.value) == (RECALIBRATE, 1.2)
    assert high.limit == pytest.approx(1.1)
    assert "click: predictions are 1.200 times the labels on average, too high by" in high.sentence
    [low] = judge(scores(**holds, ratio=0.8))
    assert low.limit == pytest.approx(1 / 1.1)
    assert judge(scores(**holds, ratio=1.2, ratio_error=0.1)) == []
    assert judge(scores(**holds, ratio=1.2), level=None) == []
    # A score that fell needs more than a calibration.
    assert [of.action for of in judge(scores(ratio=1.2))] == [REFRESH]


def test_the_level_of_a_number_is_what_it_was():
    watch = RegressionTask("watch", "seconds", scale="log")
    means = {"metrics": {"mean_prediction": 30.0, "mean_label": 40.0}}
    assert find_level(watch, means) == 0.75
    assert find_level(watch, None) is None
    centred = {"metrics": {"mean_prediction": -0.01, "mean_label": 0.02}}
    assert find_level(watch, centred) is None
    assert find_level(BinaryTask("click", "clicked", ("1",)), None) == 1
    assert judge(scores(score=0.78, ratio=0.76), level=0.75) == []
    assert judge(scores(score=0.78, ratio=0.0001), level=0.75) == []  # of numbers of both signs
    [reason] = judge(scores(score=0.78, ratio=1.0), level=0.75)
    assert "on average (0.750 on the validation rows), too high" in reason.sentence


def test_the_strongest_action_is_recommended():
    reasons = judge_columns([column(0.3, 0.3, 0.3)], 5000, LIMITS)
    assert recommend([]) == NOTHING
    assert recommend(reasons + judge(scores(score=0.78, ratio=2))) == ADD_BUCKETS
    assert recommend(reasons + judge(scores())) == REFRESH
