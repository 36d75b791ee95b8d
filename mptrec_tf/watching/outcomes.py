"""Labels that came after the requests, joined with these by an id.

A row whose label has not come is no negative: it may be late, or lost, and a model would look too
high on the newest days. It is counted, and left out of scores.
"""

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from mptrec_tf.data.canonical import canonicalize, is_missing
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.row_times import read_times
from mptrec_tf.data.sources.tabular import list_shards, read_file
from mptrec_tf.data.tasks.base import SKIP, Task
from mptrec_tf.errors import InputError
from mptrec_tf.watching.logged_requests import Served
from mptrec_tf.watching.row_ids import ID_SEPARATOR, unify_numbers
from mptrec_tf.watching.watched_version import WatchedVersion


class Labels:
    """The labels of the tasks, by id.

    A later row of an id replaces an earlier one, task by task, where it has a label; where labels
    have times, one without a time is the earliest. Rows without an id are left out.

    Args:
      paths: Files, globs or folders of any format that the project reads, with the columns of the
        ids and of the tasks' labels. Files need not have those of all tasks.
      version: The version that is watched, whose spec has the label rules and the text format.
      id_columns: Columns that together identify a row.
      time_column: Optional. The column of the labels' times (seconds since 1970, or ISO 8601).
        Some may be missing: what did not happen has no time.

    Attributes:
      ids: All ids.
      values: By task that has any label, [ids]; NaN where an id has none. None has if no label
        has come yet.
      times: By task, [ids] float64. The times of these labels; NaN for none.
      replaced: int. Labels that a later row of the same id replaced.
      without_id: int. Rows without an id.

    Raises:
      InputError: for a file that cannot be read, or lacks a column of the ids; for files with rows
        that have no task's columns; or for a value that the spec does not allow, with its place.
    """

    def __init__(
        self,
        paths: Sequence[str],
        version: WatchedVersion,
        id_columns: Sequence[str],
        time_column: str | None = None,
    ):
        self._spec, self._columns, self._time = version.spec, tuple(id_columns), time_column
        self.without_id = 0
        # A missing label is one that has not come.
        tasks = [dataclasses.replace(task, missing=SKIP) for task in version.tasks]
        parts: dict[str, list[pd.DataFrame]] = collections.defaultdict(list)
        fits = []  # of each block, whether it has the columns of a task
        for path in list_shards(paths):
            for block in filter(len, read_file(path, self._spec.text_format, given=paths)):
                fits.append(self._add(block, tasks, parts))
        if fits and not any(fits):
            wanted = ", ".join(dict.fromkeys(task.label for task in tasks))
            raise InputError(
                f"{', '.join(paths)} holds no label of any task of {version.path}; give files with "
                f"some of the columns {wanted}."
            )
        self.ids = pd.Index([], dtype=object)
        frames = {name: pd.concat(of, ignore_index=True) for name, of in parts.items()}
        if frames:
            every = pd.concat([of["id"] for of in frames.values()], ignore_index=True)
            self.ids = pd.Index(every.unique())
        self.values: dict[str, np.ndarray] = {}
        self.times: dict[str, np.ndarray] = {}
        self.replaced = 0
        for name, frame in frames.items():
            if time_column:
                frame = frame.sort_values("time", kind="stable", na_position="first")
            last = frame.drop_duplicates("id", keep="last")
            self.replaced += len(frame) - len(last)
            place = self.ids.get_indexer(last["id"])
            self.values[name] = np.full(len(self.ids), np.nan)
            self.times[name] = np.full(len(self.ids), np.nan)
            self.values[name][place] = last["label"]
            self.times[name][place] = last["time"]

    def _add(self, block: Block, tasks: Sequence[Task], parts: dict) -> bool:
        """Adds the labels of a block; returns whether it has the columns of a task."""
        for column in self._columns:
            block.check_single(column)
        texts = [unify_numbers(np.asarray(block.text(column), object)) for column in self._columns]
        known = np.all([of != "" for of in texts], axis=0)
        self.without_id += int((~known).sum())
        ids, *others = texts
        for of in others:
            ids = ids + ID_SEPARATOR + of
        times = self._read_times(block) if self._time else np.full(len(block), np.nan)
        fitting = [task for task in tasks if {task.label, *task.where} <= set(block.columns)]
        for task in fitting:
            labels = task.labels(block, self._spec.missing_values)
            has = ~np.isnan(labels) & known
            if has.any():
                frame = {"id": ids[has], "label": labels[has], "time": times[has]}
                parts[task.name].append(pd.DataFrame(frame))
        return bool(fitting)

    def _read_times(self, block: Block) -> np.ndarray:
        """Returns the times of a block's rows; NaN of those that have none."""
        times = np.full(len(block), np.nan)
        texts, codes = block.distinct(self._time)
        absent = (*self._spec.missing_values, "NaT")
        missing = np.array([is_missing(canonicalize(text), absent) for text in texts], bool)
        rows = np.flatnonzero(~missing[codes])
        if len(rows):
            times[rows], _ = read_times(block.rows(rows), self._time)
        return times


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The rows of a task whose label has come.

    Attributes:
      labels: [n].
      predictions: [n], or [n, outputs].
      times: [n]. When they were requested; NaN if the log has no time.
    """

    labels: np.ndarray
    predictions: np.ndarray
    times: np.ndarray


@dataclasses.dataclass
class JoinCounts:
    """What a join left out, over all tasks.

    Attributes:
      without_id: int. Served rows without an id.
      early: int. Labels that come before their request by more than the tolerance.
      earliest: float. The most seconds by which one does.
      several: int. Labels whose id was served several times, where the label or one of these
        requests has no time.
    """

    without_id: int = 0
    early: int = 0
    earliest: float = 0.0
    several: int = 0


class Join:
    """Joins served rows with labels.

    Args:
      labels: The labels.
      tasks: The tasks.
      tolerance: Seconds by which a label may come before its request, as clocks differ.

    Attributes:
      counts: What was left out.
    """

    def __init__(self, labels: Labels, tasks: Sequence[Task], tolerance: float):
        self._labels, self._tolerance = labels, tolerance
        self._tasks = [task for task in tasks if task.name in labels.values]
        self._places: list[np.ndarray] = []
        self._times: list[np.ndarray] = []
        self._predictions: dict[str, list[np.ndarray]] = {t.name: [] for t in self._tasks}
        self.counts = JoinCounts()

    def add(self, served: Served) -> None:
        """Adds the rows of some requests."""
        known = np.array([of is not None for of in served.ids], bool)
        self.counts.without_id += int((~known).sum())
        place = np.full(len(known), -1)
        place[known] = self._labels.ids.get_indexer(served.ids[known])
        rows = np.flatnonzero(place >= 0)
        self._places.append(place[rows])
        self._times.append(served.times[rows])
        for task in self._tasks:
            self._predictions[task.name].append(served.predictions[task.name][rows])

    def finish(self) -> Mapping[str, Outcome]:
        """Returns the rows of each task whose label has come."""
        places = np.concatenate(self._places) if self._places else np.zeros(0, int)
        times = np.concatenate(self._times) if self._times else np.zeros(0)
        outcomes = {}
        for task in self._tasks:
            parts = self._predictions[task.name]
            predictions = np.concatenate(parts) if parts else np.zeros(0, np.float32)
            outcomes[task.name] = self._match(task, places, times, predictions)
        return outcomes

    def _match(
        self, task: Task, places: np.ndarray, times: np.ndarray, predictions: np.ndarray
    ) -> Outcome:
        """Gives each label to the newest request of its id that was not after it.

        One after it, by less than the tolerance, gets it only if no other one does.
        """
        labels = self._labels.values[task.name][places]
        when = self._labels.times[task.name][places]
        first = predictions if predictions.ndim == 1 else predictions[:, 0]
        rows = np.flatnonzero(~np.isnan(labels) & ~np.isnan(first))
        later = when[rows] - times[rows]  # NaN where either is not known
        early = later < -self._tolerance
        good = rows[~early]
        in_time = ~(later[~early] < 0)
        good = good[np.lexsort((times[good], in_time, places[good]))]
        newest = np.ones(len(good), bool)
        newest[:-1] = places[good][1:] != places[good][:-1]
        chosen = good[newest]
        # Of requests with one id, only times tell which one a label is of. Rows without a time come
        # last, so one of them is chosen where there is one.
        repeated = np.isin(places[chosen], places[good[~newest]])
        several = repeated & np.isnan(when[chosen] - times[chosen])
        self.counts.several += int(several.sum())
        chosen = np.sort(chosen[~several])
        lost = np.setdiff1d(places[rows[early]], places[chosen])
        if len(lost):
            self.counts.early += len(lost)
            before = -later[early & np.isin(places[rows], lost)]
            self.counts.earliest = max(self.counts.earliest, float(before.max()))
        return Outcome(labels[chosen], predictions[chosen], times[chosen])
