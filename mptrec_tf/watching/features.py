"""How far the served values of each column are from those that the backbone was trained on.

*Skew* is the distance of all served rows from the training rows, *drift* that of the newest day
from the days before it, both by TensorFlow Data Validation's comparators (`data.distributions`).
"""

import dataclasses

from mptrec_tf.data.distributions import Distribution, Shares, find_moved, measure_drift
from mptrec_tf.data.packed_columns import PackedColumn
from mptrec_tf.watching.days import Days
from mptrec_tf.watching.packing import PackedSample
from mptrec_tf.watching.watched_version import WatchedVersion


@dataclasses.dataclass(frozen=True)
class ColumnReport:
    """A packed column of served rows beside that of the training rows.

    Attributes:
      column: str. Its name, as "categorical/city".
      feature: str. The feature's name.
      comparator: str. "L-infinity" or "Jensen-Shannon".
      skew: float. Served rows from training rows.
      drift: Optional float. The newest day from the days before; None without enough of them.
      fresh_drift: float. Validation rows from training rows, when the model was trained.
      unknown: Optional float. The share of served values that the vocabulary does not hold.
      trained_unknown: Optional float. That share in the training rows.
      fresh_unknown: Optional float. That share in the validation rows.
      unknown_by_day: That share by day.
      moved: What moved most, in words; empty for numbers.
      trained: The distribution in the training rows.
      served: That in the served rows.
    """

    column: str
    feature: str
    comparator: str
    skew: float
    drift: float | None
    fresh_drift: float
    unknown: float | None
    trained_unknown: float | None
    fresh_unknown: float | None
    unknown_by_day: dict[str, float]
    moved: str
    trained: Distribution
    served: Distribution

    def is_far(self, limit: float) -> bool:
        """Whether served rows are further from the training rows than fresh ones, by a limit."""
        return self.skew > self.fresh_drift + limit


def compare_columns(
    version: WatchedVersion, sample: PackedSample, least_rows: int
) -> list[ColumnReport]:
    """Returns a report of each packed column, the largest skew first.

    Args:
      version: The version that is watched.
      sample: The sampled rows.
      least_rows: Rows of a day without which no drift is measured.
    """
    if not sample.rows:
        return []
    days = Days(sample.times)
    reports = [_compare(version, sample, column, days, least_rows) for column in sample.columns]
    return sorted(reports, key=lambda report: report.skew, reverse=True)


def _compare(
    version: WatchedVersion, sample: PackedSample, column: PackedColumn, days: Days, least: int
) -> ColumnReport:
    trained = version.columns[column.name]
    served = sample.describe(column, trained)
    by_day = {day: sample.describe(column, trained, days.of == i) for i, day in days.numbered()}
    drift = None
    if len(days.names) > 1:
        newest = days.of == len(days.names) - 1
        before = (days.of >= 0) & ~newest
        if min(newest.sum(), before.sum()) >= least:
            drift = measure_drift(sample.describe(column, trained, before), by_day[days.names[-1]])
    is_ids = isinstance(served, Shares)
    moved = ""
    if is_ids and (found := find_moved(trained, served)):
        value, was, now = found
        moved = f"{sample.name_value(column, int(value))}: {was:.1%} to {now:.1%}"
    fresh = version.fresh[column.name]
    unknown_by_day = {}
    if is_ids and served.unknown is not None:
        unknown_by_day = {day: of.unknown for day, of in by_day.items() if of.count}
    return ColumnReport(
        column.name,
        column.feature,
        "L-infinity" if is_ids else "Jensen-Shannon",
        measure_drift(trained, served),
        drift,
        fresh["drift"],
        getattr(served, "unknown", None),
        getattr(trained, "unknown", None),
        fresh["unknown"],
        unknown_by_day,
        moved,
        trained,
        served,
    )


def list_shares(report: ColumnReport, most: int) -> list[tuple[str, float, float]]:
    """Returns ids or bins with their shares in training and served rows, for a plot."""
    if isinstance(report.served, Shares):
        names = {**report.trained.shares, **report.served.shares}
        pairs = [
            (n, report.trained.shares.get(n, 0.0), report.served.shares.get(n, 0.0)) for n in names
        ]
        return sorted(pairs, key=lambda of: -max(of[1:]))[:most]
    edges = report.trained.edges
    bins = ["", *(f"{edge:.3g}" for edge in edges)]
    return list(zip(bins, report.trained.shares, report.served.shares, strict=True))
