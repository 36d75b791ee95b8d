"""Statistics of raw rows: their number, label values, and missing and distinct values.

Collected block by block while rows are read, and merged; their size does not grow with the rows.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mptrec_tf.data.features.base import NUMBER, NUMBERS, TEXT, TEXTS, Feature
from mptrec_tf.data.labels import make_weights
from mptrec_tf.data.sampling import find_sampled_task
from mptrec_tf.data.sources.block import Block, count_texts
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.tasks.label_survey import (
    LEFT_OUT,
    UNIT,
    WEIGHT,
    LabelSurvey,
    drop_rarest,
    to_exact,
)

# Hashes from which distinct values are estimated: exact up to this number, then within about 3%.
_SKETCH = 4096
_NATURAL_TYPES = {TEXT: "bytes", NUMBER: "float", TEXTS: "bytes", NUMBERS: "float"}
_TYPES = {"O": "bytes", "U": "bytes", "i": "int64", "f": "float"}


@dataclasses.dataclass
class ColumnSurvey:
    """Statistics of a feature's column.

    Attributes:
      missing: int. Rows without a value.
      hashes: The smallest hashes of all distinct values, ascending.
      counts: Rows by value, for numbers; of many values, the most frequent.
      types: Types in tf.Examples other than the feature's own.
      list_counts: Of a column with several values in a row, see `ListSurvey`.
    """

    missing: int = 0
    hashes: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.uint64))
    counts: Counter = dataclasses.field(default_factory=Counter)
    types: frozenset[str] = frozenset()
    list_counts: Counter = dataclasses.field(default_factory=Counter)

    def add(self, other: "ColumnSurvey") -> None:
        """Adds the statistics of other rows."""
        self.missing += other.missing
        self.hashes = np.union1d(self.hashes, other.hashes)[:_SKETCH]
        self.counts.update(other.counts)
        drop_rarest(self.counts)
        self.types |= other.types
        for name, count in other.list_counts.items():
            self.list_counts[name] += count

    @property
    def distinct(self) -> int:
        """The number of distinct canonical forms; an estimate if there are many."""
        if len(self.hashes) < _SKETCH:
            return len(self.hashes)
        # The k-th smallest of n uniform numbers is about k / n of the whole.
        return round((_SKETCH - 1) / (float(self.hashes[-1]) / 2.0**64))


@dataclasses.dataclass
class Survey:
    """Statistics of some rows of a data set.

    Attributes:
      rows: int. Number of rows.
      labels: By task.
      columns: By feature column.
    """

    rows: int = 0
    labels: dict[str, LabelSurvey] = dataclasses.field(default_factory=dict)
    columns: dict[str, ColumnSurvey] = dataclasses.field(default_factory=dict)

    def add(self, other: "Survey") -> None:
        """Adds the statistics of other rows."""
        self.rows += other.rows
        for task, labels in other.labels.items():
            self.labels.setdefault(task, LabelSurvey()).add(labels)
        for name, column in other.columns.items():
            self.columns.setdefault(name, ColumnSurvey()).add(column)

    def to_dict(self, spec: DatasetSpec) -> dict[str, Any]:
        """Returns the survey as plain data for a description file."""
        return {
            "rows": self.rows,
            "tasks": {task.name: self._summarize(task) for task in spec.tasks},
            "labels": {
                task.name: task.label_values(self._labels_of(task.name)) for task in spec.tasks
            },
            "columns": {
                name: {
                    "missing": column.missing,
                    "distinct": column.distinct,
                    "most_frequent": _find_most_frequent(column.counts),
                    "types": sorted(column.types),
                    **column.list_counts,
                }
                for name, column in self.columns.items()
            },
        }

    def _summarize(self, task: Task) -> dict[str, float]:
        labels = self._labels_of(task.name)
        rows = {"rows": labels.rows} if task.is_partial else {}
        left_out = {k: labels.sums[k] for k in (LEFT_OUT,) if k in labels.sums}
        weight = {WEIGHT: labels.sums[WEIGHT] / UNIT} if task.weight else {}
        return rows | task.summary(labels) | left_out | weight

    def _labels_of(self, task: str) -> LabelSurvey:
        return self.labels.get(task, LabelSurvey())


def survey_block(spec: DatasetSpec, block: Block) -> Survey:
    """Returns the statistics of n raw rows that fit the spec."""
    survey = Survey(rows=len(block))
    for task in spec.tasks:
        has_label = task.has_label(block, spec.missing_values)
        labelled = block if has_label.all() else block.rows(has_label)
        values = labelled.count_values(task.label) if len(labelled) else []
        labels = task.survey(values, spec.missing_values)
        labels.rows = len(labelled)
        if task.weight and len(labelled):
            weights = make_weights(task.weight, labelled)
            labels.sums[WEIGHT] += sum(to_exact(weight) for weight in weights.tolist())
        survey.labels[task.name] = labels
    for name in spec.feature_names:
        feature = spec.raw_columns[name]
        if feature.values_per_row != 1:
            lists = feature.survey_lists(spec, block)
            column = _survey_text(count_texts(lists.values), feature, spec.missing_values)
            column.missing, column.list_counts = lists.missing, Counter(lists.counts)
        elif feature.raw_type(spec) == TEXT:
            column = _survey_text(block.count_values(name), feature, spec.missing_values)
        else:
            column = _survey_numbers(block.numbers(name, spec.missing_of(name)))
        if block.is_examples and name in block.columns:
            natural = _NATURAL_TYPES[feature.raw_type(spec)]
            column.types = _find_types(block, spec, name) - {natural}
        survey.columns[name] = column
    return survey


def survey_left_out(spec: DatasetSpec, left_out: np.ndarray) -> Survey:
    """Returns how many training rows were left out, for [n] bool."""
    survey = LabelSurvey()
    survey.sums[LEFT_OUT] = int(left_out.sum())
    return Survey(labels={find_sampled_task(spec).name: survey})


def _find_types(block: Block, spec: DatasetSpec, name: str) -> frozenset[str]:
    """Returns the types in tf.Examples of a column, without values that records may lack."""
    if name in block.arrow:
        return frozenset({_TYPES["O"]})
    if name in block.lists:
        values = block.lists[name].flatten()
        return (
            _list_types(values[:1].to_numpy(zero_copy_only=False)) if len(values) else frozenset()
        )
    if name not in spec.optional_numbers or block.sparse is None:
        return _list_types(block.column(name))
    values = block.sparse(name)
    present = values[[value is not None for value in values]] if values.dtype == object else values
    return _list_types(present)


def _list_types(values: np.ndarray) -> frozenset[str]:
    """Returns the types in tf.Examples of values [n]."""
    if values.dtype != object:
        return frozenset({_TYPES[values.dtype.kind]})
    if any(isinstance(value, list) for value in values):
        values = [item for value in values for item in value]
    return frozenset(_TYPES[np.dtype(kind).kind] for kind in set(map(type, values)))


def _survey_text(
    counts: Iterable[tuple[str, int]], feature: Feature, missing_values: Sequence[str]
) -> ColumnSurvey:
    column, counts = ColumnSurvey(), list(counts)
    rows = [count for _, count in counts]
    values = np.array([value for value, _ in counts], object)
    forms = feature.counted_forms(values, missing_values)
    is_missing = pd.isna(forms)
    column.missing = int(np.sum(rows, where=is_missing))
    if not is_missing.all():
        column.hashes = _select_smallest(pd.util.hash_array(forms[~is_missing], categorize=False))
    return column


def _survey_numbers(values: np.ndarray) -> ColumnSurvey:
    missing = np.isnan(values)
    distinct, rows = np.unique(values[~missing], return_counts=True)
    counts = Counter(dict(zip(distinct.tolist(), rows.tolist(), strict=True)))
    hashes = _select_smallest(pd.util.hash_array(distinct))
    return ColumnSurvey(int(missing.sum()), hashes, counts)


def _select_smallest(hashes: np.ndarray) -> np.ndarray:
    return np.unique(hashes)[:_SKETCH]


def _find_most_frequent(counts: Mapping[float, int]) -> dict[str, Any] | None:
    if not counts:
        return None
    value, rows = Counter(counts).most_common(1)[0]
    return {"value": value, "rows": rows}
