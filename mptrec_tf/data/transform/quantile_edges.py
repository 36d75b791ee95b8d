"""Edges of buckets with about equally many training rows each, fitted in one Beam stage.

As LightGBM's bins (Ke et al., NeurIPS 2017): a value that alone has a bucket's share of the rows
gets a bucket of its own, and the other buckets share the other rows. Quantiles alone would give
nearly all buckets to 0 in a column that is mostly 0.
"""

from collections.abc import Sequence

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

from mptrec_tf.data.transform.value_counts import ValueCounts

# A bucket's edges are found among so many quantiles.
_POINTS = 4096


def fit_edges(values: tf.Tensor, buckets: Sequence[int]) -> tf.Tensor:
    """Fits the edges on the training rows; for a `preprocessing_fn`.

    Args:
      values: [B, N] float32, NaN where missing.
      buckets: [N]. The most buckets of each column.

    Returns:
      [N, max(buckets) - 1] float32, ascending in each row: the smallest value of each bucket but
      the first, then infinity.
    """
    shape = [len(buckets), max(buckets) - 1]
    [edges] = tft.experimental.ptransform_analyzer(
        [values], _Fit(tuple(buckets)), [tf.float32], [shape]
    )
    return tf.ensure_shape(edges, shape)


def find_buckets(values: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """Returns the number [B, N] int64 of the bucket of each value, NaN excepted."""
    found = tf.searchsorted(edges, tf.transpose(values), side="right", out_type=tf.int64)
    return tf.transpose(found)


class _Fit(tft_beam.experimental.PTransformAnalyzer):
    """Turns batches of values [n, N] into edges."""

    def __init__(self, buckets: tuple[int, ...]):
        super().__init__()
        self._buckets = buckets

    def expand(self, pcoll):
        return (
            pcoll
            | "Sketch" >> beam.CombineGlobally(_Sketch(len(self._buckets)))
            | "Edges" >> beam.Map(_make_edges, self._buckets)
        )


class _Sketch(beam.CombineFn):
    """Counts the values of N columns; gives quantiles of each, ascending."""

    def __init__(self, columns: int):
        self._columns = columns

    def create_accumulator(self):
        return [ValueCounts() for _ in range(self._columns)]

    def add_input(self, accumulator, inputs):
        [values] = inputs
        for counts, column in zip(accumulator, values.T, strict=True):
            counts.add(column)  # NaN is passed over
        return accumulator

    def merge_accumulators(self, accumulators):
        merged, *others = accumulators
        for other in others:
            for mine, theirs in zip(merged, other, strict=True):
                mine.merge(theirs)
        return merged

    def compact(self, accumulator):
        for counts in accumulator:
            counts.compact()
        return accumulator

    def extract_output(self, accumulator):
        return [counts.quantiles(_POINTS).tolist() for counts in accumulator]


def _make_edges(points: Sequence[Sequence[float]], buckets: Sequence[int]) -> np.ndarray:
    edges = np.full([len(buckets), max(buckets) - 1], np.inf, np.float32)
    for row, (of, most) in enumerate(zip(points, buckets, strict=True)):
        found = choose_edges(np.array(of, np.float64), most)
        edges[row, : len(found)] = found
    return edges


def choose_edges(points: np.ndarray, buckets: int) -> list[float]:
    """Returns the smallest value of each bucket but the first, ascending.

    Args:
      points: Ascending values, each of which stands for equally many rows.
      buckets: The most buckets.

    Example:
      >>> choose_edges(np.array([0.0] * 6 + [1, 2, 3, 4]), 3)
      [1.0, 3.0]
    """
    values, counts = np.unique(points, return_counts=True)
    if len(values) <= buckets:
        return values[1:].tolist()
    heavy = counts >= len(points) / buckets
    others = max(1, buckets - int(heavy.sum()))
    share = counts[~heavy].sum() / others
    edges, filled = [], 0
    for at in range(len(values) - 1):
        if len(edges) == buckets - 1:
            break
        filled += counts[at]
        following = counts[at + 1]
        before_heavy = heavy[at + 1] and filled >= share / 2
        # A bucket ends where the next value would take it further from its share.
        if heavy[at] or before_heavy or filled + following / 2 > share:
            edges.append(float(values[at + 1]))
            filled = 0
    return edges
