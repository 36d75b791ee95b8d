"""Turns sampled requests into what the model reads: its preprocessing graph packs them.

What is compared is then the value that the model saw, whatever a request called it: `3` and ` 3.0`
are one, and a value that the vocabulary does not hold has the id of unknown ones.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.data.distributions import Distribution, Histogram, count_ids, count_numbers
from mptrec_tf.data.example_decoding import ExampleParser
from mptrec_tf.data.features.registry import FEATURES
from mptrec_tf.data.packed_columns import PackedColumn, list_columns, to_arrays
from mptrec_tf.data.transform.graph import Preprocessing, open_transform
from mptrec_tf.watching.watched_version import WatchedVersion

_EXAMPLES = "examples"


class PackedSample:
    """The packed columns of sampled rows.

    Args:
      version: The version whose preprocessing packs them.

    Attributes:
      columns: The packed columns.
      rows: int. How many rows were packed.
      rejected: int. Rows that the preprocessing graph does not take.
      times: [rows] once `finish` was called.
    """

    def __init__(self, version: WatchedVersion):
        self._version = version
        self._transform = open_transform(version.transform_dir)
        self.columns = list_columns(version.spec, self._transform)
        self._preprocessing = Preprocessing(version.transform_dir)
        self._parse = ExampleParser(version.spec)
        self._values: dict[str, list[np.ndarray]] = {column.name: [] for column in self.columns}
        self._owners: dict[str, list[np.ndarray]] = {column.name: [] for column in self.columns}
        self._times: list[np.ndarray] = []
        self.rows = self.rejected = 0

    def add(self, parts: Sequence[Mapping[str, tf.Tensor]], times: np.ndarray) -> None:
        """Packs rows.

        Args:
          parts: `Served.sample`: raw columns of rows, one part after the other.
          times: [n]. The times of all their rows.
        """
        start = 0
        for columns in parts:
            count = len(next(iter(columns.values())))
            own, start = times[start : start + count], start + count
            try:
                packed = to_arrays(self._pack(columns))
            except (tf.errors.InvalidArgumentError, KeyError, ValueError, TypeError):
                self.rejected += count
                continue
            for column in self.columns:
                self._values[column.name].append(column.select(packed))
                owners = np.arange(self.rows, self.rows + count)
                lengths = self._read_lengths(packed, column)
                self._owners[column.name].append(
                    owners if lengths is None else np.repeat(owners, lengths)
                )
            self._times.append(own)
            self.rows += count

    def _pack(self, columns: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        if _EXAMPLES in columns:
            return self._preprocessing(self._parse(columns[_EXAMPLES]))
        raw = self._version.spec.raw_columns
        count = len(next(iter(columns.values())))
        # A request may leave out a number that may be missing.
        left_out = {name: tf.fill([count], float("nan")) for name in raw.keys() - columns.keys()}
        return self._preprocessing(
            {name: of.unpack_request({**columns, **left_out}[name]) for name, of in raw.items()}
        )

    @staticmethod
    def _read_lengths(packed: Mapping[str, np.ndarray], column: PackedColumn) -> np.ndarray | None:
        """Returns how many values each row has; None for one."""
        kind = FEATURES.get(column.kind)
        if not kind.packed_parts:
            return None
        return packed[kind.packed_names()[-1]][:, column.places[0]]

    @property
    def times(self) -> np.ndarray:
        """The time of each row's request, [rows]."""
        return np.concatenate(self._times) if self._times else np.zeros(0)

    def describe(
        self, column: PackedColumn, baseline: Distribution, rows: np.ndarray | None = None
    ) -> Distribution:
        """Returns the distribution of a column's values.

        Args:
          column: The column.
          baseline: That of the training rows, whose bins are used.
          rows: Optional [rows] bool. The rows to count. Defaults to all.
        """
        values = np.concatenate(self._values[column.name])
        if rows is not None:
            values = values[rows[np.concatenate(self._owners[column.name])]]
        if isinstance(baseline, Histogram):
            return count_numbers(values, baseline.edges)
        return count_ids(values, column.first, column.ids, column.unknown)

    def name_value(self, column: PackedColumn, value: int) -> str:
        """Returns what an id of a column stands for, for people."""
        if value >= column.ids - column.unknown:
            return "unknown values"
        kind = FEATURES.get(column.kind)
        known = kind.vocabularies(self._version.spec.section(column.kind), self._transform)
        values = known.get(column.feature, [])
        if value < len(values) - 1:
            return repr(values[value])
        return f"bucket {value}"
