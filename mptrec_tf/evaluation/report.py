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


def _format_cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    return f"{value:,}" if isinstance(value, int | np.integer) else f"{value:.4f}"
