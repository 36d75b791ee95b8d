"""The edges of buckets, on values whose quantiles are known."""

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.transform.quantile_edges import (
    _make_edges,
    _Sketch,
    choose_edges,
    choose_knots,
    find_buckets,
    find_positions,
)


def counts_of(points, buckets):
    edges = choose_edges(np.sort(np.asarray(points, float)), buckets)
    assert edges == sorted(set(edges))
    assert len(edges) < buckets
    return np.bincount(np.searchsorted(edges, points, side="right")).tolist()


@pytest.mark.parametrize(
    ("points", "buckets", "edges"),
    [
        ([], 3, []),
        ([5.0] * 9, 3, []),
        ([1, 2, 3], 3, [2, 3]),
        ([1, 2, 3], 9, [2, 3]),
        ([1, 2, 3, 4, 5, 6], 2, [4]),
        ([1, 2, 3, 4, 5, 6], 3, [3, 5]),
        ([1, 1, 1, 1, 2, 3, 4, 5], 3, [2, 4]),  # 1 is half of the rows
        ([1, 2, 7, 7, 7, 7, 8, 9], 4, [2, 7, 8]),  # 7 is apart on both sides
    ],
)
def test_edges(points, buckets, edges):
    assert choose_edges(np.array(points, float), buckets) == edges


def test_even_shares_and_heavy_values():
    values = np.random.default_rng(0).normal(size=10_000)
    assert min(counts_of(values, 20)) >= 495
    assert max(counts_of(values, 20)) <= 505
    mostly_0 = np.concatenate([np.zeros(9000), np.abs(values[:1000])])
    assert counts_of(mostly_0, 5) == pytest.approx([9000, 250, 250, 250, 250], abs=2)


def test_a_sketch_has_the_quantiles_of_each_column():
    fit = _Sketch(2)
    parts = []
    for start in (0, 500):
        values = np.stack([np.arange(start, start + 500), np.full(500, 7)], 1).astype(np.float32)
        values[::2, 1] = np.nan
        parts.append(fit.add_input(fit.create_accumulator(), [values]))
    parts.append(fit.create_accumulator())  # a worker without rows
    first, second = fit.extract_output(fit.compact(fit.merge_accumulators(parts)))
    assert (first[0], first[-1]) == (0, 999)
    assert np.abs(np.array(first) - np.linspace(0, 999, len(first))).max() <= 1
    assert set(second) == {7}
    assert fit.extract_output(fit.create_accumulator()) == [[], []]


def test_buckets_of_values():
    edges = tf.constant([[2.0, 4.0], [0.0, np.inf]])
    values = tf.constant([[1.9, -1], [2, 0], [4, 1e30], [-5, 0.5]])
    assert find_buckets(values, edges).numpy().tolist() == [[0, 0], [1, 1], [2, 1], [0, 1]]


def test_knots_are_the_edges_and_both_ends():
    points = [[1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 8], [7.0] * 6, []]
    knots = _make_edges(points, (3, 2, 2, 2), with_ends=True)
    nothing = [np.inf] * 4
    assert knots.tolist() == [[1, 3, 5, 6], [0, 8, *nothing[:2]], [7, *nothing[:3]], nothing]
    assert choose_knots(np.array([1, 2, 2, 2, 2, 2, 3, 9.0]), 3) == [1, 2, 3, 9]  # of all values
    edges = _make_edges(points, (3, 2, 2, 2), with_ends=False)
    assert edges.tolist() == [[3, 5], [8, np.inf], [np.inf] * 2, [np.inf] * 2]


def test_positions_of_values():
    knots = tf.constant([[1.0, 3, 7, np.inf], [0, 8, np.inf, np.inf], [np.inf] * 4], tf.float64)
    values = tf.constant([[0.0, -1, 5], [1, 0, 5], [2, 2, 5], [4, 8, 5], [9, 1e30, 5]], tf.float64)
    expected = [[0, 0, 0], [0, 0, 0], [0.5, 0.25, 0], [1.25, 1, 0], [2, 1, 0]]
    assert find_positions(values, knots).numpy().tolist() == expected


def test_positions_interpolate_between_the_numbers_of_the_knots():
    rng = np.random.default_rng(0)
    knots = np.sort(rng.lognormal(0, 3, [4, 9]), axis=1)
    values = rng.lognormal(0, 4, [500, 4])
    expected = [np.interp(v, k, np.arange(9)) for v, k in zip(values.T, knots, strict=True)]
    found = find_positions(tf.constant(values), tf.constant(knots))
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-9, atol=1e-9)
