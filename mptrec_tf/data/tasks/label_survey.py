"""What is known of the labels of some rows: taken a block at a time, and merged."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

# Values that are counted one by one; of more, the rarest are put together.
MOST_VALUES = 1000
# `Survey.to_dict` by split.
Surveys = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass
class LabelSurvey:
    """What is known of one task's labels.

    Attributes:
      sums: Numbers that add up from block to block, by name.
      values: Rows by (text, label); of very many the most frequent.
      ranges: The smallest and the largest number of what is put together, by a key of the kind's.
    """

    sums: Counter = dataclasses.field(default_factory=Counter)
    values: Counter = dataclasses.field(default_factory=Counter)
    ranges: dict[float | str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    def widen(self, key: float | str, low: float, high: float) -> None:
        """Makes a range hold these numbers, too."""
        before = self.ranges.get(key, (low, high))
        self.ranges[key] = (min(low, before[0]), max(high, before[1]))

    def add(self, other: "LabelSurvey") -> None:
        """Takes in what is known of other rows."""
        self.sums.update(other.sums)
        self.values.update(other.values)
        drop_rarest(self.values)
        for key, (low, high) in other.ranges.items():
            self.widen(key, low, high)


def drop_rarest(counts: Counter) -> None:
    """Forgets rare values where there are very many; what holds a large share is never one."""
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
