"""Shares of ids and of numbers, and distances between them, worked out by hand."""

import numpy as np
import pytest

from mptrec_tf.data.distributions import (
    SMALLEST_SHARE,
    Histogram,
    Shares,
    count_ids,
    count_numbers,
    distribution_from_plain,
    distribution_to_plain,
    find_moved,
    jensen_shannon,
    make_edges,
    measure_drift,
)


def test_shares_of_ids():
    values = np.repeat([10, 11, 13], [5000, 4996, 4])
    of = count_ids(values, first=10, ids=4, unknown=2)
    assert of == Shares(10_000, {"0": 0.5, "1": 0.4996}, 0.0004)
    assert count_ids(values, 10, 4, 0).unknown is None
    assert count_ids(np.zeros(0, np.int64), 10, 4, 1) == Shares(0, {}, 0.0)


def test_bins_hold_equally_many_numbers():
    values = np.arange(1000, dtype=np.float32)
    edges = make_edges(values)
    assert len(edges) == 21
    of = count_numbers(values, edges)
    np.testing.assert_allclose(of.shares[1:-1], 0.05, atol=0.002)
    assert (of.shares[0], of.shares[-1], of.mean, of.missing) == (0, 0.001, 499.5, 0)
    # A value that half of the rows have is an edge once.
    assert make_edges(np.array([1.0] * 50 + [2.0, np.nan] * 25)) == (1.0, 2.0)
    assert make_edges(np.array([np.nan])) == ()


def test_numbers_outside_of_all_bins_and_missing_ones():
    of = count_numbers(np.array([-5.0, 0.5, 9.0, np.nan]), (0.0, 1.0))
    assert of.shares == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert (of.count, of.missing) == (4, 0.25)


def test_the_distance_of_ids_is_the_largest_difference():
    before, after = Shares(100, {"0": 0.6, "1": 0.4}), Shares(100, {"0": 0.5, "2": 0.5})
    # A share that is not listed is at most the smallest one.
    assert find_moved(before, after) == ("2", SMALLEST_SHARE, 0.5)
    assert measure_drift(before, after) == 0.5 - SMALLEST_SHARE
    assert measure_drift(after, before) == 0.5 - SMALLEST_SHARE
    assert measure_drift(before, before) == 0
    assert measure_drift(Shares(0, {}), Shares(0, {})) == 0


def test_the_distance_of_numbers():
    one, other = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5])
    assert jensen_shannon(one, other) == pytest.approx(0.5)
    assert jensen_shannon(one, one) == 0
    before = Histogram(10, (0.0, 1.0), (0.5, 0.5, 0.0), 0.0)
    after = Histogram(10, (0.0, 1.0), (0.5, 0.5, 0.0), 0.0, missing=0.3)
    assert measure_drift(before, after) == 0.3


def test_they_are_plain_data():
    for of in (Shares(3, {"0": 1.0}, 0.0), Shares(3, {"0": 1.0}), Histogram(2, (1.0,), (0, 1), 1)):
        assert distribution_from_plain(distribution_to_plain(of)) == of
