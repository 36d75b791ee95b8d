"""Concordance against a loop over all pairs, and against AUC and DeLong."""

import math

import numpy as np
import pytest

from mptrec_tf.evaluation.concordance import concordance, concordance_difference
from mptrec_tf.evaluation.linear_fit import fit_line
from mptrec_tf.evaluation.metrics import auc, auc_difference


def plain(labels, predictions, weight):
    right = pairs = 0.0
    for y, p, v in zip(labels, predictions, weight, strict=True):
        for other, q, w in zip(labels, predictions, weight, strict=True):
            if y > other:
                pairs += v * w
                right += v * w * ((p > q) + (p == q) / 2)
    return right / pairs if pairs else math.nan


@pytest.mark.parametrize("seed", range(40))
def test_it_equals_a_loop_over_all_pairs(seed):
    random = np.random.default_rng(seed)
    rows = random.integers(1, 40)
    labels = random.integers(0, 5, rows).astype(float)
    predictions = random.integers(0, 6, rows) / 5
    weight = random.integers(0, 3, rows).astype(float)
    for w in (weight, np.ones(rows)):
        expected = plain(labels, predictions, w)
        assert concordance(labels, predictions, w) == pytest.approx(expected, nan_ok=True)
    whole = concordance(labels, predictions)
    assert whole == pytest.approx(plain(labels, predictions, np.ones(rows)), nan_ok=True)


def test_of_two_classes_it_is_the_auc():
    random = np.random.default_rng(1)
    labels = (random.random(3000) < 0.3).astype(float)
    one, other = (labels * share + random.random(3000) for share in (0.5, 0.3))
    weight = random.random(3000)
    assert concordance(labels, one) == pytest.approx(auc(labels, one), abs=1e-12)
    assert concordance(labels, one, weight) == pytest.approx(auc(labels, one, weight), abs=1e-9)
    difference, error = concordance_difference(labels, one, other)
    expected, delong = auc_difference(labels, one, other)
    assert difference == pytest.approx(expected, abs=1e-12)
    assert error == pytest.approx(delong, rel=2e-3)


def test_the_standard_error_is_that_of_repeated_samples():
    random = np.random.default_rng(2)
    differences, errors = [], []
    for _ in range(400):
        labels = random.normal(size=100)
        one, other = (labels + noise * random.normal(size=100) for noise in (1.0, 1.3))
        difference, error = concordance_difference(labels, one, other)
        differences.append(difference)
        errors.append(error)
    assert np.mean(errors) == pytest.approx(np.std(differences), rel=0.1)


def test_predictions_that_are_the_same_do_not_differ():
    labels, predictions = np.arange(5.0), np.array([1.0, 3.0, 2.0, 2.0, 5.0])
    assert concordance_difference(labels, predictions, 2 * predictions) == (0, 0)


def test_a_line_by_hand_and_few_points():
    """One point (1, 3): (s + b - 3)^2 + (s - 1)^2 + b^2 is smallest at s = 1 + 2/3, b = 2/3."""
    scale, shift = fit_line(np.array([1.0]), np.array([3.0]))
    assert (scale, shift) == (pytest.approx(5 / 3, abs=1e-4), pytest.approx(2 / 3, abs=1e-4))
    assert fit_line(np.arange(1e3), -np.arange(1e3))[0] == pytest.approx(0.01, abs=1e-3)
