"""The figures of a benchmark, from its results. Each function returns None without its data.

Numbers in brackets are those of the paper's figures, arXiv 2408.17214.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mptrec_tf.benchmark import rank_tables, tables
from mptrec_tf.benchmark.results import Results
from mptrec_tf.benchmark.significance import rank_models
from mptrec_tf.models.registry import DEFAULT as OURS

plt.rcParams["axes.formatter.useoffset"] = False
_PANEL = (3.8, 3.2)  # inches
_MARKERS = "osD^vP*X<>"
_NEIGHBOURS = 30.0  # t-SNE's perplexity


def _find_main_data(results: Results, rows: pd.DataFrame) -> str:
    """Returns the name of the rows that new tasks are added from, or else of the first ones."""
    added = results.select(kind="add_task")
    return next(iter([*added.data, *rows.data]), "")


def _make_panels(count: int, size: tuple[float, float] = _PANEL) -> tuple[Figure, Sequence[Axes]]:
    figure, axes = plt.subplots(
        1, count, figsize=(size[0] * count, size[1]), squeeze=False, layout="constrained"
    )
    return figure, axes[0]


def _plot_means(axis: Axes, rows: pd.DataFrame, names: Mapping[str, str]) -> None:
    """Draws a dot for the mean over seeds of each method, its deviation, and each seed."""
    for place, method in enumerate(names):
        scores = rows[rows.method == method].score.dropna()
        if scores.empty:
            continue
        deviation = scores.std(ddof=1) if len(scores) > 1 else 0.0
        axis.errorbar(scores.mean(), place, xerr=deviation, fmt="o", capsize=3, color=f"C{place}")
        axis.plot(scores, [place] * len(scores), "|", color="0.4", markersize=9)
    axis.set_yticks(range(len(names)), list(names.values()), fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", alpha=0.3)
    axis.locator_params(axis="x", nbins=4)


def _draw_methods(
    results: Results, rows: pd.DataFrame, tasks: Sequence[str], name: Callable[[pd.Series], str]
) -> Figure | None:
    """Draws a panel for each task, with a line for each method."""
    rows = rows[rows.task.isin(list(tasks))]
    first = rows.drop_duplicates("method")
    names = {row.method: name(row) for _, row in first.iterrows()}
    tasks = [task for task in tasks if task in set(rows[~rows.failed].task)]
    if len(names) < 2 or not tasks:
        return None
    figure, axes = _make_panels(len(tasks), (_PANEL[0], 0.9 + 0.32 * len(names)))
    for axis, task in zip(axes, tasks, strict=True):
        _plot_means(axis, rows[rows.task == task], names)
        axis.set_title(task, fontsize=9)
        axis.set_xlabel(f"test {results.task(task).score_name}", fontsize=8)
    for axis in axes[1:]:
        axis.set_yticklabels([])
    return figure


def draw_ablations(results: Results) -> Figure | None:
    """Ablations of stage 1, on the old tasks (figure 4)."""
    rows = results.select(kind="train", role="ablation")
    rows = rows[rows.epochs.fillna(0) > 0]
    if rows.empty:
        return None
    full = results.select(
        kind="train", role="two_tasks", model=rows.model.iloc[0], data=rows.data.iloc[0], share=1.0
    )
    return _draw_methods(
        results, pd.concat([full, rows]), results.old, lambda row: row.variant or "full"
    )


def draw_new_task_ablations(results: Results) -> Figure | None:
    """What each part of stage 1, and pre-training itself, is worth for a new task (figure 5)."""
    ablated = results.select(kind="add_task", role="ablation", share=1.0)
    if ablated.empty:
        return None
    full = results.select(
        kind="add_task",
        role="two_tasks",
        model=ablated.model.iloc[0],
        head=sorted(set(ablated["head"])),
        share=1.0,
    )
    rows = pd.concat([full, ablated])
    return _draw_methods(
        results, rows, results.new, lambda row: f"{row.variant or 'full'}, {row['head']}"
    )


def draw_attentions(results: Results) -> Figure | None:
    """Ways to weigh the old tasks' representations, and other heads (figure 6)."""
    rows = results.select(kind="add_task", role="two_tasks", model=OURS, share=1.0)
    return _draw_methods(results, rows, results.new, lambda row: row["head"])


