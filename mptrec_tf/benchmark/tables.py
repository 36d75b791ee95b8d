"""The tables of a benchmark, from its results.

Cells are Markdown: **best**, *second best*. A score that does not differ from the best beyond noise
is marked with ≈. Scores are of the test rows.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import pandas as pd

from mptrec_tf.benchmark.results import Results, mean_or_none
from mptrec_tf.benchmark.significance import LEVEL

NONE = "-"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
      title: str.
      note: str. How to read it.
      shown: Its cells as text.
      numbers: The same in numbers, for CSV files.
    """

    title: str
    note: str
    shown: pd.DataFrame
    numbers: pd.DataFrame


_SCORES = (
    "Mean over seeds and standard deviation, on the test rows. Bold: the best; italic: the second "
    "best; ≈: no difference from the best beyond noise (paired on the same rows, adjusted for the "
    f"number of rows, p of at least {LEVEL})."
)


def format_count(value: float | None) -> str:
    """Returns a number with separators of thousands."""
    return NONE if value is None or math.isnan(value) else f"{value:,.0f}"


def format_large(value: float | None) -> str:
    """Returns a large number with its power of ten.

    Example:
      >>> format_large(1.234e12)
      '1.23e+12'
    """
    return NONE if value is None or math.isnan(value) else f"{value:.3g}"


def format_score(row: pd.Series, places: int = 4) -> str:
    """Returns a score with its deviation and marks, from a row of `Results.compare_to_best`."""
    if math.isnan(row["mean"]):
        return f"failed ({row['failed']:.0f})" if row["failed"] else NONE
    text = f"{row['mean']:.{places}f}"
    if row["seeds"] > 1:
        text += f" ± {row['deviation']:.{places}f}"
    text = {1: f"**{text}**", 2: f"*{text}*"}.get(row["rank"], text)
    if row["rank"] > 1 and row["p"] >= LEVEL:
        text += " ≈"
    if row["failed"]:
        text += f" ({row['failed']:.0f} failed)"
    return text


def _collect(results: Results, rows: pd.DataFrame, extra: Sequence[tuple[str, str, Callable]]):
    """Returns a table of methods (rows) by tasks (columns), with columns of means of fields.

    Args:
      results: The results.
      rows: Rows of one data set.
      extra: Title, field of the rows, and how to show it.
    """
    methods = list(dict.fromkeys(rows.method))
    shown, numbers = pd.DataFrame(index=methods), pd.DataFrame(index=methods)
    for task in dict.fromkeys(rows.task):
        compared = results.compare_to_best(rows[rows.task == task]).reindex(methods)
        compared["failed"] = compared["failed"].fillna(0)
        name = f"{task} {results.task(task).score_name}"
        shown[name] = [format_score(row) for _, row in compared.iterrows()]
        numbers[name] = compared["mean"]
        for column in ("deviation", "seeds", "failed", "behind", "p"):
            numbers[f"{name} {column}"] = compared[column]
    for title, field, show in extra:
        values = [mean_or_none(rows[rows.method == method][field]) for method in methods]
        shown[title] = [show(value) for value in values]
        numbers[title] = values
    return shown, numbers


def _finish(title: str, note: str, shown: pd.DataFrame, numbers: pd.DataFrame, first: str) -> Table:
    return Table(
        title,
        note,
        shown.rename_axis(first).reset_index(),
        numbers.rename_axis(first).reset_index(),
    )


_TRAINING = (
    ("parameters", "parameters", format_count),
    ("FLOPs of training", "flops", format_large),
    ("seconds", "seconds", format_count),
    ("epochs", "epochs", format_count),
)


def make_two_task_tables(results: Results) -> list[Table]:
    """Returns the paper's table 3: models that are trained on the old tasks."""
    tables = []
    rows = results.select(kind="train", role="two_tasks", share=1.0)
    for data in dict.fromkeys(rows.data):
        shown, numbers = _collect(results, sort_by_score(rows[rows.data == data]), _TRAINING)
        tables.append(
            _finish(f"Models of {', '.join(results.old)}; {data}", _SCORES, shown, numbers, "model")
        )
    return tables


def select_new_task_rows(results: Results, task: str) -> pd.DataFrame:
    """Returns the ways to learn a new task from all labels: heads, jointly, alone."""
    rows = results.select(task=task, share=1.0)
    added = (rows.kind == "add_task") & ((rows.role == "two_tasks") | ~rows.trained)
    return rows[added | rows.role.isin(["joint", "alone"])]


