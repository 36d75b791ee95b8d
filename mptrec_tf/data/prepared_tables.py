"""Tables of prepared data: label values, and features by split."""

from collections.abc import Iterable, Sequence
from typing import Any

from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.prepared_checks import DataChecks


def make_label_rows(data: PreparedData) -> list[dict[str, Any]]:
    """Returns a table of raw label values, their labels, and their rows by split."""
    return [row for task in data.spec.tasks for row in task.label_rows(data.survey)]


def make_feature_rows(data: PreparedData, checks: DataChecks) -> list[dict[str, Any]]:
    """Returns a table of unknown, missing and distinct values of each feature by split."""
    splits: Sequence[str] = list(data.splits)
    kinds: dict[str, list[str]] = {}
    for feature in data.spec.features:
        kinds.setdefault(feature.name, []).append(feature.short_kind)
    table = []
    for name, kind in kinds.items():
        unknown = [checks.unknown[split].get(name) for split in splits]
        shown = "" if None in unknown else _join_cells(f"{u:.1%}" for u in unknown)
        cells = {"feature": name, "kind": " and ".join(kind), "unknown": shown}
        if name not in data.spec.feature_names:  # it is made of several columns
            table.append(cells | {"missing": "", "distinct": ""})
            continue
        of = [data.survey[split]["columns"][name] for split in splits]
        rows = [data.survey[split]["rows"] for split in splits]
        table.append(
            cells
            | {
                "missing": _join_cells(
                    f"{o['missing'] / n:.1%}" for o, n in zip(of, rows, strict=True)
                ),
                "distinct": _join_cells(f"{o['distinct']:,}" for o in of),
            }
        )
    return table


def _join_cells(values: Iterable[str]) -> str:
    return " / ".join(values)
