r"""Seconds until a pre-training is as good as it gets, by the rows of a step and the schedule.

    python benchmarks/time_to_quality.py --data_dir=DIR --output_dir=build/time_to_quality

For each recipe and seed: pre-trains MPT-Rec on income and marital of Census-Income, without the
columns of education, and adds education with two kinds of heads. The learning rate grows with the
square root of the batch. Shows the epochs and the seconds until the mean validation AUC was within
.0005 of the best that the recipe reached, and of the best that any recipe reached with this seed;
and test AUC. An interrupted run continues: finished trainings are not repeated.

Seconds are the epochs' share of the training's; `--speeds=batch.json`, which `scaling.py` writes on
a quiet machine, replaces them by rows over samples a second.
"""

import json
import math
import os
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from mptrec_tf.bin import program

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory of the original files.")
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", "build/time_to_quality", "Directory for all results."
)
_SEEDS = flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds.")
_BATCHES = flags.DEFINE_list("batches", ["256", "1024", "2048", "4096", "8192"], "Rows of a step.")
_SCHEDULES = flags.DEFINE_list("schedules", ["constant", "cosine"], "Of the learning rate.")
_SPEEDS = flags.DEFINE_string("speeds", None, "Samples a second by batch, of `scaling.py`.")
_OLD, _NEW, _HEADS = ("income", "marital"), "education", ("residual_small", "prompt")
_NEAR = 5e-4  # of AUC
_COSINE_EPOCHS = 15


def list_recipes() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the name of each recipe, and the fields of its training."""
    for batch in map(int, _BATCHES.value):
        rate = 1e-3 * math.sqrt(batch / 256)
        for schedule in _SCHEDULES.value:
            fields: dict[str, Any] = {"batch_size": batch, "learning_rate": rate}
            if schedule == "cosine":
                fields |= {"schedule": schedule, "learning_rate": 2 * rate, "warmup_steps": 100}
                fields |= {"epochs": _COSINE_EPOCHS, "patience": _COSINE_EPOCHS}
            yield f"{batch:,}, {schedule}", fields


def measure(data, fields: Mapping[str, Any], seed: int, work: str) -> dict[str, Any]:
    """Trains by a recipe; returns the scores of its epochs, its seconds, and test AUC by task."""
    from mptrec_tf.evaluation.metrics import auc
    from mptrec_tf.models.prompted import PromptedMPTRec
    from mptrec_tf.training.batches import load_rows
    from mptrec_tf.training.configurations import (
        NewTaskConfig,
        PretrainingConfig,
        TrainingConfig,
    )
    from mptrec_tf.training.new_task import learn, predict_heads
    from mptrec_tf.training.pretraining import pretrain
    from mptrec_tf.training.reference import score_backbone
    from mptrec_tf.training.representations import encode_rows
    from mptrec_tf.training.run_context import RunContext

    context = RunContext(work, show_progress=False)
    config = PretrainingConfig(_OLD, training=TrainingConfig(seed=seed, **fields))
    backbone, result = pretrain(data, config, context)
    tests = load_rows(data, "test", _OLD)
    test = score_backbone(backbone, data.spec.select_tasks(_OLD), tests)
    model, [task] = PromptedMPTRec(backbone), data.spec.select_tasks([_NEW])
    encoded = [encode_rows(model, load_rows(data, s, [_NEW]), work) for s in data.splits]
    for kind in _HEADS:
        shutil.rmtree(work)
        how = NewTaskConfig(kind, training={"seed": seed})
        learnt, _ = learn(backbone, data, _NEW, how, context, (encoded[0], encoded[1]))
        predicted, labels, _ = predict_heads(backbone, task, {kind: learnt.head}, encoded[2])
        test[f"{_NEW}, {kind}"] = auc(labels, predicted[kind])
    shutil.rmtree(work)
    return {
        "scores": [logs["val_score_sum"] / len(_OLD) for logs in result.history],
        "seconds": result.seconds,
        "rows": data.splits["train"]["rows"],
        "test": test,
    }


def count_epochs(scores: Sequence[float], best: float) -> float:
    """Returns the epochs until a score was near the best one; infinite if none was."""
    return next((n for n, score in enumerate(scores, 1) if score >= best - _NEAR), math.inf)


def main(_) -> None:
    """Runs the benchmark."""
    from four_tasks import prepare_rows

    from mptrec_tf.evaluation.report import print_table

    output = _OUTPUT_DIR.value.rstrip("/")
    data = prepare_rows(_DATA_DIR.value, (*_OLD, _NEW), output)
    os.makedirs(f"{output}/results", exist_ok=True)
    speeds = {}
    if _SPEEDS.value:
        with open(_SPEEDS.value, encoding="utf-8") as file:
            speeds = {int(k): of["stage_1_samples_per_s"] for k, of in json.load(file).items()}
    recipes, results = dict(list_recipes()), {}
    for seed in map(int, _SEEDS.value):
        for name, fields in recipes.items():
            path = f"{output}/results/{name.replace(', ', '-')}-{seed}.json"
            if not os.path.exists(path):
                shutil.rmtree(f"{output}/work", ignore_errors=True)
                measured = measure(data, fields, seed, f"{output}/work")
                print(name, seed, json.dumps(measured), flush=True)
                with open(path, "w", encoding="utf-8") as file:
                    json.dump(measured, file)
            with open(path, encoding="utf-8") as file:
                results[name, seed] = json.load(file)
    best_of_seed = {
        seed: max(max(of["scores"]) for (_, s), of in results.items() if s == seed)
        for _, seed in results
    }
    table = []
    for name, fields in recipes.items():
        rows = []
        for seed, best in best_of_seed.items():
            of = results[name, seed]
            own, any_ = (count_epochs(of["scores"], b) for b in (max(of["scores"]), best))
            an_epoch = of["seconds"] / len(of["scores"])
            if fields["batch_size"] in speeds:
                an_epoch = of["rows"] / speeds[fields["batch_size"]]
            rows.append(
                {
                    "validation": max(of["scores"]),
                    "epochs": own,
                    "seconds": own * an_epoch,
                    "seconds_to_best_of_all": any_ * an_epoch,
                    **of["test"],
                }
            )
        means = {key: statistics.mean(row[key] for row in rows) for key in rows[0]}
        table.append({"batch, schedule": name, "rate": fields["learning_rate"], **means})
    print_table(table, f"means of {len(best_of_seed)} seeds; test AUC by task")


if __name__ == "__main__":
    program.run(main)
