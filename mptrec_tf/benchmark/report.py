"""Renders the results of a benchmark: tables as Markdown and CSV, figures, and one HTML page."""

import base64
import html
import io
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from mptrec_tf.benchmark.results import Results
from mptrec_tf.benchmark.suites import Suite
from mptrec_tf.benchmark.tables import Table
from mptrec_tf.storage.directories import write_file

_PAGE = jinja2.Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1280px; padding: 0 1em; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: 3px 9px; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { border-bottom: 2px solid #888; }
tr:hover { background: #f4f4f4; }
.wide { overflow-x: auto; }
.note { color: #555; font-size: 13px; max-width: 62em; }
.failed { background: #fdecea; border: 1px solid #d33; padding: 0.2em 1em; }
img { max-width: 100%; }
nav a { margin-right: 1em; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p class="note">{{ about }}</p>
{% if failures %}<div class="failed"><h2>Failed cells</h2><div class="wide">{{ failures }}</div>
</div>{% endif %}
<nav>{% for part in parts %}<a href="#{{ part.name }}">{{ part.title }}</a> {% endfor %}</nav>
{% for part in parts %}
<h2 id="{{ part.name }}">{{ part.title }}</h2>
<p class="note">{{ part.note }}</p>
{% if part.image %}<img alt="{{ part.title }}" src="data:image/png;base64,{{ part.image }}">
{% else %}<div class="wide">{{ part.table }}</div>{% endif %}
{% endfor %}
</body>
</html>
""",
    autoescape=False,
)


def render(results: Results, suite: Suite, directory: str) -> list[Table]:
    """Writes tables, figures, and the report as Markdown and HTML into a directory.

    Args:
      results: The results.
      suite: The suite whose tables and figures are rendered.
      directory: The directory; files of an earlier report are replaced.

    Returns:
      The tables.
    """
    for folder in ("tables", "figures"):
        os.makedirs(os.path.join(directory, folder), exist_ok=True)
    title, about = _describe(results)
    rendered = [table for table in suite.make_tables(results) if not table.shown.empty]
    parts, markdown = [], [f"# {title}", about]
    if not results.failures.empty:
        markdown += ["## Failed cells", _to_markdown(results.failures)]
    for table in rendered:
        name = _slug(table.title)
        path = os.path.join(directory, "tables", name)
        text = _to_markdown(table.shown)
        write_file(f"{path}.md", f"# {table.title}\n\n{table.note}\n\n{text}\n")
        write_file(f"{path}.csv", table.numbers.to_csv(index=False))
        parts.append(
            {
                "name": name,
                "title": html.escape(table.title),
                "note": _mark_up(html.escape(table.note)),
                "table": _to_html(table.shown),
            }
        )
        markdown += [f"## {table.title}", table.note, text]
    for name, draw in suite.make_figures(results).items():
        figure = draw(results)
        if figure is None:
            continue
        png = _save_figure(figure, os.path.join(directory, "figures", name))
        caption = " ".join((draw.__doc__ or "").split())
        words = name.replace("_", " ").capitalize()
        image = base64.b64encode(png).decode()
        parts.append({"name": name, "title": words, "note": html.escape(caption), "image": image})
        markdown += [f"## {words}", caption, f"![{words}](figures/{name}.png)"]
    write_file(os.path.join(directory, "report.md"), "\n\n".join(markdown) + "\n")
    failures = "" if results.failures.empty else _to_html(results.failures)
    page = _PAGE.render(
        title=html.escape(title), about=html.escape(about), failures=failures, parts=parts
    )
    write_file(os.path.join(directory, "report.html"), page)
    return rendered


def _save_figure(figure: Figure, path: str) -> bytes:
    """Writes a figure as PNG and SVG; returns the PNG."""
    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png", dpi=110)
    figure.savefig(svg, format="svg", metadata={"Date": None})
    plt.close(figure)
    write_file(f"{path}.png", png.getvalue())
    write_file(f"{path}.svg", svg.getvalue())
    return png.getvalue()


def _describe(results: Results) -> tuple[str, str]:
    """Returns the title, and a sentence on how the results came about."""
    grid = results.grid
    data = grid["source"].get("dataset") or (grid["source"].get("spec") or {}).get("name", "")
    done = [row for row in results.raw.values() if row["status"] == "ok"]
    newest = max(done, key=lambda row: row.get("started", ""), default={})
    machine = newest.get("machine", {})
    commits = sorted({row["commit"][:12] for row in done if row.get("commit")})
    # Of cells with fewer labels the training rows are fewer.
    splits = [row["data"]["splits"] for row in done if "data" in row]
    rows = max(splits, key=lambda of: of.get("train", {}).get("rows", 0), default={})
    seconds = sum(row.get("cell_seconds", 0.0) for row in done)
    parts = [
        f"{len(done)} cells, {len(results.failures)} failed, {seconds / 3600:.1f} h of work",
        "seeds " + ", ".join(str(s) for s in sorted(set(results.rows.seed))),
        ", ".join(f"{of['rows']:,} {split} rows" for split, of in rows.items()),
        f"commit {', '.join(commits)}" if commits else "",
        f"{machine.get('processor')}, {machine.get('cores')} cores, {newest.get('threads')} "
        "threads a training",
        ", ".join(f"{name} {of}" for name, of in newest.get("versions", {}).items()),
        f"as of {newest.get('started')}",
    ]
    quick = " (quick: figures show only that everything runs)" if grid["quick"] else ""
    return f"Suite {grid['suite']} on {data}{quick}", "; ".join(filter(None, parts)) + "."


def _slug(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")[:80]


def _to_markdown(frame: pd.DataFrame) -> str:
    text = frame.fillna("").astype(str).replace(r"\|", r"\\|", regex=True)
    return text.to_markdown(index=False, disable_numparse=True)


def _to_html(frame: pd.DataFrame) -> str:
    text = frame.fillna("").astype(str)
    escaped = pd.DataFrame({c: [_mark_up(html.escape(v)) for v in text[c]] for c in text})
    escaped.columns = [html.escape(str(column)) for column in text.columns]
    return escaped.to_html(index=False, escape=False, border=0)


def _mark_up(text: str) -> str:
    """Returns Markdown's marks as HTML's: bold, italic, code."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"\*(.+?)\*", r"<i>\1</i>", text)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)


def list_summary(tables: Sequence[Table]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Returns title and rows of each table, for printing."""
    return [(table.title, table.shown.to_dict("records")) for table in tables]
