"""The tables that preparation ends with: label values, and features by split."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mptrec_tf.data.label_checks import label_counts
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.prepared_checks import DataChecks
from mptrec_tf.data.spec import Task

_SHOWN_VALUES = 20  # of a task's labels


def label_rows(data: PreparedData) -> list[dict[str, Any]]:
    """Which label values each task met, how often, and what they became, for a table."""
    table = []
    for task in data.spec.tasks:
        counts = label_counts(task, data.survey)
        shown = dict(list(counts.items())[:_SHOWN_VALUES])
        for (value, label), rows in shown.items():
            value = repr(value) if task.above is None else value
            table.append(_label_row(task, value, label, rows))
        for label in (1, 0):
            total = {
                split: of["positives"][task.name] if label else _negatives(of, task)
                for split, of in data.splits.items()
            }
            same = [of for (_, other), of in shown.items() if other == label]
            rest = {s: rows - sum(of.get(s, 0) for of in same) for s, rows in total.items()}
            if any(rest.values()):
                table.append(_label_row(task, "others", label, rest))
    return table


def _negatives(counts: Mapping[str, Any], task: Task) -> int:
    return counts["rows"] - counts["positives"][task.name]


def _label_row(task: Task, value: str, label: int, rows: Mapping[str, int]) -> dict[str, Any]:
    became = "positive" if label else "negative"
    return {"task": task.name, "column": task.label, "value": value, "is": became, **rows}


def feature_rows(data: PreparedData, checks: DataChecks) -> list[dict[str, Any]]:
    """Unknown, missing and distinct values of each feature by split, for a table."""
    splits: Sequence[str] = list(data.splits)
    kinds: dict[str, list[str]] = {}
    for feature in data.spec.categorical:
        hashed = feature.hash_buckets is not None
        kinds.setdefault(feature.name, []).append("hashed" if hashed else "category")
    for feature in data.spec.numeric:
        kinds.setdefault(feature.name, []).append("number")
    table = []
    for name, kind in kinds.items():
        of = [data.survey[split]["columns"][name] for split in splits]
        rows = [data.survey[split]["rows"] for split in splits]
        unknown = [checks.unknown[split].get(name) for split in splits]
        table.append(
            {
                "feature": name,
                "kind": " and ".join(kind),
                "unknown": "" if None in unknown else _cells(f"{u:.1%}" for u in unknown),
                "missing": _cells(f"{o['missing'] / n:.1%}" for o, n in zip(of, rows, strict=True)),
                "distinct": _cells(f"{o['distinct']:,}" for o in of),
            }
        )
    return table


def _cells(values: Iterable[str]) -> str:
    return " / ".join(values)
