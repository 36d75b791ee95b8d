import math

import numpy as np
import pytest

from mptrec_tf.evaluation import metrics

LABELS = np.array([0, 0, 1, 1])
PROBABILITIES = np.array([0.1, 0.4, 0.35, 0.8])


def test_auc_counts_ordered_pairs():
    # Of the pairs (.35 .1), (.35 .4), (.8 .1), (.8 .4), three are in order.
    assert metrics.auc(LABELS, PROBABILITIES) == pytest.approx(0.75)


def test_auc_counts_a_tie_as_half():
    assert metrics.auc(np.array([0, 1]), np.array([0.5, 0.5])) == pytest.approx(0.5)


def test_auc_weighs_rows():
    weight = np.array([1, 3, 1, 1])
    # The pair that is out of order, (.35 .4), now weighs 3 of 8.
    assert metrics.auc(LABELS, PROBABILITIES, weight) == pytest.approx(5 / 8)


def test_auc_of_one_class_is_nan():
    assert math.isnan(metrics.auc(np.ones(3), np.array([0.1, 0.2, 0.3])))
    # The only negative row weighs nothing.
    weight = np.array([0, 1, 2])
    assert math.isnan(metrics.auc(np.array([0, 1, 1]), np.array([0.1, 0.2, 0.3]), weight))


def test_grouped_auc_weighs_users_by_rows_and_leaves_out_one_class_users():
    users = np.array(["a"] * 4 + ["b"] * 2 + ["c"] * 3)
    labels = np.array([0, 0, 1, 1, 1, 0, 1, 1, 1])
    probabilities = np.array([0.1, 0.4, 0.35, 0.8, 0.2, 0.7, 0.1, 0.2, 0.3])
    # a: 3/4 with 4 rows; b: 0 with 2 rows; c has positives only.
    assert metrics.grouped_auc(users, labels, probabilities) == pytest.approx(0.75 * 4 / 6)


def test_grouped_auc_counts_a_tie_as_half():
    assert metrics.grouped_auc(
        np.array([1, 1, 1]), np.array([0, 1, 0]), np.array([0.5, 0.5, 0.1])
    ) == pytest.approx(0.75)


def test_grouped_auc_of_one_group_is_the_auc():
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(2, size=200), rng.integers(9, size=200) / 9
    assert metrics.grouped_auc(np.zeros(200), labels, probabilities) == pytest.approx(
        metrics.auc(labels, probabilities)
    )


def test_grouped_auc_without_a_group_of_both_classes_is_nan():
    assert math.isnan(metrics.grouped_auc(np.array([1, 2]), np.array([0, 1]), np.zeros(2)))


def test_log_loss():
    expected = -(math.log(0.9) + math.log(0.6) + math.log(0.35) + math.log(0.8)) / 4
    assert metrics.log_loss(LABELS, PROBABILITIES) == pytest.approx(expected)
    weighted = -(3 * math.log(0.9) + math.log(0.8)) / 4
    assert metrics.log_loss(
        np.array([0, 1]), np.array([0.1, 0.8]), np.array([3, 1])
    ) == pytest.approx(weighted)


def test_log_loss_of_one_class():
    assert metrics.log_loss(np.zeros(2), np.array([0.5, 0.5])) == pytest.approx(math.log(2))


def test_calibration_ratio():
    assert metrics.calibration_ratio(LABELS, PROBABILITIES) == pytest.approx(1.65 / 4 / 0.5)
    assert math.isnan(metrics.calibration_ratio(np.zeros(2), np.array([0.5, 0.5])))


def test_expected_calibration_error():
    # With two bins: below one half .1 + .4 + .35 against one positive, above it .8 against one.
    assert metrics.expected_calibration_error(LABELS, PROBABILITIES, bins=2) == pytest.approx(
        (abs(0.85 - 1) + abs(0.8 - 1)) / 4
    )


def test_a_probability_of_one_is_in_the_last_bin():
    assert metrics.expected_calibration_error(np.array([1]), np.array([1.0])) == 0


def test_difference_of_two_aucs_by_hand():
    labels = np.array([1, 1, 0, 0])
    # Of (positive, negative) pairs, the first has 3 of 4 in order, the second 2 of 4.
    first, second = np.array([0.9, 0.4, 0.5, 0.1]), np.array([0.9, 0.2, 0.5, 0.3])
    difference, error = metrics.auc_difference(labels, first, second)
    assert difference == pytest.approx(0.25)
    # Shares of positives: (1, .5) and (1, 0); of negatives: (.5, 1) and (.5, .5).
    assert error == pytest.approx(np.sqrt(np.var([0, 0.5], ddof=1) / 2 * 2))
    assert metrics.auc_difference(labels, first, first) == (0.0, 0.0)


def test_difference_of_two_aucs_and_its_error_on_many_rows():
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 2000)
    first = labels + random.normal(size=2000).round(1)  # with ties
    second = labels + 2 * random.normal(size=2000)
    difference, error = metrics.auc_difference(labels, first, second)
    assert difference == pytest.approx(
        metrics.auc(labels, first) - metrics.auc(labels, second), abs=1e-12
    )
    draws = []
    for _ in range(300):
        rows = random.integers(0, 2000, 2000)
        draws.append(
            metrics.auc(labels[rows], first[rows]) - metrics.auc(labels[rows], second[rows])
        )
    assert error == pytest.approx(np.std(draws), rel=0.15)


def test_a_weighted_difference_by_hand():
    labels, weight = np.array([1, 1, 0, 0]), np.array([3.0, 1.0, 2.0, 2.0])
    first, second = np.array([0.9, 0.4, 0.5, 0.1]), np.array([0.9, 0.2, 0.5, 0.3])
    difference, error = metrics.auc_difference(labels, first, second, weight)
    # Positives gain 0 and 1/2, negatives 0 and 1/4; their means are both 1/8.
    assert difference == pytest.approx(1 / 8)
    of_positives = ((3 * 1 / 8) ** 2 + (1 * 3 / 8) ** 2) / 4**2 * 2
    of_negatives = ((2 * 1 / 8) ** 2 + (2 * 1 / 8) ** 2) / 4**2 * 2
    assert error == pytest.approx(np.sqrt(of_positives + of_negatives))
    expected = metrics.auc(labels, first, weight) - metrics.auc(labels, second, weight)
    assert difference == pytest.approx(expected)


def test_a_single_positive_has_an_infinite_standard_error():
    labels = np.array([1, 0, 0])
    difference, error = metrics.auc_difference(labels, np.array([3, 2, 1]), np.array([1, 2, 3]))
    assert (difference, error) == (1.0, math.inf)
