"""Mean and variance of columns, fitted in one Beam stage, the same however rows are distributed.

Sums of floating point numbers depend on the order of the additions, and which worker is the first
to end depends on chance. Here each batch of rows, which the source decides, is summed as usual, and
the sums of batches are added without rounding: a graph that is fitted again is the same to the last
bit.
"""

import dataclasses
from fractions import Fraction

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam


def fit_moments(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Fits mean and variance on the training rows; for a `preprocessing_fn`.

    Args:
      values: [B, N] float64; those that are NaN or infinite are passed over.

    Returns:
      Mean and variance of the population, [N] float64 each; 0 of a column without values.
    """
    shape = [2, values.shape[1]]
    [moments] = tft.experimental.ptransform_analyzer(
        [values], _Fit(values.shape[1]), [tf.float64], [shape]
    )
    mean, variance = tf.unstack(tf.ensure_shape(moments, shape))
    return mean, variance


class _Fit(tft_beam.experimental.PTransformAnalyzer):
    """Turns batches of values [n, N] into mean and variance, [2, N]."""

    def __init__(self, columns: int):
        super().__init__()
        self._columns = columns

    def expand(self, pcoll):
        return pcoll | "Moments" >> beam.CombineGlobally(Moments(self._columns))


@dataclasses.dataclass
class _Sums:
    """Exact sums of a column: of one for each value, of the values, and of their squares."""

    count: int = 0
    values: Fraction = Fraction(0)
    squares: Fraction = Fraction(0)

    def add(self, other: "_Sums") -> None:
        self.count += other.count
        self.values += other.values
        self.squares += other.squares


class Moments(beam.CombineFn):
    """Combines batches of values [n, N] into mean and variance, [2, N]."""

    def __init__(self, columns: int):
        self._columns = columns

    def create_accumulator(self):  # noqa: D102 (Beam's)
        return [_Sums() for _ in range(self._columns)]

    def add_input(self, accumulator, inputs):  # noqa: D102
        [values] = inputs
        is_there = np.isfinite(values)
        counts = is_there.sum(axis=0)
        values = np.where(is_there, values, 0.0)
        sums = values.sum(axis=0)
        centers = sums / np.maximum(counts, 1)
        # Squares of differences keep the digits that squares of large numbers lose.
        spreads = (np.where(is_there, values - centers, 0.0) ** 2).sum(axis=0)
        of_columns = zip(counts, sums, centers, spreads, strict=True)
        for column, (count, *of_column) in zip(accumulator, of_columns, strict=True):
            total, center, spread = map(Fraction, map(float, of_column))
            squares = spread + 2 * center * total - int(count) * center**2
            column.add(_Sums(int(count), total, squares))
        return accumulator

    def merge_accumulators(self, accumulators):  # noqa: D102
        merged, *others = accumulators
        for other in others:
            for mine, theirs in zip(merged, other, strict=True):
                mine.add(theirs)
        return merged

    def extract_output(self, accumulator):  # noqa: D102
        moments = np.zeros([2, self._columns])
        for column, of in enumerate(accumulator):
            if of.count:
                mean = of.values / of.count
                moments[:, column] = mean, max(of.squares / of.count - mean**2, Fraction(0))
        return moments
