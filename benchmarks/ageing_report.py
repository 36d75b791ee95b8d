"""The results of `ageing.py`: a line of JSON for each way and day, their table and their plot."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.sets.synthetic.spec import TASKS

OLD, NEW = TASKS[:3], TASKS[3]
FROZEN, HEADS, WARM, SCRATCH, JOINT = WAYS = (
    "frozen",
    "heads daily",
    "refreshed, warm",
    "refreshed, scratch",
    "joint daily",
)


def read_results(path: str) -> list[dict[str, Any]]:
    """Returns the results of a file, an object in each line; none if there is no file."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    return [json.loads(line) for line in lines[:-1]]  # the last one is empty, or was cut short


def compute_gaps(
    results: Sequence[Mapping[str, Any]], tasks: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns AUC minus the best possible by way, means over tasks and seeds, [days].

    A day that was not run is NaN.
    """
    days = range(1, max(of["day"] for of in results) + 1)
    gaps: dict[str, dict[int, list[float]]] = {way: {} for way in WAYS}
    for of in results:
        gap = np.mean([of["auc"][task] - of["best"][task] for task in tasks])
        gaps[of["way"]].setdefault(of["day"], []).append(gap)
    return {
        way: np.array([np.mean(of.get(day, np.nan)) for day in days]) for way, of in gaps.items()
    }


def make_table(results: Sequence[Mapping[str, Any]], week: int) -> str:
    """Returns cost, and AUC minus the best possible by week, in Markdown."""
    everything, added = compute_gaps(results, TASKS), compute_gaps(results, (NEW,))
    firsts = range(0, len(everything[FROZEN]), week)
    seeds = len({of["seed"] for of in results})
    head = [*(f"week {i + 1}" for i in range(len(firsts))), "added task, last week"]
    head += ["days run", "trainings", "CPU seconds"]
    lines = [f"| way | {' | '.join(head)} |", "|" + "---|" * (len(head) + 1)]
    for way in WAYS:
        of_way = [of for of in results if of["way"] == way]
        cells = [f"{np.nanmean(everything[way][first : first + week]):+.4f}" for first in firsts]
        cells.append(f"{np.nanmean(added[way][firsts[-1] :]):+.4f}")
        cells.append(f"{len(of_way) // seeds}")
        cells.append(f"{sum(of['epochs'] > 0 for of in of_way) // seeds}")
        cells.append(f"{sum(of['seconds'] for of in of_way) / seeds:,.0f}")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(results: Sequence[Mapping[str, Any]], week: int, path: str) -> None:
    """Draws AUC minus the best possible by day, a line for each way, to PATH.png and PATH.svg."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True, tight_layout=True)
    panels = (("mean of all four tasks", TASKS), (f"{NEW}, the added task", (NEW,)))
    for axis, (title, tasks) in zip(axes, panels, strict=True):
        for i, (way, gaps) in enumerate(compute_gaps(results, tasks).items()):
            days = np.arange(1, len(gaps) + 1)
            style = "--" if way == SCRATCH else "-"
            axis.plot(days, gaps, style, color=f"C{i}", linewidth=1.5, label=way)
        for day in range(week, len(gaps), week):
            axis.axvline(day + 0.5, color="0.8", linewidth=0.8, linestyle=":")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("day after the backbone's last training rows; dotted: refreshes")
    axes[0].set_ylabel("test AUC minus best possible")
    axes[0].legend(fontsize=8, loc="lower left")
    figure.savefig(f"{path}.png", dpi=100)
    figure.savefig(f"{path}.svg", metadata={"Date": None})
    plt.close(figure)
