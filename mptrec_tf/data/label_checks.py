"""Looks at the label values that a data set's rows held, and says in sentences what seems wrong."""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mptrec_tf.data.spec import DatasetSpec, Task

Surveys = Mapping[str, Mapping[str, Any]]


def label_warnings(spec: DatasetSpec, surveys: Surveys) -> Iterator[str]:
    """Yields what is worth a sentence about the labels of some splits.

    Args:
      spec: Says what the labels are.
      surveys: `Survey.to_dict` by split.
    """
    for task in spec.tasks:
        for split, survey in surveys.items():
            rows, positives = survey["rows"], survey["positives"][task.name]
            if positives in (0, rows):
                what = "none" if not positives else "each"
                yield (
                    f"task {task.name!r}: {what} of the {rows:,} {split} rows is positive; check "
                    f"what column {task.label!r} holds and what counts as positive."
                )
        if task.above is not None or task.negative:
            continue
        for (value, label), counts in label_counts(task, surveys).items():
            close = [p for p in task.positive if not label and _is_nearly(value, p)]
            if close:
                yield (
                    f"task {task.name!r}: label {value!r} ({sum(counts.values()):,} rows) counts "
                    f"as negative, and is nearly {close[0]!r}, which is positive; list it under "
                    "positive, or under negative, in the spec."
                )


def label_counts(task: Task, surveys: Surveys) -> dict[tuple[str, int], dict[str, int]]:
    """Returns rows by split for each (value, label) that a task met, the most frequent first."""
    counts: dict[tuple[str, int], dict[str, int]] = {}
    for split, survey in surveys.items():
        for found in survey["labels"][task.name]:
            value = found["value"]
            if task.above is not None:  # ranges differ from split to split; the sides do not
                value = f"{'above' if found['label'] else 'up to'} {task.above:g}"
            counts.setdefault((value, found["label"]), {})[split] = found["rows"]
    return dict(sorted(counts.items(), key=lambda item: -sum(item[1].values())))


def _is_nearly(value: str, positive: str) -> bool:
    """Whether a value is a positive one but for case, marks or a letter."""
    plain, other = (re.sub(r"[\W_]+", "", text.casefold()) for text in (value, positive))
    if plain and plain == other:
        return True
    if re.sub(r"\d", "", plain) == re.sub(r"\d", "", other):  # classes that are numbered
        return False
    return difflib.SequenceMatcher(None, plain, other).ratio() >= 0.9
