"""The report on a watched model: JSON for programs, one HTML page for people."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from mptrec_tf.evaluation.report import to_json
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.watching.figures import FIGURES
from mptrec_tf.watching.recommending import ADD_BUCKETS, NOTHING, RECALIBRATE, REFRESH
from mptrec_tf.watching.scores import Estimate, TaskScores
from mptrec_tf.watching.watch import TaskReport, WatchReport

# What to do, in words.
ADVICE = {
    NOTHING: "Nothing: the model fits what it is asked, as far as these logs and labels show.",
    RECALIBRATE: (
        "Recalibrate: the order of predictions holds, their level does not. Train an added task "
        "anew on newer rows (mptrec-add-task, then mptrec-export --replace), which fits its level; "
        "or correct the logits behind the model by the scale and shift below."
    ),
    ADD_BUCKETS: (
        "Add buckets: values come and go faster than a vocabulary can follow. Give the columns "
        "below oov_buckets or hash_buckets in the spec, and pre-train a new backbone with it."
    ),
    REFRESH: (
        "Refresh: what is served is no longer what the backbone was trained on. Train all of the "
        "model anew on newer rows, by mptrec-refresh."
    ),
}

_PAGE = jinja2.Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1180px; padding: 0 1em; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: 3px 9px; text-align: right; }
th:first-child, td:first-child { text-align: left; }
th { border-bottom: 2px solid #888; }
.wide { overflow-x: auto; }
.note { color: #555; font-size: 13px; max-width: 62em; }
.action { border: 1px solid #999; border-left: 8px solid {{ color }}; padding: 0.2em 1.2em; }
.action strong { font-size: 20px; }
img { max-width: 100%; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p class="note">{{ about }}</p>
<div class="action"><p><strong>{{ action }}</strong></p><p>{{ advice }}</p>
{% if reasons %}<ul>{% for reason in reasons %}<li>{{ reason }}.</li>{% endfor %}</ul>{% endif %}
</div>
{% if notes %}<h2>What to know</h2>
<ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>{% endif %}
{% for part in parts %}
<h2>{{ part.title }}</h2>
{% if part.note %}<p class="note">{{ part.note }}</p>{% endif %}
{% if part.image %}
<img alt="{{ part.title }}" src="data:image/png;base64,{{ part.image }}">
{% endif %}
{% if part.rows %}<div class="wide"><table><tr>
{% for name in part.header %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in part.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>{% endif %}
{% endfor %}
</body>
</html>
""",
    autoescape=True,
)
_COLORS = {NOTHING: "#2a8", RECALIBRATE: "#e80", ADD_BUCKETS: "#e80", REFRESH: "#c33"}


def make_json(report: WatchReport) -> str:
    """Returns a report as JSON."""
    return (
        to_json(
            {
                "model": report.version.path,
                "recommendation": report.action,
                "reasons": to_plain(report.reasons),
                "notes": report.notes,
                "limits": to_plain(report.limits),
                "requests": report.requests,
                "rows": report.rows,
                "sampled_rows": report.sampled,
                "rows_by_day": report.days,
                "columns": to_plain(report.columns),
                "predictions": to_plain(report.predictions),
                "tasks": {of.task.name: _list_scores(of) for of in report.tasks},
            }
        )
        + "\n"
    )


def _list_scores(of: TaskReport) -> dict[str, Any]:
    return {
        "score_name": of.task.score_name,
        "served_rows": of.served,
        "labelled_rows": of.labelled,
        **_flatten(of.scores),
        "expected_calibration": of.level,
        "correction": of.correction and dict(zip(("scale", "shift"), of.correction, strict=True)),
        "validation": of.baseline
        and {k: of.baseline[k] for k in ("rows", "score", "error", "metrics")},
        "days": [
            {
                "day": day.day,
                "served": day.served,
                "labelled_share": day.labelled,
                "complete": day.complete,
                **_flatten(day.scores),
            }
            for day in of.days
        ],
    }


def _flatten(scores: TaskScores) -> dict[str, Any]:
    plain: dict[str, Any] = {"rows": scores.rows, "informative_rows": scores.informative}
    for name in ("score", "log_loss", "calibration"):
        estimate: Estimate | None = getattr(scores, name)
        if estimate is not None:
            interval = estimate.interval
            plain[name] = {
                "value": estimate.value,
                "error": estimate.error,
                "interval": list(interval) if interval else None,
            }
    return plain


