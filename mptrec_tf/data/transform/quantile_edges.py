"""Edges of buckets, or pieces, with about equally many training rows, fitted in one Beam stage.

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
    return _fit(values, buckets, with_ends=False)


def fit_knots(values: tf.Tensor, pieces: Sequence[int]) -> tf.Tensor:
    """Fits the ends of pieces on the training rows; for a `preprocessing_fn`.

    Args:
      values: [B, N] float32, NaN where missing.
      pieces: [N]. The most pieces of each column.

    Returns:
      [N, max(pieces) + 1] float32, ascending in each row: the smallest value, those at which one
      piece ends and the next one begins, the largest value, then infinity.
    """
    return _fit(values, pieces, with_ends=True)


def _fit(values: tf.Tensor, buckets: Sequence[int], with_ends: bool) -> tf.Tensor:
    shape = [len(buckets), max(buckets) + (1 if with_ends else -1)]
    [edges] = tft.experimental.ptransform_analyzer(
        [values], _Fit(tuple(buckets), with_ends), [tf.float32], [shape]
    )
    return tf.ensure_shape(edges, shape)


def find_buckets(values: tf.Tensor, edges: tf.Tensor) -> tf.Tensor:
    """Returns the number [B, N] int64 of the bucket of each value, NaN excepted."""
    found = tf.searchsorted(edges, tf.transpose(values), side="right", out_type=tf.int64)
    return tf.transpose(found)


def find_positions(values: tf.Tensor, knots: tf.Tensor) -> tf.Tensor:
    """Returns how many pieces lie below each value, with the share of the one that it is in.

    Args:
      values: [B, N] float64; the position of NaN means nothing.
      knots: [N, T + 1] float64, as of `fit_knots`.

    Returns:
      [B, N] float64: 0 at the first knot and below, the number of pieces at the last one and above.
    """
    lows, highs = knots[:, :-1], knots[:, 1:]
    is_piece = tf.math.is_finite(highs)
    lows, highs = (tf.where(is_piece, of, 0.0) for of in (lows, highs))
    clipped = tf.minimum(tf.maximum(values[:, :, tf.newaxis], lows), highs)
    shares = tf.math.divide_no_nan(clipped - lows, highs - lows)
    return tf.reduce_sum(shares, axis=2)


class _Fit(tft_beam.experimental.PTransformAnalyzer):
    """Turns batches of values [n, N] into edges."""

    def __init__(self, buckets: tuple[int, ...], with_ends: bool):
        super().__init__()
        self._buckets = buckets
        self._with_ends = with_ends

    def expand(self, pcoll):
        return (
            pcoll
            | "Sketch" >> beam.CombineGlobally(_Sketch(len(self._buckets)))
            | "Edges" >> beam.Map(_make_edges, self._buckets, self._with_ends)
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


def _make_edges(
    points: Sequence[Sequence[float]], buckets: Sequence[int], with_ends: bool
) -> np.ndarray:
    width = max(buckets) + (1 if with_ends else -1)
    edges = np.full([len(buckets), width], np.inf, np.float32)
    for row, (of, most) in enumerate(zip(points, buckets, strict=True)):
        of = np.array(of, np.float64)
        found = choose_knots(of, most) if with_ends else choose_edges(of, most)
        edges[row, : len(found)] = found
    return edges


def choose_knots(points: np.ndarray, pieces: int) -> list[float]:
    """Returns the ends of pieces, ascending: of few values each, else edges and both ends.

    Args:
      points: As `choose_edges` takes them.
      pieces: The most pieces.

    Example:
      >>> choose_knots(np.array([0.0] * 6 + [1, 2, 3, 4]), 3)
      [0.0, 1.0, 3.0, 4.0]
    """
    values = np.unique(points)
    if len(values) <= pieces + 1:
        return values.tolist()
    return sorted({float(points[0]), *choose_edges(points, pieces), float(points[-1])})


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
