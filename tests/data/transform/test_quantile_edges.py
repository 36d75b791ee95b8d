"""The edges of buckets, on values whose quantiles are known."""

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.transform.quantile_edges import _Sketch, choose_edges, find_buckets


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
