"""Monotone maps that fit predictions to labels."""

import numpy as np
import pytest
from scipy.special import expit, logit

from mptrec_tf.evaluation.isotonic import MOST_BINS, fit_numbers, fit_probabilities
from mptrec_tf.evaluation.metrics import auc, calibration_ratio, log_loss


def apply(knots, values):
    return np.interp(values, *np.array(knots).T)


def test_two_groups_by_hand():
    """Of 1,000 rows each: .2 of those at .1, and .4 of those at .5 are positives."""
    predictions = np.repeat([0.1, 0.5], 1000)
    labels = np.concatenate([np.arange(1000) < 200, np.arange(1000) < 400])
    (_, low, high, last) = knots = fit_probabilities(predictions, labels)
    assert (knots[0], last) == ((0.0, 0.0), (1.0, 1.0))
    for (x, y), p, share in ((low, 0.1, 0.2), (high, 0.5, 0.4)):
        prior = 1 / (p * (1 - p))  # rows with the predicted share of positives
        mean = (1000 * share + prior * p) / (1000 + prior)
        assert x == pytest.approx(p)
        assert y == pytest.approx(0.99 * mean + 0.01 * p)


def test_groups_in_the_wrong_order_are_one():
    predictions = np.repeat([0.2, 0.4], 1000)
    labels = np.concatenate([np.arange(1000) < 400, np.arange(1000) < 200])
    _, (x, y), _ = fit_probabilities(predictions, labels)
    rows = [1000 + 1 / 0.16, 1000 + 1 / 0.24]
    assert x == pytest.approx((rows[0] * 0.2 + rows[1] * 0.4) / sum(rows))
    assert y == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_it_repairs_what_a_scale_and_a_shift_cannot(seed):
    """Probabilities above .2 are much too high; the others are right."""
    random = np.random.default_rng(seed)
    truth = expit(random.normal(-2, 1.5, 40_000))
    shown = np.where(truth > 0.2, 0.2 + np.maximum(truth - 0.2, 0) ** 0.5 * 0.8, truth)
    labels = (random.random(40_000) < truth).astype(float)
    fit, test = slice(0, 20_000), slice(20_000, None)
    knots = fit_probabilities(shown[fit], labels[fit])
    assert len(knots) <= MOST_BINS + 2
    after = apply(knots, shown[test])
    assert log_loss(labels[test], after) < log_loss(labels[test], shown[test]) - 0.005
    assert log_loss(labels[test], after) < log_loss(labels[test], truth[test]) + 0.002
    assert calibration_ratio(labels[test], after) == pytest.approx(1, abs=0.05)
    assert auc(labels[test], after) == pytest.approx(auc(labels[test], shown[test]), abs=1e-12)


def test_calibrated_predictions_hardly_change():
    random = np.random.default_rng(1)
    truth = expit(random.normal(-3, 1, 100_000))
    labels = random.random(100_000) < truth
    after = apply(fit_probabilities(truth, labels), truth)
    assert np.abs(logit(after) - logit(truth)).mean() < 0.1
    assert log_loss(labels, after) < log_loss(labels, truth) + 1e-4


@pytest.mark.parametrize(
    ("predictions", "labels"),
    [
        ([0.3], [1]),
        ([0.3, 0.3, 0.3], [1, 0, 0]),
        ([0.0, 1.0], [1, 0]),
        ([0.0, 0.0, 1.0, 1.0], [0, 0, 1, 1]),
        ([1e-30, 0.5, 1 - 1e-9], [0, 0, 0]),
        (np.linspace(0.01, 0.9, 5000), np.zeros(5000)),
        (np.linspace(0.01, 0.9, 5000), np.ones(5000)),
        (np.linspace(1e-6, 1e-5, 5000), np.arange(5000) == 4999),
    ],
)
def test_every_map_ascends_from_0_to_1(predictions, labels):
    knots = np.array(fit_probabilities(np.array(predictions), np.array(labels)))
    assert knots[0].tolist() == [0, 0]
    assert knots[-1].tolist() == [1, 1]
    assert (np.diff(knots, axis=0) > 0).all()
    np.testing.assert_array_equal(knots, knots.astype(np.float32))


def test_no_positives_is_not_no_chance():
    """1,000 rows at .1 without a positive: as if one of a few more rows were."""
    _, (_, y), _ = fit_probabilities(np.full(1000, 0.1), np.zeros(1000))
    assert y == pytest.approx(0.99 / (1000 + 1 / 0.09) / 0.9 + 0.001)


def test_weights_count():
    random = np.random.default_rng(2)
    predictions = random.random(3000).round(2)
    labels = random.random(3000) < predictions**2
    weight = np.repeat([0.0, 1.0, 2.0], 1000)
    actual = fit_probabilities(predictions, labels, weight)
    assert actual == fit_probabilities(predictions[1000:], labels[1000:], 3 * weight[1000:])
    repeated = np.repeat(np.arange(3000), weight.astype(int))
    expected = fit_probabilities(predictions[repeated], labels[repeated])
    x = np.linspace(0.1, 0.9, 50)
    np.testing.assert_allclose(apply(actual, x), apply(expected, x), atol=0.03)
    assert fit_probabilities(predictions, labels, np.zeros(3000)) == ()
    assert fit_numbers(predictions, labels, np.zeros(3000)) == ()


def test_numbers_by_hand():
    """200 rows each at 1 and 3, whose labels are 2 and 7 on average."""
    predictions = np.repeat([1.0, 3.0], 200)
    labels = np.tile([1.0, 3.0], 100).tolist() + np.tile([5.0, 9.0], 100).tolist()
    (first, low, high, last) = fit_numbers(predictions, labels)
    assert low == (1, pytest.approx(0.99 * (200 * 2 + 1) / 201 + 0.01))
    assert high == (3, pytest.approx(0.99 * (200 * 7 + 3) / 201 + 0.03))
    for end, centre in ((first, low), (last, high)):  # a slope of 1 beyond the centres
        assert end[1] - end[0] == pytest.approx(centre[1] - centre[0], rel=1e-6)
    assert first[0] < 1
    assert last[0] > 3
    assert fit_numbers(predictions, labels, least=0.0)[0] == (0, 0)
