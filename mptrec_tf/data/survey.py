"""What raw rows hold: rows, label values and what they became, missing and distinct values.

Taken while rows are read, a block at a time, and merged; of a size that does not grow with the
rows.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pandas as pd

from mptrec_tf.data.features.base import NUMBER, TEXT, Feature
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.label_survey import LabelSurvey, drop_rarest

# Hashes that distinct values are estimated from: exact up to so many, then within 3% or so.
_SKETCH = 4096
_NATURAL_TYPES = {TEXT: "bytes", NUMBER: "float"}
_TYPES = {"O": "bytes", "U": "bytes", "i": "int64", "f": "float"}


@dataclasses.dataclass
class ColumnSurvey:
    """What is known of a feature's column.

    Attributes:
      missing: int. Rows without a value.
      hashes: The smallest of the hashes of all distinct values, ascending.
      counts: Rows by value, for numbers; of many values the most frequent.
      types: Types in tf.Examples that are not the feature's own.
    """

    missing: int = 0
    hashes: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.uint64))
    counts: Counter = dataclasses.field(default_factory=Counter)
    types: frozenset[str] = frozenset()

    def add(self, other: "ColumnSurvey") -> None:
        """Takes in what is known of other rows."""
        self.missing += other.missing
        self.hashes = np.union1d(self.hashes, other.hashes)[:_SKETCH]
        self.counts.update(other.counts)
        drop_rarest(self.counts)
        self.types |= other.types

    @property
    def distinct(self) -> int:
        """How many distinct values there are, canonical forms counted once; about, of many."""
        if len(self.hashes) < _SKETCH:
            return len(self.hashes)
        # The k-th smallest of n uniform numbers is about k / n of the whole.
        return round((_SKETCH - 1) / (float(self.hashes[-1]) / 2.0**64))


@dataclasses.dataclass
class Survey:
    """What is known of some rows of a data set.

    Attributes:
      rows: int.
      labels: By task.
      columns: By feature column.
    """

    rows: int = 0
    labels: dict[str, LabelSurvey] = dataclasses.field(default_factory=dict)
    columns: dict[str, ColumnSurvey] = dataclasses.field(default_factory=dict)

    def add(self, other: "Survey") -> None:
        """Takes in what is known of other rows."""
        self.rows += other.rows
        for task, labels in other.labels.items():
            self.labels.setdefault(task, LabelSurvey()).add(labels)
        for name, column in other.columns.items():
            self.columns.setdefault(name, ColumnSurvey()).add(column)

    def to_dict(self, spec: DatasetSpec) -> dict[str, Any]:
        """The survey as plain data for a description file."""
        return {
            "rows": self.rows,
            "tasks": {task.name: task.summary(self._of(task.name)) for task in spec.tasks},
            "labels": {task.name: task.label_values(self._of(task.name)) for task in spec.tasks},
            "columns": {
                name: {
                    "missing": column.missing,
                    "distinct": column.distinct,
                    "most_frequent": _most_frequent(column.counts),
                    "types": sorted(column.types),
                }
                for name, column in self.columns.items()
            },
        }

    def _of(self, task: str) -> LabelSurvey:
        return self.labels.get(task, LabelSurvey())


def survey_block(spec: DatasetSpec, block: Block) -> Survey:
    """Returns what is known of n raw rows that the spec fits."""
    survey = Survey(rows=len(block))
    for task in spec.tasks:
        counted = _counted(block.text(task.label))
        survey.labels[task.name] = task.survey(counted, spec.missing_values)
    for name in spec.feature_names:
        feature = spec.raw_columns[name]
        if feature.raw_type(spec) == TEXT:
            column = _text_column(block.text(name), feature, spec.missing_values)
        else:
            column = _number_column(block.numbers(name))
        if block.is_examples:
            column.types = _types(block.column(name)) - {_NATURAL_TYPES[feature.raw_type(spec)]}
        survey.columns[name] = column
    return survey


def _types(values: np.ndarray) -> frozenset[str]:
    """The types in tf.Examples that values [n] came in."""
    if values.dtype != object:
        return frozenset({_TYPES[values.dtype.kind]})
    return frozenset(_TYPES[np.dtype(kind).kind] for kind in set(map(type, values)))


def _counted(values: np.ndarray) -> Iterable[tuple[str, int]]:
    codes, distinct = pd.factorize(values)
    return zip(distinct, np.bincount(codes, minlength=len(distinct)).tolist(), strict=True)


def _text_column(
    values: np.ndarray, feature: Feature, missing_values: Sequence[str]
) -> ColumnSurvey:
    column, forms = ColumnSurvey(), []
    for value, rows in _counted(values):
        form = feature.counted_form(value, missing_values)
        if form is None:
            column.missing += rows
        else:
            forms.append(form)
    if forms:
        column.hashes = _smallest(pd.util.hash_array(np.array(forms, object), categorize=False))
    return column


def _number_column(values: np.ndarray) -> ColumnSurvey:
    distinct, rows = np.unique(values, return_counts=True)
    counts = Counter(dict(zip(distinct.tolist(), rows.tolist(), strict=True)))
    return ColumnSurvey(hashes=_smallest(pd.util.hash_array(distinct)), counts=counts)


def _smallest(hashes: np.ndarray) -> np.ndarray:
    return np.unique(hashes)[:_SKETCH]


def _most_frequent(counts: Mapping[float, int]) -> dict[str, Any] | None:
    if not counts:
        return None
    value, rows = Counter(counts).most_common(1)[0]
    return {"value": value, "rows": rows}


class MergeSurveys(beam.CombineFn):
    """Surveys of blocks to one."""

    def create_accumulator(self):  # noqa: D102 (Beam's)
        return Survey()

    def add_input(self, accumulator, survey):  # noqa: D102
        accumulator.add(survey)
        return accumulator

    def merge_accumulators(self, accumulators):  # noqa: D102
        merged = Survey()
        for accumulator in accumulators:
            merged.add(accumulator)
        return merged

    def extract_output(self, accumulator):  # noqa: D102
        return accumulator