def make_page(report: WatchReport) -> str:
    """Returns a report as one HTML page, which needs no other file."""
    parts = []
    tables = {
        "Distance from the training rows": _table_columns(report),
        "Scores by day": _table_days(report),
        "Predictions": _table_predictions(report),
    }
    for title, draw in FIGURES.items():
        figure = draw(report)
        header, rows = tables.get(title, ((), ()))
        if figure is None and not rows:
            continue
        note = " ".join((draw.__doc__ or "").split())
        image = _encode(figure) if figure else ""
        parts.append({"title": title, "note": note, "image": image, "header": header, "rows": rows})
    if report.tasks:
        header, rows = _table_tasks(report)
        parts.insert(0, {"title": "Tasks", "note": "", "header": header, "rows": rows})
    days = list(report.days)
    span = f", {days[0]} to {days[-1]} (UTC)" if days else ""
    return _PAGE.render(
        title=f"{report.version.path}: what is served",
        about=f"{report.requests:,} requests of {report.rows:,} rows{span}; the columns of "
        f"{report.sampled:,} rows beside {report.version.rows:,} training rows.",
        action=report.action.capitalize(),
        advice=ADVICE[report.action],
        color=_COLORS[report.action],
        reasons=[f"[{of.action}] {of.sentence}" for of in report.reasons],
        notes=report.notes,
        parts=parts,
    )


def _encode(figure: Figure) -> str:
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    plt.close(figure)
    return base64.b64encode(png.getvalue()).decode()


def _table_columns(report: WatchReport) -> tuple[Sequence[str], list[Sequence[str]]]:
    header = (
        "column",
        "distance",
        "by",
        "validation rows",
        "newest day",
        "unknown",
        "in training",
        "in validation",
        "moved most",
    )
    rows = [
        (
            of.column,
            f"{of.skew:.4f}",
            of.comparator,
            f"{of.fresh_drift:.4f}",
            _number(of.drift),
            _share(of.unknown),
            _share(of.trained_unknown),
            _share(of.fresh_unknown),
            of.moved,
        )
        for of in report.columns
    ]
    return header, rows


def _table_predictions(report: WatchReport) -> tuple[Sequence[str], list[Sequence[str]]]:
    header = ("prediction", "rows", "mean", "on the validation rows", "Jensen-Shannon")
    rows = [
        (
            of.name,
            f"{of.rows:,}",
            f"{of.mean:.4g}",
            "" if of.validation is None else f"{of.validation.mean:.4g}",
            _number(of.skew),
        )
        for of in report.predictions
    ]
    return header, rows


def _table_tasks(report: WatchReport) -> tuple[Sequence[str], list[Sequence[str]]]:
    header = (
        "task",
        "labelled rows",
        "score",
        "served",
        "on the validation rows",
        "log loss",
        "mean prediction / mean label",
        "correction of the logit",
    )
    rows = []
    for of in report.tasks:
        before = of.baseline or {}
        correction = ""
        if of.correction:
            scale, shift = of.correction
            correction = f"{scale:.3f} * logit {shift:+.3f}"
        rows.append(
            (
                of.task.name,
                f"{of.scores.rows:,}",
                of.task.score_name,
                show_estimate(of.scores.score),
                show_estimate(Estimate(_or_nan(before.get("score")), _or_nan(before.get("error")))),
                show_estimate(of.scores.log_loss),
                show_estimate(of.scores.calibration),
                correction,
            )
        )
    return header, rows


def _table_days(report: WatchReport) -> tuple[Sequence[str], list[Sequence[str]]]:
    header = ("task", "day", "rows", "labels came", "score", "log loss", "calibration")
    rows = [
        (
            of.task.name,
            day.day,
            f"{day.served:,}",
            f"{day.labelled:.1%}" + ("" if day.complete else " (not all yet)"),
            show_estimate(day.scores.score),
            show_estimate(day.scores.log_loss),
            show_estimate(day.scores.calibration),
        )
        for of in report.tasks
        for day in of.days
    ]
    return header, rows


def show_estimate(estimate: Estimate | None) -> str:
    """Returns a number with its interval, for people."""
    if estimate is None or not math.isfinite(estimate.value):
        return ""
    if not estimate.interval:
        return f"{estimate.value:.4f}"
    low, high = estimate.interval
    return f"{estimate.value:.4f} ({low:.4f} to {high:.4f})"


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def list_tables(report: WatchReport) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Returns title and rows of the tables that a terminal shows."""
    named = {
        "columns furthest from the training rows": _table_columns(report),
        "tasks": _table_tasks(report),
    }
    tables = []
    for title, (header, rows) in named.items():
        shown = [dict(zip(header, row, strict=True)) for row in rows[:_MOST_SHOWN]]
        if shown:
            tables.append((title, shown))
    return tables


_MOST_SHOWN = 10
