"""Other recipes for stage 1, for its own tasks and for those that are added to it.

    python benchmarks/stage1_recipes.py --data_dir=DIR --output_dir=build/stage1_recipes

For each seed and each recipe of stage 1: pre-trains on income and marital without the columns of
four new tasks, then adds each of these with a `residual_small` and a `prompt` head; and trains all
six tasks jointly by the same recipe. AUC on the second half of the test file; the first half is
for early stopping. An interrupted run continues: existing results are reused.
"""

import json
import os
import shutil
import statistics

from absl import flags
from four_tasks import NEW, OLD, prepare_rows, select_rows

from mptrec_tf.bin import program

HEADS = ("residual_small", "prompt")
# Fields of the shape, and of the training.
RECIPES = {
    "10 epochs": ({}, {"epochs": 10}),
    "30 epochs, patience 5": ({}, {}),
    "cosine": (
        {},
        {"epochs": 15, "patience": 15, "learning_rate": 2e-3, "schedule": "cosine"}
        | {"warmup_steps": 100},
    ),
    "cosine, dropout": (
        {"expert_dropout": 0.1, "tower_dropout": 0.2},
        {"epochs": 15, "patience": 15, "learning_rate": 2e-3, "schedule": "cosine"}
        | {"warmup_steps": 100},
    ),
}

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory of the original files.")
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", "build/stage1_recipes", "Directory for all results."
)


def measure(data, recipe: str, seed: int, work: str) -> dict[str, float]:
    """Returns AUC by "split/task/what was trained"."""
    from mptrec_tf.training.batches import load_rows
    from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
    from mptrec_tf.training.pretraining import pretrain
    from mptrec_tf.training.reference import score_backbone
    from mptrec_tf.training.run_context import RunContext

    shape, training = RECIPES[recipe]
    results = {}
    for what, tasks in (("frozen", OLD), ("joint", (*OLD, *NEW))):
        shutil.rmtree(work, ignore_errors=True)
        config = PretrainingConfig(
            tasks, shape=shape, training=TrainingConfig(seed=seed, **training)
        )
        backbone, result = pretrain(data, config, RunContext(work, show_progress=False))
        results[f"epochs/{what}"] = len(result.history)
        for split in ("validation", "test"):
            rows, kinds = load_rows(data, split, tasks), data.spec.select_tasks(tasks)
            for task, value in score_backbone(backbone, kinds, rows).items():
                results[f"{split}/{task}/{what}"] = value
        if what == "frozen":
            results |= add_tasks(data, backbone, seed, work)
    shutil.rmtree(work, ignore_errors=True)
    return results


def add_tasks(data, backbone, seed: int, work: str) -> dict[str, float]:
    """Returns the AUC of each new task on a backbone, by kind of head."""
    from mptrec_tf.evaluation.metrics import auc
    from mptrec_tf.models.prompted import PromptedMPTRec
    from mptrec_tf.training.batches import load_rows
    from mptrec_tf.training.configurations import NewTaskConfig
    from mptrec_tf.training.new_task import learn, predict_heads
    from mptrec_tf.training.representations import encode_rows
    from mptrec_tf.training.run_context import RunContext

    model = PromptedMPTRec(backbone)
    encoded = {s: encode_rows(model, load_rows(data, s, NEW), work) for s in data.splits}
    scores = {}
    for task, kind_of_task in zip(NEW, data.spec.select_tasks(NEW), strict=True):
        rows = select_rows(encoded, task, 1.0, seed)
        for kind in HEADS:
            shutil.rmtree(work, ignore_errors=True)
            learnt, _ = learn(
                backbone,
                data,
                task,
                NewTaskConfig(kind, training={"seed": seed}),
                RunContext(work, show_progress=False),
                (rows["train"], rows["validation"]),
            )
            heads = {kind: learnt.head}
            by_head, labels, _ = predict_heads(backbone, kind_of_task, heads, rows["test"])
            scores[f"test/{task}/{kind}"] = auc(labels, by_head[kind])
            scores[f"validation/{task}/{kind}"] = learnt.score
    return scores


def main(_) -> None:
    """Runs the benchmark."""
    from mptrec_tf.evaluation.report import print_table

    output = _OUTPUT_DIR.value.rstrip("/")
    data = prepare_rows(_DATA_DIR.value, (*OLD, *NEW), output)
    os.makedirs(f"{output}/results", exist_ok=True)
    by_recipe: dict[str, list[dict[str, float]]] = {}
    for seed in (1, 2, 3):
        for recipe in RECIPES:
            path = f"{output}/results/{recipe}-{seed}.json"
            if not os.path.exists(path):
                result = measure(data, recipe, seed, f"{output}/work")
                print(recipe, seed, json.dumps(result), flush=True)
                with open(path, "w", encoding="utf-8") as file:
                    json.dump(result, file)
            with open(path, encoding="utf-8") as file:
                by_recipe.setdefault(recipe, []).append(json.load(file))
    for split in ("validation", "test"):
        rows = []
        for task in (*OLD, *NEW):
            for what in ("frozen", "joint") if task in OLD else (*HEADS, "joint"):
                key = f"{split}/{task}/{what}"
                cells = {
                    recipe: statistics.mean(result[key] for result in results)
                    for recipe, results in by_recipe.items()
                }
                rows.append({"task": task, "trained": what, **cells})
        print_table(rows, f"{split} AUC by stage 1's recipe, mean of seeds 1, 2, 3")


flags.mark_flag_as_required("data_dir")


if __name__ == "__main__":
    program.run(main)
