"""Statistics of labels, collected block by block and merged."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

# Most values that are counted; beyond twice as many, the rarest are dropped.
MOST_VALUES = 1000
# Sums of labels are whole numbers of 1 / UNIT: exact, whatever the order of the rows is.
UNIT = 2**100
# Keys of sums and summaries: the rows that preparation left out, and the sum of a task's weights.
LEFT_OUT, WEIGHT = "left_out", "weight"
# `Survey.to_dict` by split.
Surveys = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass
class LabelSurvey:
    """Statistics of one task's labels.

    Attributes:
      rows: int. Rows with a label.
      sums: Sums over rows, by name.
      values: Rows by (text, label); of very many, the most frequent.
      ranges: The smallest and the largest number of a group of values, by a key that the kind of
        task chooses.
    """

    rows: int = 0
    sums: Counter = dataclasses.field(default_factory=Counter)
    values: Counter = dataclasses.field(default_factory=Counter)
    ranges: dict[float | str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    def widen(self, key: float | str, low: float, high: float) -> None:
        """Extends a range to include these numbers."""
        before = self.ranges.get(key, (low, high))
        self.ranges[key] = (min(low, before[0]), max(high, before[1]))

    def add(self, other: "LabelSurvey") -> None:
        """Adds the statistics of other rows."""
        self.rows += other.rows
        self.sums.update(other.sums)
        self.values.update(other.values)
        drop_rarest(self.values)
        for key, (low, high) in other.ranges.items():
            self.widen(key, low, high)


def to_exact(label: float) -> int:
    """Returns a label as a whole number of 1 / UNIT."""
    return round(label * float(UNIT))


def drop_rarest(counts: Counter) -> None:
    """Drops rare values if there are very many; a value with a large share is never dropped."""
    if len(counts) > 2 * MOST_VALUES:
        for value, _ in counts.most_common()[MOST_VALUES:]:
            del counts[value]


def count_labels(task: str, surveys: Surveys) -> dict[tuple[str, float], dict[str, int]]:
    """Returns rows by split for each (value, label) of a task, the most frequent first."""
    counts: dict[tuple[str, float], dict[str, int]] = {}
    for split, survey in surveys.items():
        for of in survey["labels"][task]:
            counts.setdefault((of["value"], of["label"]), {})[split] = of["rows"]
    return dict(sorted(counts.items(), key=lambda item: -sum(item[1].values())))
