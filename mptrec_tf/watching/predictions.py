"""The distribution of each task's served predictions, in all and by day, without holding them."""

import collections
import dataclasses

import numpy as np

from mptrec_tf.data.distributions import Histogram, distribution_from_plain, jensen_shannon
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.watching.days import Days
from mptrec_tf.watching.logged_requests import Served
from mptrec_tf.watching.watched_version import WatchedVersion


@dataclasses.dataclass(frozen=True)
class PredictionReport:
    """Served predictions of a task beside those on the validation rows.

    Attributes:
      task: str.
      name: str. The task's name, or that of one of its numbers as "rating:5".
      rows: int. Served rows that were predicted.
      skew: Optional float. The Jensen-Shannon divergence from the validation rows.
      validation: Optional. The distribution there; None if an earlier release trained the task.
      shares: The served shares in the same bins.
      mean: float. The mean served prediction.
      mean_by_day: That by day.
    """

    task: str
    name: str
    rows: int
    skew: float | None
    validation: Histogram | None
    shares: tuple[float, ...]
    mean: float
    mean_by_day: dict[str, float]


class Predictions:
    """Counts served predictions.

    Args:
      version: The version that is watched.
    """

    def __init__(self, version: WatchedVersion):
        self._version = version
        self._baselines: dict[str, Histogram] = {}
        for of in version.task_baselines.values():
            for name, plain in of["predictions"].items():
                self._baselines[name] = distribution_from_plain(plain)
        self._counts: dict[str, np.ndarray] = {}
        self._sums: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
        self._rows: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)

    def add(self, served: Served) -> None:
        """Adds the rows of some requests."""
        days = Days(served.times)
        names = [*days.names, ""]  # -1, the last one, is that of rows without a time
        for task in self._version.tasks:
            for name, values in task.prediction_columns(served.predictions[task.name]).items():
                known = ~np.isnan(values)
                of_known = values[known]
                if name in self._baselines:
                    edges = self._baselines[name].edges
                    places = np.searchsorted(edges, of_known, side="right")
                    counts = np.bincount(places, minlength=len(edges) + 1)
                    self._counts[name] = self._counts.get(name, 0) + counts
                of = days.of[known] % len(names)
                sums = np.bincount(of, of_known.astype(np.float64), minlength=len(names))
                rows = np.bincount(of, minlength=len(names))
                self._sums[name].update(dict(zip(names, sums.tolist(), strict=True)))
                self._rows[name].update(dict(zip(names, rows.tolist(), strict=True)))

    def count_rows(self, task: Task) -> dict[str, int]:
        """Returns how many rows have a prediction of a task, by day; "" is that of no time."""
        counts = self._rows[_list_columns(task)[0]]
        return {day: counts[day] for day in sorted(counts) if counts[day]}

    def describe(self) -> list[PredictionReport]:
        """Returns a report of each number of each task's predictions."""
        reports = []
        for task in self._version.tasks:
            for name in _list_columns(task):
                rows, sums = self._rows[name], self._sums[name]
                total = sum(rows.values())
                validation, skew, shares = self._baselines.get(name), None, ()
                if validation and total:
                    shares = self._counts[name] / self._counts[name].sum()
                    skew = jensen_shannon(np.array(validation.shares), shares)
                    shares = tuple(shares.tolist())
                by_day = {day: sums[day] / rows[day] for day in sorted(rows) if day and rows[day]}
                mean = sum(sums.values()) / total if total else float("nan")
                reports.append(
                    PredictionReport(task.name, name, total, skew, validation, shares, mean, by_day)
                )
        return reports


def _list_columns(task: Task) -> list[str]:
    shape = (0,) if task.outputs == 1 else (0, task.outputs)
    return list(task.prediction_columns(np.zeros(shape)))
