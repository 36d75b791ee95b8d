"""The tables of costs: of one more task, for the old tasks, and of the search for settings."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from mptrec_tf.benchmark.results import Results, mean_or_none
from mptrec_tf.benchmark.tables import NONE, Table


def make_cost_tables(results: Results) -> list[Table]:
    """Returns what one more task costs: as a head, as a model of its own, and jointly."""
    if results.served.empty:
        return []
    features = results.features()
    added = results.select(kind="add_task", share=1.0, role="two_tasks", task=results.new)
    rows = []
    for _, one in results.served[results.served["head"] != ""].iterrows():
        of = added[(added.model == one["model"]) & (added.chosen == one["head"])]
        measured = one["one_more_microseconds"] > 0
        rows.append(
            {
                "one more task as": f"head {one['head']} on {one['model']}",
                "trained parameters": mean_or_none(of.parameters),
                "bytes": mean_or_none(of.bytes),
                "µs of a request": one["one_more_microseconds"] if measured else math.nan,
                "of the model": one["one_more_share"] if measured else math.nan,
                "µs of the first": one["first_microseconds"],
                "features fetched": 0,
                "models to watch": 0,
                "old tasks change": "no",
            }
        )
    base = results.served[results.served["head"] != ""]["alone_milliseconds"].median()
    for _, one in results.served[results.served["head"] == ""].iterrows():
        of = results.select(kind="train", role="alone", share=1.0, model=one["model"])
        rows.append(
            {
                "one more task as": f"a model of its own ({one['model']})",
                "trained parameters": mean_or_none(of.parameters),
                "bytes": one["saved_model_bytes"],
                "µs of a request": 1e3 * one["alone_milliseconds"],
                "of the model": 1e0 * one["alone_milliseconds"] / base,
                "features fetched": features,
                "models to watch": 1,
                "old tasks change": "no",
            }
        )
    for model in dict.fromkeys(results.select(role="joint").model):
        of = results.select(kind="train", role="joint", model=model)
        rows.append(
            {
                "one more task as": f"joint training of {model} from scratch",
                "trained parameters": mean_or_none(of.parameters),
                "bytes": mean_or_none(of.bytes),
                "features fetched": 0,
                "models to watch": 0,
                "old tasks change": "yes",
            }
        )
    numbers = pd.DataFrame(rows)
    shown = pd.DataFrame(
        {
            name: [
                _show_cost(name, value) if not isinstance(value, str) else value
                for value in numbers[name]
            ]
            for name in numbers
        }
    )
    candidates = int(results.served["candidates"].iloc[0])
    note = (
        f"Medians of requests with {candidates} rows. `of the model`: of a request to the model "
        "without added tasks. A separate model fetches its features again, is one more SavedModel "
        "(its bytes are those on disk) and one more version to watch. -: less than the noise, or "
        "nothing to measure."
    )
    return [Table("What one more task costs when it is served", note, shown, numbers)]


def _show_cost(name: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return NONE
    return f"{value:.1%}" if name == "of the model" else f"{value:,.0f}"


def make_old_task_tables(results: Results) -> list[Table]:
    """Returns what joint training does to each old task, against what a new head does."""
    rows = []
    everything = results.select(kind="train", share=1.0, role=["two_tasks", "joint"])
    for model in dict.fromkeys(everything[everything.role == "joint"].model):
        for new in results.new:
            joint = everything[
                (everything.model == model) & (everything.tasks == (*results.old, new))
            ]
            if joint.empty:
                continue
            of_data = joint.data.iloc[0]
            before = everything[
                (everything.model == model)
                & (everything.role == "two_tasks")
                & (everything.data == of_data)
            ]
            heads = results.select(kind="add_task", task=new, model=model, failed=False)
            unchanged = heads.old_tasks_unchanged.eq(True).sum()
            for old in results.old:
                both = pd.concat([before, joint])
                change = results.subtract(
                    of_data, old, f"{model}, joint training", model, both[both.task == old]
                )
                rows.append(
                    {
                        "model": model,
                        "new task": new,
                        "old task": old,
                        "before": before[before.task == old].score.mean(),
                        "after joint training": joint[joint.task == old].score.mean(),
                        "change": change.mean,
                        "standard error": change.error,
                        "p": change.p,
                        "change by a new head": _describe_change(unchanged, len(heads)),
                        "heads that left it unchanged": f"{unchanged} of {len(heads)}",
                    }
                )
    if not rows:
        return []
    numbers = pd.DataFrame(rows)
    shown = numbers.copy()
    for name in ("before", "after joint training"):
        shown[name] = [f"{v:.4f}" for v in numbers[name]]
    shown["change"] = [NONE if math.isnan(v) else f"{v:+.4f}" for v in numbers["change"]]
    shown["standard error"] = [
        NONE if math.isnan(v) else f"{v:.4f}" for v in numbers["standard error"]
    ]
    shown["p"] = [NONE if math.isnan(v) else f"{v:.2g}" for v in numbers["p"]]
    note = (
        "A new head leaves the old tasks' predictions for the test rows as they are, compared bit "
        "for bit before and after; joint training is a new model."
    )
    return [Table("What a new task does to the old tasks", note, shown, numbers)]


def _describe_change(unchanged: int, heads: int) -> str:
    if not heads:
        return NONE
    return "0, bit for bit" if unchanged == heads else "CHANGED"


def make_tuning_tables(results: Results) -> list[Table]:
    """Returns what the search for hyper-parameters tried and chose for each model."""
    rows = []
    trained = results.select(kind="train", role=["two_tasks", "joint", "alone"], share=1.0)
    for (role, model, tasks), of in trained.groupby(["role", "model", "tasks"], sort=False):
        tuned = next((t for t in of.tuned if isinstance(t, dict)), None)
        if tuned:
            scores = tuned["tried"]
            rows.append(
                {
                    "model": model,
                    "role": role,
                    "tasks": ", ".join(tasks),
                    "tried": tuned["budget"],
                    "winner": tuned["winner"],
                    "validation score, sum over tasks": scores[tuned["winner"]],
                    "of the defaults": scores.get("defaults"),
                }
            )
    if not rows:
        return []
    numbers = pd.DataFrame(rows)
    shown = numbers.assign(**{c: [f"{v:.4f}" for v in numbers[c]] for c in numbers.columns[-2:]})
    note = "Each model got the same budget on the validation rows, with the first seed."
    return [Table("Hyper-parameters", note, shown, numbers)]


def make_published_tables(
    results: Results, published: Mapping[str, Sequence[tuple[str, str, float]]]
) -> list[Table]:
    """Returns what the paper publishes for these tasks, as (task, method, score) by data set."""
    rows = published.get(results.grid["source"].get("dataset", ""), ())
    numbers = pd.DataFrame(
        [
            {"task": task, "method": method, "test AUC": value}
            for task, method, value in rows
            if task in (*results.old, *results.new)
        ]
    )
    if numbers.empty:
        return []
    shown = numbers.assign(**{"test AUC": [f"{value:.4f}" for value in numbers["test AUC"]]})
    note = "As the paper publishes it (arXiv 2408.17214); its rows are encoded in another way."
    return [Table("Published", note, shown, numbers)]
