"""Reports: metrics as JSON and as a table."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

_LOG_WIDTH = 200


def to_json(content: Mapping[str, Any]) -> str:
    """Returns JSON with null for numbers that are not finite, which every reader accepts."""

    def clean(value):
        if isinstance(value, Mapping):
            return {k: clean(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [clean(v) for v in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(clean(content), indent=2)


def print_table(
    rows: Sequence[Mapping[str, Any]], title: str = "", console: Console | None = None
) -> None:
    """Prints rows as a table: columns from the rows' keys, floats to four places."""
    table = Table(title=title or None, title_justify="left")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for column in columns:
        numeric = any(isinstance(row.get(column), int | float | np.number) for row in rows)
        justify = "right" if numeric else "left"
        table.add_column(column.replace("_", " "), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(_format_cell(row.get(column)) for column in columns))
    console = console or Console()
    if not console.is_terminal:  # a log file has no width, so each row is one line
        console = Console(file=console.file, width=_LOG_WIDTH)
    console.print(table)


def make_metric_tables(
    rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, str], title: str
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns a title and rows for each kind of task, whose metrics are its own.

    The best possible value of a metric, where it is known, follows the metric.

    Args:
      rows: A task's name under `task`, and its metrics.
      kinds: The kind of each task.
      title: The title; the kind is added if there are several.
    """
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        paired: dict[str, Any] = {}
        for name, value in row.items():
            if name.removeprefix("best_") in paired:
                continue
            paired[name] = value
            if f"best_{name}" in row:
                paired[f"best_{name}"] = row[f"best_{name}"]
        by_kind.setdefault(kinds[row["task"]], []).append(paired)
    several = len(by_kind) > 1
    return [(f"{title}: {kind}" if several else title, of) for kind, of in by_kind.items()]


def _format_cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    return f"{value:,}" if isinstance(value, int | np.integer) else f"{value:.4f}"
