"""Counts and moments that do not depend on who counted what."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from mptrec_tf.data.transform import value_counts
from mptrec_tf.data.transform.moments import Moments
from mptrec_tf.data.transform.value_counts import ValueCounts


def count(*parts):
    counts = ValueCounts()
    for part in parts:
        counts.add(np.float32(part))
    return counts


def state(counts):
    counts.compact()
    return counts._keys.tolist(), counts._counts.tolist(), counts._dropped


def test_few_values_are_counted_one_by_one():
    counts = count([3, 1, 3, np.nan, 3], [-2, -0.0, 0.0])
    assert counts.quantiles(7).tolist() == [-2, 0, 0, 1, 3, 3, 3]
    assert counts.quantiles(2).tolist() == [-2, 3]
    assert count([np.nan]).quantiles(4).tolist() == []


def test_numbers_keep_their_order_and_all_digits():
    largest = np.finfo(np.float32).max
    values = np.float32([-np.inf, -largest, -1.5, -1e-45, 0, 1e-45, 1.5, largest, np.inf])
    np.testing.assert_array_equal(count(values[::-1]).quantiles(9), values)


@pytest.fixture
def few(monkeypatch):
    """At most 64 values are counted apart."""
    monkeypatch.setattr(value_counts, "MOST_VALUES", 64)


def test_neighbours_are_counted_together_where_there_are_many(few):
    values = np.random.default_rng(1).lognormal(size=5000).astype(np.float32)
    counts = count(*np.split(values, 50))
    keys, of_keys, dropped = state(counts)
    assert 32 < len(keys) <= 64
    assert sum(of_keys) == 5000
    assert dropped > 0
    found, exact = counts.quantiles(101), np.quantile(values, np.linspace(0, 1, 101))
    assert (found <= exact).all()  # a number stands for itself and those above
    # The ranks of what was found are near those that were looked for.
    ranks = np.searchsorted(np.sort(values), found, side="left") / 5000
    assert np.abs(ranks - np.linspace(0, 1, 101)).max() < 2 * max(of_keys) / 5000


@pytest.mark.parametrize("scale", [1, 1000])
def test_the_order_of_rows_and_of_workers_does_not_matter(few, scale):
    random = np.random.default_rng(2)
    values = np.round(random.normal(size=600) * scale).astype(np.float32)
    whole = state(count(values))
    parts = np.split(random.permutation(values), [10, 300, 310])
    for order in itertools.permutations(parts):
        a, b, c, d = map(count, order)
        a.merge(b)
        c.add(np.float32([]))
        c.merge(d)
        c.merge(a)
        assert state(c) == whole
    assert state(count(*random.permutation(values).reshape(60, 10))) == whole


def combine(parts):
    fit = Moments(parts[0].shape[1])
    return [fit.add_input(fit.create_accumulator(), [part]) for part in parts], fit


def test_moments():
    values = np.array([[1.0, 5, np.nan], [2, 5, np.nan], [6, np.nan, np.nan]])
    accumulators, fit = combine([values[:2], values[2:]])
    mean, variance = fit.extract_output(fit.merge_accumulators(accumulators))
    assert mean.tolist() == [3, 5, 0]
    np.testing.assert_allclose(variance, [(4 + 1 + 9) / 3, 0, 0], rtol=1e-15)
    nothing = fit.extract_output(fit.create_accumulator())
    assert nothing.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_moments_of_large_numbers_with_small_differences():
    values = 1.7e9 + np.random.default_rng(3).integers(0, 100, size=[4000, 1]).astype(float)
    accumulators, fit = combine(np.split(values, 4))
    mean, variance = fit.extract_output(fit.merge_accumulators(accumulators))
    exact = [Fraction(float(v)) for v in values[:, 0]]
    center = sum(exact) / len(exact)
    assert mean[0] == float(center)
    spread = float(sum((v - center) ** 2 for v in exact) / len(exact))
    assert variance[0] == pytest.approx(spread, rel=1e-12)


def test_moments_do_not_depend_on_the_order_of_batches():
    values = np.random.default_rng(4).lognormal(sigma=9, size=[500, 2])
    results = set()
    for order in itertools.permutations(range(5)):
        batches = np.split(values, 5)
        accumulators, fit = combine([batches[i] for i in order])
        left, right = accumulators[:2], accumulators[2:]
        merged = fit.merge_accumulators(
            [fit.merge_accumulators(left), fit.merge_accumulators(right)]
        )
        results.add(fit.extract_output(merged).tobytes())
    assert len(results) == 1
    # Added as floating point numbers, they would differ.
    totals = {
        sum((np.split(values, 5)[i].sum(axis=0) for i in order), np.zeros(2)).tobytes()
        for order in itertools.permutations(range(5))
    }
    assert len(totals) > 1
