"""The bootstrap by user: its draws by their moments, and its errors by formulas."""

import numpy as np
import pytest

from mptrec_tf.evaluation import bootstrap
from mptrec_tf.evaluation.bootstrap import resample, sum_by_unit


def test_sums_by_user_by_hand():
    sums = sum_by_unit(np.array([2, 0, 2]), np.array([[1.0, 2.0, 3.0], [0.5, 0.0, 0.0]]))
    np.testing.assert_array_equal(sums, [[2, 0], [0, 0], [4, 0.5]])
    assert sum_by_unit(np.array([], int), np.zeros((2, 0))).shape == (0, 2)


def test_the_same_samples_in_every_run():
    sums = np.random.default_rng(1).random((3000, 2))
    np.testing.assert_array_equal(resample(sums), resample(sums))
    assert resample(sums, 10).shape == (10, 2)


def test_a_user_counts_by_a_poisson_number_of_mean_1():
    counts = np.concatenate([resample(np.ones((1, 1)), 20_000)[:, 0]])
    shares = np.bincount(counts.astype(int))[:4] / len(counts)
    # exp(-1) / k!; the noise of a share is below .0035.
    np.testing.assert_allclose(shares, [0.3679, 0.3679, 0.1839, 0.0613], atol=0.012)


def test_columns_are_resampled_together():
    sums = np.random.default_rng(2).random((50, 1)).astype(np.float32)
    samples = resample(np.concatenate([sums, 2 * sums], axis=1))
    np.testing.assert_allclose(samples[:, 1], 2 * samples[:, 0], rtol=1e-6)


def test_the_error_of_a_mean_is_that_of_the_formula():
    """The standard deviation of 500 samples is off by 3% (one standard error)."""
    values = np.random.default_rng(3).normal(5, 2, 4000)
    samples = resample(np.stack([values, np.ones(4000)], axis=1))
    expected = values.std(ddof=1) / np.sqrt(4000)
    assert np.std(samples[:, 0] / samples[:, 1]) == pytest.approx(expected, rel=0.1)


def test_many_users_are_counted_in_groups(monkeypatch):
    monkeypatch.setattr(bootstrap, "_MOST_UNITS", 1000)
    values = np.random.default_rng(4).normal(5, 2, 20_000)
    sums = sum_by_unit(np.arange(20_000), np.stack([values, np.ones(20_000)]))
    assert sums.shape == (1000, 2)
    samples = resample(sums)
    expected = values.std(ddof=1) / np.sqrt(20_000)
    assert np.std(samples[:, 0] / samples[:, 1]) == pytest.approx(expected, rel=0.1)
