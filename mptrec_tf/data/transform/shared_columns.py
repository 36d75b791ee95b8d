"""Columns [B] of a value per row beside columns [1] of one value that all rows share, in graphs.

In a request the columns of the user are given once. What is done to each value by itself is done
to the values as they are given, and repeated for the rows afterwards.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf


class Joined(NamedTuple):
    """The values of V columns, one column after the other.

    Attributes:
      values: [N].
      sizes: [V] int32. How many values each column has: B, or 1. They add up to N.
    """

    values: tf.Tensor
    sizes: tf.Tensor

    def column_of(self) -> tf.Tensor:
        """Returns the column of each value, [N] int32 below V."""
        numbers = tf.range(tf.size(self.values))
        return tf.searchsorted(tf.cumsum(self.sizes), numbers, side="right")

    def spread(self, values: tf.Tensor) -> tf.Tensor:
        """Returns [B, V] of what became of the values, [N]; B is the longest column's size."""
        step = tf.cast(self.sizes > 1, tf.int32)  # from row to row
        rows = tf.range(tf.reduce_max(self.sizes))[:, tf.newaxis]
        # Its static shape is that of a stack of columns.
        places = tf.ensure_shape(tf.cumsum(self.sizes, exclusive=True) + rows * step, self._shape)
        return tf.gather(values, places)

    def split(self, values: tf.Tensor) -> list[tf.Tensor]:
        """Returns the columns of what became of the values, [N]."""
        return tf.split(values, self.sizes, num=self.sizes.shape[0])

    @property
    def _shape(self) -> list[int | None]:
        return [None, self.sizes.shape[0]]


def join_columns(columns: Sequence[tf.Tensor]) -> Joined:
    """Joins columns [B] or [1] of one type."""
    return Joined(tf.concat(columns, axis=0), list_sizes(columns))


def stack_columns(columns: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns columns [B] or [1] of one type as [B, V]."""
    joined = join_columns(columns)
    return joined.spread(joined.values)


def repeat_column(column: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns a column [B, ...] for so many rows []; of a column [1, ...] its value for each."""
    return tf.broadcast_to(column, tf.concat([[rows], column.shape[1:]], axis=0))


def list_sizes(columns: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns how many values columns [B, ...] of any types have, [V] int32."""
    by_type: dict[tf.DType, list[int]] = {}
    for place, column in enumerate(columns):
        by_type.setdefault(column.dtype, []).append(place)
    # One op for all columns of a type, as there may be hundreds of columns.
    groups = list(by_type.values())
    shapes = [tf.shape_n([columns[place] for place in group]) for group in groups]
    sizes = [shape for group in shapes for shape in group]
    sizes = tf.concat([size if size.shape == [1] else size[:1] for size in sizes], axis=0)
    order = [place for group in groups for place in group]
    if order != sorted(order):
        sizes = tf.gather(sizes, [order.index(place) for place in range(len(order))])
    return tf.ensure_shape(sizes, [len(columns)])
