"""Watches a version of a model: reads its request logs and labels, and says what to do."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.tasks.base import Task
from mptrec_tf.errors import InputError
from mptrec_tf.watching.days import Days
from mptrec_tf.watching.features import ColumnReport, compare_columns
from mptrec_tf.watching.logged_requests import Served
from mptrec_tf.watching.outcomes import Join, Labels, Outcome
from mptrec_tf.watching.packing import PackedSample
from mptrec_tf.watching.predictions import PredictionReport, Predictions
from mptrec_tf.watching.recommending import (
    Limits,
    Reason,
    find_level,
    judge_columns,
    judge_task,
    recommend,
)
from mptrec_tf.watching.request_logs import RequestLog
from mptrec_tf.watching.scores import (
    DayScores,
    TaskScores,
    score_days,
    score_task,
    select_complete,
)
from mptrec_tf.watching.watched_version import WatchedVersion


@dataclasses.dataclass(frozen=True)
class WatchOptions:
    """How to watch.

    Attributes:
      limits: Where something has to be done.
      tolerance: float. Seconds by which clocks may differ.
      model_name: Optional str. The model's name in requests.
      id_columns: Columns that together identify a row.
      label_time: Optional str. The column of the labels' times.
      most_rows: int. About how many rows are packed, to compare columns.
    """

    limits: Limits = dataclasses.field(default_factory=Limits)
    tolerance: float = 60.0
    model_name: str | None = None
    id_columns: tuple[str, ...] = ("request_id",)
    label_time: str | None = None
    most_rows: int = 100_000


@dataclasses.dataclass(frozen=True)
class TaskReport:
    """What labels say about a task.

    Attributes:
      task: The task.
      served: int. Rows that were requested of it.
      labelled: int. Those of them whose label has come.
      scores: On all complete days.
      days: By day.
      baseline: On the validation rows; None if it is not known.
      level: What its mean prediction over its mean label should be; None if that is not known.
      correction: Scale and shift of the logit that fit these labels; None where they are too few,
        or the prediction is no probability.
    """

    task: Task
    served: int
    labelled: int
    scores: TaskScores
    days: list[DayScores]
    baseline: dict[str, Any] | None
    level: float | None
    correction: tuple[float, float] | None


@dataclasses.dataclass(frozen=True)
class WatchReport:
    """What was found.

    Attributes:
      version: The version that was watched.
      limits: What it was judged by.
      requests: int. Requests that were read.
      rows: int. Their rows.
      sampled: int. Rows whose columns were compared.
      days: Served rows by day.
      action: str. What is recommended: one of `recommending.ACTIONS`.
      reasons: Why, the strongest first.
      notes: What else has to be known, a sentence each.
      columns: The columns, the largest skew first.
      predictions: The predictions.
      tasks: The tasks that have labels.
    """

    version: WatchedVersion
    limits: Limits
    requests: int
    rows: int
    sampled: int
    days: dict[str, int]
    action: str
    reasons: list[Reason]
    notes: list[str]
    columns: list[ColumnReport]
    predictions: list[PredictionReport]
    tasks: list[TaskReport]


def watch(
    version: WatchedVersion,
    logs: Sequence[str],
    labels: Sequence[str] = (),
    options: WatchOptions = WatchOptions(),
    on_requests: Callable[[int], Any] = lambda count: None,
    now: float | None = None,
) -> WatchReport:
    """Compares served requests with what a version was trained on, and with their labels.

    Args:
      version: The version.
      logs: Request logs: files, globs or folders.
      labels: Files with labels; none have come yet if there are none.
      options: How to watch.
      on_requests: Called with the number of requests after each part.
      now: Seconds since 1970. Defaults to this machine's clock.

    Raises:
      InputError: for logs without a request of this version, or files that cannot be read.

    Example:
          report = watch(open_version("saved_models/shop"), ["requests/*"], ["labels/*.csv"])
          report.action, [reason.sentence for reason in report.reasons]
    """
    outcomes = Labels(labels, version, options.id_columns, options.label_time) if labels else None
    log = RequestLog(
        logs,
        version,
        options.model_name,
        options.id_columns if outcomes else (),
        options.most_rows,
    )
    join = Join(outcomes, version.tasks, options.tolerance) if outcomes else None
    reading = _Reading(version, options, join, time.time() if now is None else now)
    for served in log.read():
        reading.add(served)
        on_requests(served.requests)
    if not reading.requests:
        raise InputError(_explain_nothing(version, log))
    limits = options.limits
    columns = compare_columns(version, reading.sample, limits.least_rows)
    reasons = judge_columns(columns, reading.sample.rows, limits)
    tasks = []
    if join:
        for name, outcome in join.finish().items():
            [task] = [of for of in version.tasks if of.name == name]
            served = reading.predictions.count_rows(task)
            report, found = _judge(task, outcome, version, served, limits)
            tasks.append(report)
            reasons += found
    action = recommend(reasons)
    reasons.sort(key=lambda of: of.action != action)
    return WatchReport(
        version,
        limits,
        reading.requests,
        reading.rows,
        reading.sample.rows,
        dict(sorted(reading.days.items())),
        action,
        reasons,
        [*_note_logs(log, reading, options), *_note_labels(outcomes, join, tasks, reading, limits)],
        columns,
        reading.predictions.describe(),
        tasks,
    )


class _Reading:
    """What is counted while logs are read."""

    def __init__(
        self, version: WatchedVersion, options: WatchOptions, join: Join | None, now: float
    ):
        self.sample = PackedSample(version)
        self.predictions = Predictions(version)
        self.requests = self.rows = self.future = self.timeless = 0
        self.ahead = 0.0
        self.days: dict[str, int] = {}
        self.now, self.latest = now, now + options.tolerance
        self._join = join

    def add(self, served: Served) -> None:
        served = self._drop_future(served)
        self.requests += served.requests
        self.rows += len(served.times)
        days = Days(served.times)
        for i, day in days.numbered():
            self.days[day] = self.days.get(day, 0) + int((days.of == i).sum())
        self.timeless += int(np.isnan(served.times).sum())
        self.predictions.add(served)
        if served.sample:
            self.sample.add(served.sample, served.sample_times)
        if self._join:
            self._join.add(served)

    def _drop_future(self, served: Served) -> Served:
        """Takes times from rows that a clock ahead of this one wrote: they have no day."""
        with np.errstate(invalid="ignore"):
            future = served.times > self.latest
        if not future.any():
            return served
        self.future += int(future.sum())
        self.ahead = max(self.ahead, float(served.times[future].max()) - self.now)
        with np.errstate(invalid="ignore"):
            sample_times = np.where(served.sample_times > self.latest, np.nan, served.sample_times)
        times = np.where(future, np.nan, served.times)
        return dataclasses.replace(served, times=times, sample_times=sample_times)


def _judge(
    task: Task, outcome: Outcome, version: WatchedVersion, served: dict[str, int], limits: Limits
) -> tuple[TaskReport, list[Reason]]:
    days = score_days(task, outcome, {day: count for day, count in served.items() if day})
    complete = select_complete(outcome, days)
    scores = score_task(task, complete.labels, complete.predictions)
    baseline = version.task_baselines.get(task.name)
    level = find_level(task, baseline)
    found = judge_task(task.name, task.score_name, scores, baseline, level, limits)
    correction = None
    enough = scores.informative >= limits.least_informative
    if enough and scores.log_loss and task.given is None:
        correction = task.calibration(complete.predictions, complete.labels, None)
    baseline = dict(baseline) if baseline else None
    counts = sum(served.values()), len(outcome.labels)
    return TaskReport(task, *counts, scores, days, baseline, level, correction), found


def _explain_nothing(version: WatchedVersion, log: RequestLog) -> str:
    if not log.left_out:
        return f"{', '.join(log.files[:3])} holds no request; give logs that have some."
    counts = ", ".join(f"{count:,} {why}" for why, count in log.left_out.most_common())
    return (
        f"no logged request is one to {version.path}: {counts}; give the logs of this model, or "
        "the version that served them (--model=.../1)."
    )


def _note_logs(log: RequestLog, reading: _Reading, options: WatchOptions) -> list[str]:
    notes = []
    if log.broken:
        notes.append(
            f"{len(log.broken)} of {len(log.files)} log files end within a record or are damaged "
            f"there ({', '.join(log.broken[:3])}); what comes before that was read."
        )
    for why, count in log.left_out.most_common():
        notes.append(f"{count:,} logged records were left out: {why}.")
    if reading.sample.rejected:
        notes.append(
            f"{reading.sample.rejected:,} sampled rows do not fit the model's preprocessing, and "
            "were left out of the comparison of columns."
        )
    if reading.future:
        notes.append(
            f"{reading.future:,} rows were requested up to {_show_seconds(reading.ahead)} after "
            "now, by the clock of this machine; clocks disagree, and these rows belong to no day."
        )
    timeless = reading.timeless - reading.future
    if timeless:
        notes.append(f"{timeless:,} rows have no time in the log, and belong to no day.")
    if reading.sample.rows < options.limits.least_rows:
        notes.append(
            f"only {reading.sample.rows:,} rows could be compared with the training rows; below "
            f"{options.limits.least_rows:,} nothing is recommended because of columns."
        )
    return notes


def _note_labels(
    labels: Labels | None,
    join: Join | None,
    tasks: Sequence[TaskReport],
    reading: _Reading,
    limits: Limits,
) -> list[str]:
    if labels is None or join is None:
        return ["No labels were given: nothing is known about scores and calibration."]
    counts, notes = join.counts, []
    if not labels.values:
        notes.append("No label has come yet: nothing is known about scores and calibration.")
    if counts.without_id:
        notes.append(
            f"{counts.without_id:,} of {reading.rows:,} rows have no id in the log, and no label "
            "can be joined to them."
        )
    if counts.early:
        notes.append(
            f"{counts.early:,} labels come before their request, by up to "
            f"{_show_seconds(counts.earliest)}; clocks disagree, and these labels were left out."
        )
    if counts.several:
        notes.append(
            f"{counts.several:,} labels have an id that was served several times, and no time that "
            "says which one is meant; they were left out (see --label_time)."
        )
    if labels.without_id:
        notes.append(f"{labels.without_id:,} rows of the labels have no id, and were left out.")
    times = [of[of > reading.latest] for of in labels.times.values()]
    if count := sum(map(len, times)):
        ahead = max(of.max() for of in times if len(of)) - reading.now
        notes.append(
            f"{count:,} labels have times up to {_show_seconds(ahead)} after now, by the clock of "
            "this machine; clocks disagree, or the times are not in seconds."
        )
    if labels.replaced:
        notes.append(f"{labels.replaced:,} labels were replaced by a later one of the same id.")
    for of in tasks:
        never = " (or never will)" if of.task.is_partial else ""
        notes.append(
            f"{of.task.name}: {of.served - of.labelled:,} of {of.served:,} rows have no label "
            f"yet{never}; they count neither as positive nor as negative."
        )
        late = [day.day for day in of.days if not day.complete]
        if late:
            notes.append(
                f"{of.task.name}: labels of {', '.join(late)} are still to come, so these days do "
                "not count in what is recommended."
            )
        if of.scores.informative < limits.least_informative:
            notes.append(
                f"{of.task.name}: {of.scores.informative:,} labelled rows (of the rarer class) on "
                f"complete days are fewer than {limits.least_informative}; nothing is "
                "recommended because of them."
            )
        if of.baseline is None:
            notes.append(
                f"{of.task.name}: an earlier release trained it, which stored no score of the "
                "validation rows to compare with."
            )
    return notes


def _show_seconds(seconds: float) -> str:
    for size, name in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}s"
    return f"{seconds:.0f} seconds"
