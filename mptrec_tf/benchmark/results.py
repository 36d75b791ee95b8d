"""The results of a benchmark as data frames, and comparisons on the same test rows."""

import functools
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mptrec_tf.benchmark.place import RESULTS
from mptrec_tf.benchmark.significance import Difference, adjust, combine
from mptrec_tf.data.tasks.base import Task, drop_unlabelled
from mptrec_tf.data.tasks.registry import task_from_plain
from mptrec_tf.errors import InputError

# Fields of result rows that become columns as they are.
_FIELDS = (
    *("parameters", "joint_parameters", "bytes", "flops", "seconds", "epochs", "best_epoch"),
    *("chosen", "old_tasks_unchanged", "tuned"),
)


class Results:
    """Finished and failed cells.

    Args:
      directory: The output directory.
      grid: What all results have in common.

    Attributes:
      rows: A data frame with a row for each cell and scored task: `key`, `kind`, `role`, `model`,
        `variant`, `head`, `method` (all of these in words), `task`, `tasks`, `seed`, `share`,
        `data`, `trained`, `failed`, `score` (test rows), `validation`, and fields of the results.
      served: A data frame with a row for each measurement of serving.
      failures: A data frame of the failed cells: `cell`, `why`.

    Raises:
      InputError: if there are no results.
    """

    def __init__(self, directory: str, grid: Mapping[str, Any]):
        self.directory, self.grid = directory, grid
        path = os.path.join(directory, RESULTS)
        try:
            with open(path, encoding="utf-8") as file:
                self.raw = {row["key"]: row for row in map(json.loads, file)}
        except FileNotFoundError as error:
            raise InputError(
                f"{directory} holds no results ({RESULTS} is missing); run the benchmark first."
            ) from error
        except (ValueError, KeyError) as error:
            raise InputError(f"{path} is damaged ({error!r}); run the benchmark again.") from error
        self._prepared = {
            row["cell"]["name"]: row
            for row in self.raw.values()
            if row["cell"]["kind"] == "prepare" and row["status"] == "ok"
        }
        # Of other tasks there are failures alone.
        known = {task for row in self._prepared.values() for task in row["tasks"]}
        self.old, self.new = (
            tuple(task for task in grid[which] if task in known) for which in ("tasks", "new_tasks")
        )
        scored = [row for row in self.raw.values() if row["cell"]["kind"] in _DESCRIBED]
        rows = pd.DataFrame([r for row in scored for r in _list_rows(row)], columns=_COLUMNS)
        self.rows = rows.astype({"failed": bool, "trained": bool, "share": float, "score": float})
        self.served = pd.DataFrame(
            [
                {**row["cell"]["backbone"], **row, "head": row["cell"]["head"]}
                for row in self.raw.values()
                if row["cell"]["kind"] == "serve" and row["status"] == "ok"
            ]
        )
        self.failures = pd.DataFrame(
            [
                {"cell": row["title"], "why": row["error"]}
                for row in self.raw.values()
                if row["status"] == "failed"
            ],
            columns=["cell", "why"],
        )

    def select(self, **wanted: Any) -> pd.DataFrame:
        """Returns the rows whose columns have some values; a list means any of its values."""
        rows = self.rows
        for column, value in wanted.items():
            values = value if isinstance(value, list | tuple | set) else [value]
            rows = rows[rows[column].isin(list(values))]
        return rows

    def task(self, name: str) -> Task:
        """Returns a task."""
        for prepared in self._prepared.values():
            if name in prepared["tasks"]:
                return task_from_plain(prepared["tasks"][name])
        raise InputError(f"{self.directory} has no prepared rows of task {name!r}.")

    def features(self) -> int | None:
        """Number of raw features of the rows that new tasks read."""
        return next((row["features"] for row in self._prepared.values()), None)

    @functools.lru_cache(maxsize=512)  # noqa: B019 (lives as long as a report is rendered)
    def arrays(self, key: str) -> Mapping[str, np.ndarray]:
        """Returns the arrays of a cell; empty if it has none."""
        path = os.path.join(self.directory, "arrays", f"{key}.npz")
        if not os.path.exists(path):
            return {}
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    def history(self, key: str) -> pd.DataFrame:
        """Returns the logs of a cell's training, a row for each epoch, counted from 1."""
        logs = pd.DataFrame(self.raw[key].get("history", []))
        logs.index = range(1, len(logs) + 1)
        return logs

    def subtract(self, data: str, task: str, first: str, second: str, rows=None) -> Difference:
        """Compares two methods on the test rows, over the seeds that both have.

        Args:
          data: Name of the rows.
          task: The task.
          first: A method.
          second: Another one.
          rows: The rows to look among. Defaults to all with all labels.
        """
        rows = self.select(share=1.0) if rows is None else rows
        among = rows[(rows.data == data) & (rows.task == task) & ~rows.failed]
        keys = [
            dict(zip(of.seed, of.key, strict=True))
            for of in (among[among.method == first], among[among.method == second])
        ]
        labels = self.arrays(self._prepared[data]["key"]) if data in self._prepared else {}
        kind, differences, errors = self.task(task), [], []
        for seed in sorted(keys[0].keys() & keys[1].keys()):
            name = f"prediction/{task}"
            values = [self.arrays(of[seed]).get(name) for of in keys]
            if any(value is None for value in values) or f"label/{task}" not in labels:
                continue
            label, *parts = drop_unlabelled(labels[f"label/{task}"], *values, labels.get("weight"))
            difference, error = kind.score_difference(label, *parts)
            differences.append(difference)
            errors.append(error)
        return combine(differences, errors)

    def compare_to_best(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Compares the methods of one task, on the same rows, with the best of them.

        Args:
          rows: Rows of one task and one data set.

        Returns:
          Indexed by method, in the order of the rows: `mean`, `deviation` over seeds (NaN for one),
          `seeds`, `failed` (how many), `rank` (1 is the best mean), `behind`, and `p` of the
          difference from the best, adjusted for the number of methods.
        """
        order = list(dict.fromkeys(rows.method))
        scores = rows.groupby("method").score
        table = pd.DataFrame(
            {
                "mean": scores.mean(),
                "deviation": scores.std(ddof=1),
                "seeds": scores.count(),
                "failed": rows.groupby("method").failed.sum(),
            }
        ).reindex(order)
        table["rank"] = table["mean"].rank(ascending=False, method="min")
        if not table["mean"].notna().any():
            return table.assign(behind=math.nan, p=math.nan)
        best = table["mean"].idxmax()
        data, task = rows.data.iloc[0], rows.task.iloc[0]
        differences = {m: self.subtract(data, task, best, m, rows) for m in order if m != best}
        p_values = dict(zip(differences, adjust([d.p for d in differences.values()]), strict=True))
        table["behind"] = [differences[m].mean if m in differences else 0.0 for m in order]
        table["p"] = [p_values.get(m, math.nan) for m in order]
        return table


_DESCRIBED = ("train", "add_task")
_COLUMNS = (
    *("key", "kind", "role", "model", "variant", "head", "method", "task", "tasks", "seed"),
    *("share", "data", "trained", "failed", "score", "validation", *_FIELDS),
)


def _list_rows(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the rows of one cell, one for each task."""
    cell = row["cell"]
    train = cell if cell["kind"] == "train" else cell["backbone"]
    head = cell.get("head", "")
    tasks = cell["tasks"] if cell["kind"] == "train" else [cell["task"]]
    scores = row.get("scores", {"test": {}, "validation": {}})
    model = " ".join(filter(None, [train["model"], train["variant"]]))
    return [
        {
            "key": row["key"],
            "kind": cell["kind"],
            "role": train["role"],
            "model": train["model"],
            "variant": train["variant"],
            "head": head,
            "method": _name_method(cell["kind"], train["role"], model, head),
            "task": task,
            "tasks": tuple(train["tasks"]),
            "seed": train["seed"],
            "share": cell["share"],
            "data": train["data"]["name"],
            "trained": train["trained"],
            "failed": row["status"] != "ok",
            "score": _to_float(scores["test"].get(task)),
            "validation": _to_float(scores["validation"].get(task)),
            **{name: row.get(name) for name in _FIELDS},
        }
        for task in tasks
    ]


def _name_method(kind: str, role: str, model: str, head: str) -> str:
    if kind == "add_task":
        return f"{model}, then {head}"
    return {"joint": f"{model}, joint training", "alone": f"{model}, alone"}.get(role, model)


def _to_float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def mean_or_none(values: Sequence[Any]) -> float | None:
    """Returns the mean of the values that are numbers; None if none is."""
    known = [float(v) for v in values if v is not None and not pd.isna(v)]
    return float(np.mean(known)) if known else None