def sort_by_score(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns rows by the mean score of their method over all tasks, the best first."""
    means = rows.groupby("method").score.mean()
    return rows.loc[rows.method.map(means).sort_values(ascending=False, kind="stable").index]


def make_new_task_tables(results: Results) -> list[Table]:
    """Returns the paper's table 5: the ways to learn each new task, and what they cost."""
    served = results.served
    costs = {}
    if "one_more_microseconds" in served:
        measured = served[served["one_more_microseconds"] > 0]  # less is less than the noise
        costs = dict(zip(measured["head"], measured["one_more_microseconds"], strict=True))
    tables = []
    for task in results.new:
        rows = sort_by_score(select_new_task_rows(results, task))
        if rows.empty:
            continue
        shown, numbers = _collect(results, rows, _TRAINING)
        of = {method: rows[rows.method == method] for method in shown.index}
        shares = [
            mean_or_none(r.parameters / r.joint_parameters)
            if (r.kind == "add_task").all()
            else None
            for r in of.values()
        ]
        shown.insert(2, "share of joint", [NONE if s is None else f"{s:.1%}" for s in shares])
        numbers["share of joint"] = shares
        sizes = [mean_or_none(r.bytes) for r in of.values()]
        shown["bytes"], numbers["bytes"] = list(map(format_count, sizes)), sizes
        more = [_find_cost(r, costs) for r in of.values()]
        shown["one more served, µs"] = [NONE if m is None else f"{m:.0f}" for m in more]
        numbers["one more served, µs"] = more
        chosen = [
            ", ".join(filter(None, r.chosen)) if (r["head"] == "auto").all() else ""
            for r in of.values()
        ]
        shown["auto chose"], numbers["auto chose"] = chosen, chosen
        note = (
            f"{_SCORES} Parameters: those that are trained; share: of what joint training of the "
            "same model trains. FLOPs and seconds of heads include encoding all training rows "
            "once, and for `auto` all candidates. Bytes: of the task package, or of all weights."
        )
        tables.append(_finish(f"New task {task}", note, shown, numbers, "method"))
    return tables


def is_head(rows: pd.DataFrame) -> bool:
    """Whether all rows are of heads of new tasks."""
    return bool((rows.kind == "add_task").all())


def _find_cost(rows: pd.DataFrame, costs: dict[str, float]) -> float | None:
    """Returns the cost of one more task when served, if it was measured for this kind of head."""
    heads = set(rows.chosen.dropna()) if is_head(rows) else set()
    return costs.get(heads.pop()) if len(heads) == 1 else None


def make_ablation_tables(results: Results) -> list[Table]:
    """Returns the ablations of stage 1, on the old tasks, and the sensitivity to loss weights."""
    tables = []
    for role, title in (
        ("ablation", "Ablations of stage 1"),
        ("sensitivity", "Sensitivity to loss weights"),
    ):
        rows = results.select(kind="train", role=role)
        rows = rows[rows.variant != ""]
        if rows.empty:
            continue
        model, data = rows.model.iloc[0], rows.data.iloc[0]
        full = results.select(kind="train", role="two_tasks", model=model, data=data, share=1.0)
        shown, numbers = _collect(results, pd.concat([full, rows]), _TRAINING)
        tables.append(_finish(title, _SCORES, shown, numbers, "model"))
    for task in results.new:
        ablated = results.select(kind="add_task", role="ablation", task=task, share=1.0)
        if ablated.empty:
            continue
        full = results.select(
            kind="add_task",
            role="two_tasks",
            task=task,
            model=ablated.model.iloc[0],
            head=set(ablated["head"]),
            share=1.0,
        )
        shown, numbers = _collect(results, pd.concat([full, ablated]), _TRAINING)
        title = f"Ablations of stage 1, for the new task {task}"
        tables.append(_finish(title, _SCORES, shown, numbers, "method"))
    return tables


def select_label_rows(results: Results, task: str) -> pd.DataFrame:
    """Returns the ways to learn a new task that were tried with fewer labels, with all shares."""
    rows = results.select(task=task, kind=["train", "add_task"])
    rows = rows[(rows.role == "alone") | ((rows.kind == "add_task") & (rows.variant == ""))]
    return rows[rows.method.isin(set(rows[rows.share < 1].method))]


def make_label_tables(results: Results) -> list[Table]:
    """Returns the scores of each new task by the share of training rows that have a label."""
    tables = []
    for task in results.new:
        rows = select_label_rows(results, task)
        if rows.empty:
            continue
        shown, numbers = pd.DataFrame(), pd.DataFrame()
        for share in sorted(set(rows.share)):
            compared = results.compare_to_best(rows[rows.share == share])
            column = f"{100 * share:g}% of labels"
            shown = shown.join(
                pd.Series({m: format_score(row) for m, row in compared.iterrows()}, name=column),
                how="outer",
            )
            numbers = numbers.join(compared["mean"].rename(column), how="outer")
        order = list(dict.fromkeys(rows.method))
        shown, numbers = shown.reindex(order).fillna(NONE), numbers.reindex(order)
        for share in sorted(set(rows.share)):
            column, of = f"{100 * share:g}% of labels", rows[rows.share == share]
            positives = mean_or_none([_count_positives(results, key, task) for key in of.key])
            numbers.loc["positive training rows", column] = positives
            shown.loc["positive training rows", column] = format_count(positives)
            chosen = of[of["head"] == "auto"].chosen.dropna()
            shown.loc["auto chose", column] = ", ".join(chosen) or NONE
        title = f"New task {task} with fewer labels"
        tables.append(_finish(title, _SCORES, shown, numbers, "method"))
    return [*_make_label_summary(results), *tables]


def _make_label_summary(results: Results) -> list[Table]:
    """Returns the mean over new tasks that have the same scores of all methods, if several have."""
    rows = pd.concat([results.rows[:0], *(select_label_rows(results, t) for t in results.new)])
    if rows.empty:
        return []
    means = rows.pivot_table(index=["method", "task"], columns="share", values="score")
    means = means.groupby("method", sort=False).agg(["mean", "count"])
    tasks = int(means.xs("count", axis=1, level=1).max().max())
    if tasks < 2:
        return []
    shown, numbers = pd.DataFrame(index=means.index), pd.DataFrame(index=means.index)
    for share in sorted(set(rows.share)):
        column, of = f"{100 * share:g}% of labels", means[share]
        numbers[column] = of["mean"].where(of["count"] == tasks)
        shown[column] = [NONE if pd.isna(v) else f"{v:.4f}" for v in numbers[column]]
    note = f"Mean over {tasks} new tasks, on the test rows; methods that were run on all of them."
    return [_finish("New tasks with fewer labels", note, shown, numbers, "method")]


def _count_positives(results: Results, key: str, task: str) -> int | None:
    """Returns the number of positive training rows of a cell; None for other kinds of tasks."""
    data = results.raw[key].get("data")
    return data and data["splits"]["train"]["tasks"][task].get("positives")