def draw_representations(results: Results) -> Figure | None:
    """Shared and specific representations of the same test rows, by t-SNE (figure 7).

    The silhouette score says how far apart the kinds of representations are: 1 is far, 0 is mixed.
    """
    from sklearn.manifold import TSNE
    from sklearn.metrics import silhouette_score
    from sklearn.preprocessing import StandardScaler

    panels = []
    rows = results.select(kind="train", role=["two_tasks", "ablation"], share=1.0, failed=False)
    rows = rows[rows.data == _find_main_data(results, rows)]
    rows = rows.sort_values(["role", "seed"], ascending=[False, True], kind="stable")
    for _, row in rows.drop_duplicates("method").iterrows():
        arrays = results.arrays(row.key)
        if "representations" not in arrays or arrays["representations"].shape[1] < 2:
            continue
        values, shared = arrays["representations"], int(arrays["shared"])
        kinds = [f"shared {i + 1}" if shared > 1 else "shared" for i in range(shared)]
        own = values.shape[1] - shared
        of_tasks = own == len(row.tasks)
        kinds += [row.tasks[i] if of_tasks else f"specific {i + 1}" for i in range(own)]
        panels.append((row.method, values, kinds))
    if not panels:
        return None
    figure, axes = _make_panels(len(panels))
    for axis, (method, values, kinds) in zip(axes, panels, strict=True):
        count = len(values)
        flat = StandardScaler().fit_transform(
            values.transpose(1, 0, 2).reshape(-1, values.shape[2])
        )
        labels = np.repeat(np.arange(len(kinds)), count)
        perplexity = min(_NEIGHBOURS, (len(flat) - 1) / 3)
        places = TSNE(init="pca", perplexity=perplexity, random_state=0).fit_transform(flat)
        for i, kind in enumerate(kinds):
            axis.scatter(*places[labels == i].T, s=4, alpha=0.6, label=kind)
        score = silhouette_score(flat, labels)
        axis.set_title(f"{method}\nsilhouette {score:.2f}", fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.legend(fontsize=7, markerscale=2)
    return figure


def draw_sensitivity(results: Results) -> Figure | None:
    """Scores of the old tasks by each loss weight."""
    rows = results.select(kind="train", role="sensitivity", failed=False)
    if rows.empty:
        return None
    weights = dict.fromkeys(rows.variant.str.partition("=")[0])
    full = results.select(
        kind="train", role="two_tasks", model=rows.model.iloc[0], data=rows.data.iloc[0], share=1.0
    )
    figure, axes = _make_panels(len(weights) * len(results.old))
    for i, (weight, task) in enumerate((w, t) for w in weights for t in results.old):
        axis, points = axes[i], {}
        parts = rows[(rows.task == task) & (rows.variant.str.partition("=")[0] == weight)]
        for value, of in parts.groupby(parts.variant.str.partition("=")[2].astype(float)):
            points[value] = of.score
        default = _find_default(results, full, weight)
        if default is not None:
            points[default] = full[full.task == task].score
            axis.axvline(default, color="0.7", linestyle=":", label="default")
        values = sorted(points)
        means = [points[v].mean() for v in values]
        deviations = [points[v].std(ddof=1) if len(points[v]) > 1 else 0.0 for v in values]
        axis.errorbar(values, means, yerr=deviations, marker="o", capsize=3)
        if max(values) > 20 * min((v for v in values if v > 0), default=1):
            axis.set_xscale("symlog", linthresh=min(v for v in values if v > 0))
        axis.set_xlabel(weight, fontsize=8)
        axis.set_ylabel(f"test {results.task(task).score_name}", fontsize=8)
        axis.set_title(task, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    return figure


def _find_default(results: Results, full: pd.DataFrame, weight: str) -> float | None:
    """Returns the value of a loss weight in the trainings without a variant."""
    for key in full.key:
        losses = results.raw[key].get("settings", {}).get("losses", {})
        if weight in losses:
            return float(losses[weight])
    return None


def draw_gates(results: Results) -> Figure | None:
    """Gates, environments and the discriminator, by epoch of pre-training; thin lines are seeds."""
    rows = results.select(kind="train", role="two_tasks", model=OURS, share=1.0, failed=False)
    rows = rows[rows.data == _find_main_data(results, rows)]
    if rows.empty:
        return None
    keys = list(dict.fromkeys(rows.key))
    groups = {
        "mean gate of the specific representation": ("gate/",),
        "share of rows per environment": ("environment/",),
        "discriminator's accuracy": ("discriminator/accuracy",),
        "cosine of shared and specific": ("cosine/",),
    }
    histories = [results.history(key) for key in keys]
    known = {
        title: [c for c in histories[0] if c.startswith(starts)] for title, starts in groups.items()
    }
    known = {title: columns for title, columns in known.items() if columns}
    if not known:
        return None
    figure, axes = _make_panels(len(known))
    for axis, (title, columns) in zip(axes, known.items(), strict=True):
        for i, column in enumerate(columns):
            for number, history in enumerate(histories):
                label = column.partition("/")[2] if not number else None
                axis.plot(history.index, history[column], color=f"C{i}", alpha=0.7, label=label)
        axis.set_title(title, fontsize=9)
        _label_epochs(axis)
        axis.legend(fontsize=8)
    return figure


def draw_prompts(results: Results) -> Figure | None:
    """Cosines between the prompts of the old tasks and of the new ones, of the first seed."""
    rows = results.select(kind="train", role="two_tasks", model=OURS, share=1.0, failed=False)
    added = results.select(kind="add_task", role="two_tasks", model=OURS, share=1.0, failed=False)
    if rows.empty or added.empty:
        return None
    seed = rows.seed.min()
    rows = rows[(rows.seed == seed) & (rows.data == added.data.iloc[0])]
    prompts = {}
    if not rows.empty:
        arrays = results.arrays(rows.key.iloc[0])
        prompts = dict(zip(rows.tasks.iloc[0], arrays.get("prompts", ()), strict=False))
    for _, row in added[added.seed == seed].iterrows():
        prompt = results.arrays(row.key).get("prompt")
        if prompt is not None:
            prompts[f"{row.task} ({row['head']})"] = prompt.reshape(-1)
    if len(prompts) < 2:
        return None
    names = list(prompts)
    matrix = np.stack(list(prompts.values()))
    matrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    cosines = matrix @ matrix.T
    size = 1.8 + 0.5 * len(names)
    figure, (axis,) = _make_panels(1, (size + 0.8, size))
    image = axis.imshow(cosines, cmap="coolwarm", vmin=-1, vmax=1)
    axis.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    for i in range(len(names)):
        for j in range(len(names)):
            color = "white" if abs(cosines[i, j]) > 0.6 else "black"
            axis.text(
                j, i, f"{cosines[i, j]:.2f}", ha="center", va="center", fontsize=6, color=color
            )
    figure.colorbar(image, shrink=0.8, label="cosine")
    axis.set_title(f"prompts, seed {seed}", fontsize=9)
    return figure


def draw_curves(results: Results) -> Figure | None:
    """Validation scores by epoch, of models and of heads; a line is a mean over running seeds."""
    panels = []
    two = results.select(kind="train", role="two_tasks", share=1.0, failed=False)
    if not two.empty:
        two = two[two.data == _find_main_data(results, two)]
        panels += [(task, two[two.task == task], "model") for task in results.old]
    for task in results.new:
        added = results.select(
            kind="add_task", role="two_tasks", task=task, model=OURS, share=1.0, failed=False
        )
        added = added[added["head"] != "auto"]  # one of the others
        if not added.empty:
            panels.append((task, added, "head"))
    if not panels:
        return None
    figure, axes = _make_panels(len(panels))
    for axis, (task, rows, column) in zip(axes, panels, strict=True):
        log = results.task(task).score_log
        for number, (name, of) in enumerate(rows.groupby(column, sort=False)):
            curves = [results.history(key) for key in of.key]
            curves = [c[log] for c in curves if log in c]
            if curves:
                mean = pd.concat(curves, axis=1).mean(axis=1)
                style = "-" if number < 10 else "--"
                axis.plot(mean.index, mean, style, label=name, marker=".", markersize=4)
        axis.set_title(f"{task}, by {column}", fontsize=9)
        axis.set_ylabel(f"validation {results.task(task).score_name}", fontsize=8)
        _label_epochs(axis)
        axis.legend(fontsize=7)
    return figure


def _label_epochs(axis: Axes) -> None:
    axis.set_xlabel("epoch", fontsize=8)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.3)


def draw_labels(results: Results) -> Figure | None:
    """Scores of new tasks by the share of training rows that have a label."""
    panels = []
    for task in results.new:
        rows = tables.select_label_rows(results, task)
        rows = rows[~rows.failed & ((rows.model == OURS) | (rows.role == "alone"))]
        if not rows.empty:
            panels.append((task, rows))
    if not panels:
        return None
    figure, axes = _make_panels(len(panels), (4.6, 3.6))
    for axis, (task, rows) in zip(axes, panels, strict=True):
        for number, (method, of) in enumerate(rows.groupby("method", sort=False)):
            means = of.groupby("share").score.mean()
            main = method.endswith(("auto", "alone"))
            axis.plot(
                100 * means.index,
                means,
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=4,
                linewidth=2.2 if main else 1,
                linestyle="-" if main else ":",
                label=method,
            )
        axis.set_xscale("log")
        shares = sorted(set(rows.share))
        axis.set_xticks([100 * s for s in shares], [f"{100 * s:g}%" for s in shares], fontsize=8)
        axis.minorticks_off()
        axis.set_xlabel("training rows with a label", fontsize=8)
        axis.set_ylabel(f"test {results.task(task).score_name}", fontsize=8)
        axis.set_title(task, fontsize=9)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    return figure


def draw_ranks(results: Results) -> Figure | None:
    """Mean ranks over tasks, with Nemenyi's critical distance from the best."""
    panels = [
        (title, ranks)
        for title, scores in rank_tables.list_rankings(results).items()
        if (ranks := rank_models(scores)) is not None
    ]
    if not panels:
        return None
    most = max(len(ranks.mean) for _, ranks in panels)
    figure, axes = _make_panels(len(panels), (4.8, 1.0 + 0.28 * most))
    for axis, (title, ranks) in zip(axes, panels, strict=True):
        names, means = list(ranks.mean), list(ranks.mean.values())
        axis.axvspan(means[0], means[0] + ranks.critical_distance, color="C0", alpha=0.15)
        axis.plot(means, range(len(names)), "o")
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_ylim(len(names) - 0.5, -0.5)
        axis.set_xlim(0.5, len(names) + 0.5)
        axis.set_xlabel("mean rank; shaded: no difference from the best (Nemenyi)", fontsize=8)
        axis.set_title(f"{title}, {ranks.tasks} tasks", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(axis="x", alpha=0.3)
    return figure


def draw_duels(results: Results) -> Figure | None:
    """Ours minus each rival on each new task, with 95% intervals."""
    duels = pd.DataFrame(rank_tables.list_duels(results))
    if duels.empty or duels.difference.isna().all():
        return None
    rivals, tasks = list(dict.fromkeys(duels.rival)), list(dict.fromkeys(duels.task))
    figure, axes = _make_panels(len(rivals), (_PANEL[0], 1.0 + 0.28 * len(tasks)))
    for axis, rival in zip(axes, rivals, strict=True):
        of = duels[duels.rival == rival].set_index("task").reindex(tasks)
        colors = {"win": "C2", "loss": "C3"}
        for place, (_, row) in enumerate(of.iterrows()):
            if math.isnan(row.difference):
                continue
            color = colors.get(rank_tables.judge(row.difference, row.p), "0.5")
            axis.errorbar(
                row.difference, place, xerr=1.96 * row.error, fmt="o", capsize=3, color=color
            )
        axis.axvline(0, color="0.6")
        axis.set_yticks(range(len(tasks)), tasks, fontsize=8)
        axis.set_ylim(len(tasks) - 0.5, -0.5)
        axis.set_title(f"minus {rival}", fontsize=9)
        axis.tick_params(axis="x", labelsize=8)
        axis.locator_params(axis="x", nbins=4)
        axis.grid(axis="x", alpha=0.3)
    for axis in axes[1:]:
        axis.set_yticklabels([])
    figure.supxlabel(f"{duels.ours.iloc[0]}: difference of test scores", fontsize=8)
    return figure
