"""Slices: the rows with each combination of some features' values."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import tensorflow as tf

# Columns and values, in the order of the columns: (("device", "phone"), ("hour", 3.0)).
SliceKey = tuple[tuple[str, str | float], ...]
# Of more combinations, those with the most rows are evaluated.
MOST_SLICES = 1000


def show_slice(key: SliceKey) -> str:
    """Returns a slice's name, empty for all rows; slices of different numbers have different names.

    Example:
      >>> show_slice((("device", "phone"), ("hour", 3.0)))
      'device=phone, hour=3'
    """
    return ", ".join(
        f"{column}={value if isinstance(value, str) else _show_number(value)}"
        for column, value in key
    )


def _show_number(value: float) -> str:
    """Returns the shortest text of a float32 that is read back as the same number."""
    short = f"{value:g}"
    return short if np.float32(short) == value else str(np.float32(value)).removesuffix(".0")


class SlicedColumn:
    """A feature's values by row, collected from batches.

    Args:
      name: The column.
    """

    def __init__(self, name: str):
        self.name = name
        self.values: list[str | float] = []
        self._places: dict[str | float, int] = {}
        self._rows: list[np.ndarray] = []
        self._which: list[np.ndarray] = []

    def add(self, values: tf.Tensor | tf.SparseTensor, first: int) -> None:
        """Adds a batch: one value of each row, or several, of which each counts.

        Args:
          values: [B], [B, n] or sparse [B, n].
          first: The number of the batch's first row.
        """
        if isinstance(values, tf.SparseTensor):
            rows, values = values.indices.numpy()[:, 0], values.values
        else:
            each = values.shape[1] if values.shape.rank > 1 else 1
            rows = np.repeat(np.arange(len(values)), each)
            values = tf.reshape(values, [-1])
        if values.dtype == tf.string:
            found, places = (of.numpy() for of in tf.unique(values))
        else:
            found, places = np.unique(values.numpy(), return_inverse=True)
            has = ~np.isnan(values.numpy())  # a missing number is in no slice
            rows, places = rows[has], places[has]
        own = np.array([self._place(value) for value in found.tolist()], np.int64)
        self._rows.append(rows + first)
        self._which.append(own[places] if len(own) else own)

    def _place(self, value: bytes | float) -> int:
        # Values that are shown alike are one slice: one of two would take the other's place.
        shown = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if shown not in self._places:
            self._places[shown] = len(self.values)
            self.values.append(shown)
        return self._places[shown]

    def to_frame(self) -> pd.DataFrame:
        """Returns `row` and the place of the value in `values`, under the column's name."""
        rows = np.concatenate([np.zeros(0, np.int64), *self._rows])
        which = np.concatenate([np.zeros(0, np.int64), *self._which])
        return pd.DataFrame({"row": rows, self.name: which}).drop_duplicates()


def find_slices(
    specs: Iterable[Sequence[str]], columns: Iterable[SlicedColumn]
) -> tuple[dict[SliceKey, np.ndarray], int]:
    """Returns the places of rows by slice, and how many slices are left out.

    Args:
      specs: The columns of each kind of slice.
      columns: The values of all of them.
    """
    by_name = {column.name: column for column in columns}
    slices: dict[SliceKey, np.ndarray] = {}
    left_out = 0
    for spec in specs:
        names = list(dict.fromkeys(spec))
        frame = by_name[names[0]].to_frame()
        for name in names[1:]:
            frame = frame.merge(by_name[name].to_frame(), on="row")
        number = frame.groupby(names, sort=False).ngroup().to_numpy()
        order = np.argsort(number, kind="stable")
        sizes = np.bincount(number)
        ends = np.cumsum(sizes)
        largest = np.argsort(-sizes, kind="stable")[:MOST_SLICES]
        left_out += len(sizes) - len(largest)
        for group in largest:
            places = order[ends[group] - sizes[group] : ends[group]]
            first = frame.iloc[places[0]]
            key = tuple((name, by_name[name].values[int(first[name])]) for name in names)
            slices[key] = frame["row"].to_numpy()[places]
    return slices, left_out
