"""The tables over several tasks: mean ranks, and ours against each rival."""

import math
from typing import Any

import pandas as pd
from scipy import stats

from mptrec_tf.benchmark.results import Results
from mptrec_tf.benchmark.significance import LEVEL, adjust, rank_models
from mptrec_tf.benchmark.tables import NONE, Table, select_new_task_rows


def list_rankings(results: Results) -> dict[str, pd.DataFrame]:
    """Returns mean scores over seeds, tasks by methods, of what can be ranked over tasks."""
    two = results.select(kind="train", role="two_tasks", share=1.0)
    of_tasks = [select_new_task_rows(results, task) for task in results.new]
    new = pd.concat(of_tasks) if of_tasks else two[:0]
    frames = {}
    for title, rows in (("models on the old tasks", two), ("methods on the new tasks", new)):
        if not rows.empty:
            frames[title] = rows.pivot_table(
                index=["data", "task"], columns="method", values="score", aggfunc="mean"
            )
    return frames


def make_rank_tables(results: Results) -> list[Table]:
    """Returns the mean ranks of methods over tasks, with Friedman's and Nemenyi's tests."""
    tables = []
    for title, scores in list_rankings(results).items():
        ranks = rank_models(scores)
        if ranks is None:
            continue
        best = min(ranks.mean.values())
        numbers = pd.DataFrame(
            [
                {"method": m, "mean rank": r, "behind the best": r - best}
                for m, r in ranks.mean.items()
            ]
        )
        shown = numbers.assign(
            **{
                "mean rank": [f"{r:.2f}" for r in numbers["mean rank"]],
                "behind the best": [
                    f"{d:.2f}" + ("" if d >= ranks.critical_distance else " ≈")
                    for d in numbers["behind the best"]
                ],
            }
        )
        few = " With so few tasks these tests find next to nothing." if ranks.tasks < 8 else ""
        note = (
            f"Over {ranks.tasks} tasks (means over seeds). Friedman's test that all are the same: "
            f"p = {ranks.p:.2g}. Nemenyi's critical distance at {LEVEL}: "
            f"{ranks.critical_distance:.2f}; ≈: no farther from the best.{few}"
        )
        tables.append(Table(f"Mean ranks: {title}", note, shown, numbers))
    return tables


def list_duels(results: Results) -> list[dict[str, Any]]:
    """Returns the first head against every other way to learn each new task.

    Returns:
      `task`, `rival`, `score`, `rival_score`, `difference`, `error`, and `p`, which is adjusted
      for the number of tasks.
    """
    duels = []
    for task in results.new:
        rows = select_new_task_rows(results, task)
        methods = list(dict.fromkeys(rows.method))
        if not methods:
            continue
        ours = next((m for m in methods if m.endswith("then auto")), methods[0])
        means = rows.groupby("method").score.mean()
        for rival in methods:
            if rival != ours:
                d = results.subtract(rows.data.iloc[0], task, ours, rival, rows)
                duels.append(
                    {
                        "task": task,
                        "ours": ours,
                        "rival": rival,
                        "score": means[ours],
                        "rival_score": means[rival],
                        "difference": d.mean,
                        "error": d.error,
                        "p": d.p,
                    }
                )
    for rival in {duel["rival"] for duel in duels}:
        of = [duel for duel in duels if duel["rival"] == rival]
        for duel, p in zip(of, adjust([duel["p"] for duel in of]), strict=True):
            duel["p"] = p
    return duels


def judge(difference: float, p: float) -> str:
    """Returns "win", "loss" or "tie"; empty for an unknown difference."""
    if math.isnan(difference) or math.isnan(p):
        return ""
    if p >= LEVEL:
        return "tie"
    return "win" if difference > 0 else "loss"


def make_duel_tables(results: Results) -> list[Table]:
    """Returns ours against each rival on each new task, and wins, ties and losses."""
    duels = pd.DataFrame(list_duels(results))
    if duels.empty:
        return []
    duels["verdict"] = [judge(d, p) for d, p in zip(duels.difference, duels.p, strict=True)]
    shown = pd.DataFrame({"task": list(dict.fromkeys(duels.task))}).set_index("task")
    summary = []
    shown[duels.ours.iloc[0]] = [f"{duels[duels.task == t].score.iloc[0]:.4f}" for t in shown.index]
    for rival, of in duels.groupby("rival", sort=False):
        by_task = of.set_index("task")
        shown[rival] = [
            f"{r.rival_score:.4f}: {r.difference:+.4f} ± {r.error:.4f} {r.verdict}"
            for _, r in by_task.reindex(shown.index).iterrows()
        ]
        known = of.difference.dropna()
        p = stats.wilcoxon(known).pvalue if len(known) > 1 and known.any() else math.nan
        summary.append(
            {
                "against": rival,
                **{
                    f"{v}s" if v != "loss" else "losses": int((of.verdict == v).sum())
                    for v in ("win", "tie", "loss")
                },
                "tasks": len(known),
                "mean difference": known.mean(),
                "worst": known.min(),
                "worst task": by_task.difference.idxmin() if len(known) else "",
                "p over tasks (Wilcoxon)": p,
            }
        )
    numbers = pd.DataFrame(summary)
    text = numbers.assign(
        **{c: [f"{v:+.4f}" for v in numbers[c]] for c in ("mean difference", "worst")},
        **{
            "p over tasks (Wilcoxon)": [
                NONE if math.isnan(v) else f"{v:.2g}" for v in numbers["p over tasks (Wilcoxon)"]
            ]
        },
    )
    note = (
        f"{duels.ours.iloc[0]} minus each rival, ± standard error. A win or a loss is a difference "
        f"beyond noise on the same test rows (p below {LEVEL}, adjusted for the number of tasks)."
    )
    return [
        Table("Wins, ties and losses", note, text, numbers),
        Table("By task", note, shown.reset_index(), duels),
    ]
