"""The whole way on this machine, as a newcomer would go it: program after program.

Prepares a data set, pre-trains a backbone, exports it, adds a new task, exports again as the next
version, evaluates and queries what was exported, and prints what it achieved.

    python -m pipelines.local --dataset=synthetic --output_dir=build/pipeline
"""

import csv
import itertools
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from mptrec_tf.bin import program
from mptrec_tf.errors import InputError
from pipelines.steps import Steps

# Tasks to pre-train on, and the new one.
TASKS = {
    "synthetic": (("click", "like", "share"), "purchase"),
    "census_income": (("income", "marital"), "education"),
}

_MARKER = "made-by-pipelines-local"

_DATASET = flags.DEFINE_enum("dataset", "synthetic", sorted(TASKS), "The data set.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "census_income: directory of the original files.")
_SEED = flags.DEFINE_integer("seed", 1, "Of the training.", lower_bound=0)
_EPOCHS = flags.DEFINE_integer("epochs", 20, "Of each training, at most.", lower_bound=1)
_ROWS = flags.DEFINE_integer("rows", None, "synthetic: training rows.", lower_bound=100)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", "build/pipeline", "Where everything goes; what an earlier run left is replaced."
)
_MODEL = flags.DEFINE_string(
    "model", None, "Base path of the model. Default: <output_dir>/saved_models/mptrec."
)


def run_steps(
    dataset: str,
    output: str,
    model: str,
    *,
    data_dir: str | None,
    seed: int,
    epochs: int,
    rows: int | None,
) -> Steps:
    """Runs all programs; each writes below `output`, or into `model`."""
    old, new = TASKS[dataset]
    source = {"dataset": dataset, "data_dir": data_dir, "rows": rows}
    training = {"data": f"{output}/data", "seed": seed, "epochs": epochs}
    steps = Steps()
    steps.run(
        "prepare", "prepare", **source, tasks=",".join((*old, new)), output_dir=f"{output}/data"
    )
    steps.run(
        "pre-train", "pretrain", **training, tasks=",".join(old), output_dir=f"{output}/backbone"
    )
    steps.run("export", "export", backbone=f"{output}/backbone", output_dir=model)
    steps.run(
        "add task",
        "add_task",
        **training,
        backbone=f"{output}/backbone",
        task=new,
        output_dir=f"{output}/tasks/{new}",
    )
    steps.run(
        "export with new task",
        "export",
        backbone=f"{output}/backbone",
        tasks=f"{output}/tasks/{new}",
        output_dir=model,
    )
    steps.run(
        "evaluate", "evaluate", model=model, **source, split="test", output=f"{output}/metrics.json"
    )
    write_rows(dataset, data_dir, rows, f"{output}/rows.csv")
    steps.run(
        "query", "predict", model=model, input=f"{output}/rows.csv", output=f"{output}/answers.csv"
    )
    return steps


def write_rows(dataset: str, data_dir: str | None, rows: int | None, path: str, n: int = 5) -> None:
    """Writes the first `n` raw test rows as CSV, to query the model with."""
    from mptrec_tf.datasets.block import read_split
    from mptrec_tf.datasets.sources import open_source

    block = next(iter(read_split(open_source(dataset, data_dir=data_dir, rows=rows), "test")))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(block.columns)
        writer.writerows(itertools.islice(zip(*block.columns.values(), strict=True), n))


def result_rows(output: str, dataset: str, seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """The rows of the final table: a line per task."""
    from mptrec_tf.export.backbones import load_backbone
    from mptrec_tf.export.packages import load_package
    from mptrec_tf.models.prompted import count, joint_training_parameters

    old, new = TASKS[dataset]
    with open(f"{output}/metrics.json", encoding="utf-8") as file:
        metrics = json.load(file)["tasks"]
    backbone = load_backbone(f"{output}/backbone")
    package = load_package(f"{output}/tasks/{new}", backbone)
    joint = joint_training_parameters(backbone.backbone)
    trained = {task: count(backbone.backbone.weights) for task in old}
    trained[new] = count(package.head.weights)
    return [
        {
            "task": task,
            "kind": "added" if task == new else "pre-trained",
            "AUC": metrics[task]["auc"],
            "best_reachable_AUC": metrics[task].get("best_auc"),
            "trainable_parameters": trained[task],
            "share_of_joint_training": f"{trained[task] / joint:.1%}",
            "seconds": round(seconds["add task" if task == new else "pre-train"]),
        }
        for task in (*old, new)
    ]


def make_room(output: str) -> None:
    """Removes what an earlier run of this pipeline left in its output directory.

    Raises:
      InputError: if the directory holds something else, which is left alone.
    """
    marker = f"{output}/{_MARKER}"
    if os.path.isdir(output) and os.listdir(output) and not os.path.exists(marker):
        raise InputError(f"{output} holds files that this pipeline did not make; name another.")
    os.makedirs(output, exist_ok=True)
    with open(marker, "w", encoding="utf-8") as file:
        file.write("What python -m pipelines.local makes; its next run replaces it.\n")
    for name in ("data", "backbone", "backbone.training", "tasks"):
        shutil.rmtree(f"{output}/{name}", ignore_errors=True)


def main(_: Sequence[str]) -> None:
    """Runs the pipeline and prints the results."""
    from mptrec_tf.datasets.sources import open_source
    from mptrec_tf.evaluation.report import print_table
    from mptrec_tf.export.versions import versions
    from mptrec_tf.serving.saved_model import LoadedModel
    from mptrec_tf.serving.scoring import same_answers

    start = time.monotonic()
    output = _OUTPUT_DIR.value.rstrip("/")
    model = _MODEL.value or f"{output}/saved_models/mptrec"
    options = {"data_dir": _DATA_DIR.value, "rows": _ROWS.value}
    old, new = TASKS[_DATASET.value]
    source = open_source(_DATASET.value, **options, tasks=(*old, new))
    make_room(output)
    steps = run_steps(
        _DATASET.value, output, model, seed=_SEED.value, epochs=_EPOCHS.value, **options
    )
    print("\n=== results")
    before, after = (LoadedModel(f"{model}/{version}") for version in versions(model)[-2:])
    with open(f"{output}/answers.csv", encoding="utf-8") as file:
        answers = list(csv.DictReader(file))
    print_table(
        [{"row": i + 1, **{k: float(v) for k, v in row.items()}} for i, row in enumerate(answers)],
        f"Answers of {after.path} to the rows of {output}/rows.csv",
    )
    print_table([{"step": k, "seconds": round(v)} for k, v in steps.seconds.items()], "Steps")
    if not same_answers(before, after, source, "test", old):
        raise InputError("the new task changed the answers of the old ones; do not serve it.")
    print("old tasks' answers before and after the new task: the same to the last bit")
    print(f"pushed: {after.path}   all of it: {time.monotonic() - start:.0f} s")
    print_table(result_rows(output, _DATASET.value, steps.seconds), "Test rows")


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
