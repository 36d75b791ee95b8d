"""Test AUC on the Census-Income rows, by the programs, in the paper's settings.

    python benchmarks/census_income.py --data_dir=DIR --output_dir=build/census

Prepares once; for each seed pre-trains on income and marital, adds education with each attention,
exports and evaluates on the second half of the test file. Some five minutes a seed on two cores.
An interrupted run continues: existing results are reused. Writes results.json and results.png to
the output directory.
"""

import json
import os
import statistics

from absl import flags
from steps import Steps

from mptrec_tf.bin import program

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory of the original files.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", "build/census", "Directory for all results.")
_SEEDS = flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds.")
flags.mark_flag_as_required("data_dir")

_OLD, _NEW = ("income", "marital"), "education"
_ATTENTIONS = ("prompt", "fixed", "task_similarity")
# Test AUC that the paper publishes, on all rows of the data set (arXiv 2408.17214).
_PUBLISHED = {"income": 0.9517, "marital": 0.9926, "education (prompt)": 0.8626}


def run_seed(steps: Steps, data: str, seed: str, output: str) -> dict[str, float]:
    """Returns the test AUC of every task for one seed."""

    def run_once(path: str, name: str, **arguments) -> None:
        if not os.path.exists(path):
            steps.run(f"{name} {path}", name, **arguments)

    training = {"data": data, "seed": seed}
    backbone = f"{output}/backbone"
    run_once(backbone, "pretrain", **training, tasks=",".join(_OLD), output_dir=backbone)
    results = {}
    for attention in _ATTENTIONS:
        task, model = f"{output}/{attention}/task", f"{output}/{attention}/model"
        metrics = f"{output}/{attention}/metrics.json"
        tuning = {"backbone": backbone, "task": _NEW, "head": attention}
        run_once(task, "add_task", **training, **tuning, output_dir=task)
        run_once(f"{model}/1", "export", backbone=backbone, tasks=task, output_dir=model)
        source = {"dataset": "census_income", "data_dir": _DATA_DIR.value, "split": "test"}
        run_once(metrics, "evaluate", model=model, **source, output=metrics)
        with open(metrics, encoding="utf-8") as file:
            values = json.load(file)["tasks"]
        results |= {name: values[name]["auc"] for name in _OLD}
        results[f"{_NEW} ({attention})"] = values[_NEW]["auc"]
    return results


def plot_learning_curves(output: str, seeds: list[str]) -> None:
    """Draws validation AUC by epoch, each seed a line, to results.png."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    panels = [(task, "backbone/backbone.json") for task in _OLD]
    panels += [(_NEW, f"{attention}/task/task.json") for attention in _ATTENTIONS]
    figure, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 3), tight_layout=True)
    for axis, (task, file) in zip(axes, panels, strict=True):
        for seed in seeds:
            with open(f"{output}/{seed}/{file}", encoding="utf-8") as opened:
                training = json.load(opened)["training"]
            curve = [logs[f"val_auc/{task}"] for logs in training["history"]]
            (line,) = axis.plot(range(1, len(curve) + 1), curve, label=f"seed {seed}")
            best = training["best_epoch"]
            axis.plot(best + 1, curve[best], "o", color=line.get_color())
        attention = file.partition("/")[0]
        axis.set_title(task if task in _OLD else f"{task}, {attention}", fontsize=9)
        axis.set_xlabel("epoch")
    axes[0].set_ylabel("validation AUC")
    axes[0].legend(fontsize=8)
    figure.savefig(f"{output}/results.png", dpi=100)


def main(_) -> None:
    """Runs the benchmark."""
    from mptrec_tf.evaluation.report import print_table

    output = _OUTPUT_DIR.value.rstrip("/")
    data = f"{output}/data"
    steps = Steps()
    if not os.path.exists(data):
        source = {"dataset": "census_income", "data_dir": _DATA_DIR.value}
        steps.run("prepare", "prepare", **source, output_dir=data)
    by_seed = {seed: run_seed(steps, data, seed, f"{output}/{seed}") for seed in _SEEDS.value}
    with open(f"{output}/results.json", "w", encoding="utf-8") as file:
        json.dump(by_seed, file, indent=2)
    plot_learning_curves(output, _SEEDS.value)
    rows = []
    for name in next(iter(by_seed.values())):
        values = [results[name] for results in by_seed.values()]
        rows.append(
            {
                "task": name,
                "mean_test_AUC": statistics.mean(values),
                "deviation": statistics.stdev(values) if len(values) > 1 else None,
                **{f"seed_{seed}": results[name] for seed, results in by_seed.items()},
                "published": _PUBLISHED.get(name),
            }
        )
    print_table(rows, f"Census-Income, test rows; learning curves in {output}/results.png")


if __name__ == "__main__":
    program.run(main)
