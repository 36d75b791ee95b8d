"""The plots of a report on a watched model. Each function returns None where there is nothing."""

from collections.abc import Sequence

import matplotlib
import numpy as np

matplotlib.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mptrec_tf.data.distributions import Shares
from mptrec_tf.watching.features import ColumnReport, list_shares
from mptrec_tf.watching.scores import DayScores, Estimate
from mptrec_tf.watching.watch import TaskReport, WatchReport

_MOST_COLUMNS, _MOST_PANELS, _MOST_VALUES = 20, 6, 15
_SERVED, _TRAINED, _LIMIT = "C1", "C0", "C3"


def _make_panels(count: int, width: float = 4.0, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    across = min(3, count)
    down = -(-count // across)
    figure, axes = plt.subplots(
        down,
        across,
        figsize=(width * across, height * down),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    for axis in axes.flat:
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    return figure, list(axes.flat[:count])


def draw_skew(report: WatchReport) -> Figure | None:
    """How far each column is from the training rows.

    Hollow: the validation rows, when the model was trained. Crosses: the newest day, from the days
    before it.
    """
    columns = report.columns[:_MOST_COLUMNS]
    if not columns:
        return None
    figure, [axis] = _make_panels(1, 8.5, 1.2 + 0.24 * len(columns))
    places = np.arange(len(columns))
    over = [_LIMIT if of.is_far(report.limits.drift) else _SERVED for of in columns]
    axis.barh(places, [of.skew for of in columns], color=over, height=0.6, label="served rows")
    fresh = [of.fresh_drift for of in columns]
    axis.plot(fresh, places, "o", mfc="white", color="0.3", markersize=5, label="validation rows")
    drifts = [np.nan if of.drift is None else of.drift for of in columns]
    if not np.isnan(drifts).all():
        axis.plot(drifts, places, "x", color="0.1", markersize=6, label="newest day")
    limits = [of.fresh_drift + report.limits.drift for of in columns]
    axis.plot(limits, places, "|", color=_LIMIT, markersize=11, label="limit")
    axis.set_yticks(places, [_shorten(of.column, 34) for of in columns], fontsize=8)
    axis.set_ylim(len(columns) - 0.5, -0.5)
    axis.set_xlim(left=0)
    axis.set_xlabel("distance (L-infinity of ids, Jensen-Shannon of numbers)", fontsize=8)
    axis.legend(fontsize=8, loc="lower right")
    return figure


def draw_unknown(report: WatchReport) -> Figure | None:
    """Shares of values that the vocabulary does not hold, of columns where there are some, by day.

    The last point is all days; hollow is the validation rows' share, the dotted line the limit.
    """
    columns = [of for of in report.columns if of.unknown is not None]
    columns = [of for of in columns if max(of.unknown or 0, of.fresh_unknown or 0) > 0]
    columns = sorted(columns, key=lambda of: -(of.unknown or 0))[:_MOST_PANELS]
    if not columns:
        return None
    figure, axes = _make_panels(len(columns))
    for axis, of in zip(axes, columns, strict=True):
        days = list(of.unknown_by_day)
        shares = [100 * of.unknown_by_day[day] for day in days]
        axis.plot(range(len(days)), shares, "o-", color=_SERVED, markersize=4)
        axis.plot(len(days), 100 * (of.unknown or 0), "s", color=_SERVED)
        fresh = 100 * (of.fresh_unknown or 0)
        axis.plot(-1, fresh, "o", mfc="white", color="0.3", markersize=6)
        axis.axhline(100 * report.limits.unknown, color=_LIMIT, linestyle=":")
        _label_days(axis, ["validation", *days, "all"], first=-1)
        axis.set_ylim(bottom=0)
        axis.set_ylabel("unknown values, %", fontsize=8)
        axis.set_title(_shorten(of.column, 40), fontsize=9)
    return figure


def draw_columns(report: WatchReport) -> Figure | None:
    """The columns that are furthest from the training rows: shares of values, or of bins."""
    columns = report.columns[:_MOST_PANELS]
    if not columns:
        return None
    figure, axes = _make_panels(len(columns))
    for axis, of in zip(axes, columns, strict=True):
        _draw_column(axis, of)
    axes[0].legend(fontsize=8)
    return figure


def _draw_column(axis: Axes, of: ColumnReport) -> None:
    shares = list_shares(of, _MOST_VALUES)
    places = np.arange(len(shares))
    axis.bar(places - 0.2, [100 * s[1] for s in shares], 0.4, color=_TRAINED, label="training rows")
    axis.bar(places + 0.2, [100 * s[2] for s in shares], 0.4, color=_SERVED, label="served rows")
    if isinstance(of.served, Shares):
        axis.set_xlabel("ids, the most frequent first", fontsize=8)
        axis.set_xticks([])
    else:
        step = max(1, len(shares) // 5)
        axis.set_xticks(places[::step] - 0.5, [s[0] for s in shares][::step], fontsize=7)
        axis.set_xlabel("bins of the number as it is packed, by their lower edge", fontsize=8)
    axis.set_ylabel("share, %", fontsize=8)
    axis.set_title(f"{_shorten(of.column, 32)}: {of.skew:.3f}", fontsize=9)


def draw_predictions(report: WatchReport) -> Figure | None:
    """Served predictions beside those on the validation rows, in bins of equally many of these."""
    shown = [of for of in report.predictions if of.validation and of.shares][: 2 * _MOST_PANELS]
    if not shown:
        return None
    figure, axes = _make_panels(len(shown))
    for axis, of in zip(axes, shown, strict=True):
        edges = np.array(of.validation.edges)
        steps = np.arange(len(of.shares) + 1)
        for shares, color, label in (
            (of.validation.shares, _TRAINED, "validation rows"),
            (of.shares, _SERVED, "served rows"),
        ):
            axis.stairs(100 * np.array(shares), steps, color=color, label=label, linewidth=1.5)
        step = max(1, len(edges) // 5)
        axis.set_xticks(steps[1:-1][::step], [f"{edge:.3g}" for edge in edges[::step]], fontsize=7)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("prediction", fontsize=8)
        axis.set_ylabel("share, %", fontsize=8)
        axis.set_title(f"{_shorten(of.name, 28)}: {of.skew:.3f}", fontsize=9)
    axes[0].legend(fontsize=8)
    return figure


def draw_means(report: WatchReport) -> Figure | None:
    """The mean served prediction by day; the line is the mean on the validation rows."""
    shown = [of for of in report.predictions if len(of.mean_by_day) > 1][: 2 * _MOST_PANELS]
    if not shown:
        return None
    figure, axes = _make_panels(len(shown))
    for axis, of in zip(axes, shown, strict=True):
        days = list(of.mean_by_day)
        axis.plot(range(len(days)), list(of.mean_by_day.values()), "o-", color=_SERVED)
        if of.validation:
            axis.axhline(of.validation.mean, color=_TRAINED)
        low, high = axis.get_ylim()
        # A change of the last digits is none.
        middle, half = (low + high) / 2, max((high - low) / 2, 0.05 * abs(of.mean))
        axis.set_ylim(middle - half, middle + half)
        _label_days(axis, days)
        axis.set_ylabel("mean prediction", fontsize=8)
        axis.set_title(_shorten(of.name, 40), fontsize=9)
    return figure


def draw_scores(report: WatchReport) -> Figure | None:
    """Scores, log loss and calibration by day, with 95% intervals; hollow: labels still to come.

    The line is what it was on the validation rows (1 for the calibration of a probability), with
    the score's interval. Calibration is the mean prediction over the mean label.
    """
    names = ("score", "log_loss", "calibration")
    panels = [(of, name) for of in report.tasks for name in names]
    if not panels:
        return None
    figure, axes = _make_panels(len(panels))
    for axis, (of, name) in zip(axes, panels, strict=True):
        estimates = [getattr(day.scores, name) for day in of.days]
        if not any(e is not None and np.isfinite(e.value) for e in estimates):
            axis.set_visible(False)
            continue
        _draw_days(axis, of.days, estimates)
        title = {"score": of.task.score_name, "log_loss": "log loss"}.get(name, name)
        axis.set_title(f"{of.task.name}: {title}", fontsize=9)
        _draw_baseline(axis, of, name)
    return figure


def _draw_days(axis: Axes, days: Sequence[DayScores], estimates: Sequence[Estimate | None]) -> None:
    for place, (day, estimate) in enumerate(zip(days, estimates, strict=True)):
        if estimate is None or not np.isfinite(estimate.value):
            continue
        color = _SERVED if day.complete else "0.5"
        if estimate.interval:
            axis.plot([place, place], estimate.interval, color=color, linewidth=1.2)
        fill = color if day.complete else "white"
        axis.plot(place, estimate.value, "o", color=color, mfc=fill, markersize=5)
    _label_days(axis, [day.day for day in days])


def _draw_baseline(axis: Axes, of: TaskReport, name: str) -> None:
    if name == "calibration":
        if of.level is not None:
            axis.axhline(of.level, color=_TRAINED)
        return
    if not of.baseline:
        return
    key = {"score": of.task.score_key}.get(name, name)
    value = of.baseline["metrics"].get(key)
    if value is None:
        return
    axis.axhline(value, color=_TRAINED)
    error = of.baseline.get("error")
    if name == "score" and error:
        interval = Estimate(value, error).interval
        axis.axhspan(*interval, color=_TRAINED, alpha=0.12)


def _label_days(axis: Axes, names: Sequence[str], first: int = 0) -> None:
    step = max(1, -(-len(names) // 8))
    places = list(range(first, first + len(names)))[::step]
    # The year is in the page's tables.
    short = [name[5:] if name[:1].isdigit() else name for name in names][::step]
    axis.set_xticks(places, short, fontsize=7, rotation=30, ha="right")
    axis.set_xlim(first - 0.5, first + len(names) - 0.5)


def _shorten(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


FIGURES = {
    "Distance from the training rows": draw_skew,
    "Values that the vocabulary does not hold": draw_unknown,
    "Columns that moved most": draw_columns,
    "Predictions": draw_predictions,
    "Mean prediction by day": draw_means,
    "Scores by day": draw_scores,
}
