"""Runs both TFX pipelines on the real Census-Income rows, and checks their claims.

    python benchmarks/census_pipelines.py --data_dir=DIR --output_dir=build/census_pipelines

For every seed: runs `python -m pipelines.local`, evaluates what was pushed by `mptrec-evaluate`,
and compares the two served versions row by row. Some four minutes a seed on two cores.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
from absl import flags
from steps import Steps

from mptrec_tf.bin import program
from mptrec_tf.errors import InputError

SEEDS = (1, 2, 3)
OLD, NEW = ("income", "marital"), "education"
# Bounds for the means over the seeds, and how exactly the two evaluations must agree.
BOUNDS = {"income": 0.938, "marital": 0.993, "education": 0.849}
AGREEMENT = 1e-6

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory of the original files.")
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", "build/census_pipelines", "Directory for all results."
)
flags.mark_flag_as_required("data_dir")


def run_seed(seed: int, root: str, data_dir: str) -> list[dict]:
    """Runs the pipelines and checks the pushed versions; returns a row per task."""
    from mptrec_tf.data.sets.registry import open_source
    from mptrec_tf.inference.saved_model import LoadedModel
    from mptrec_tf.inference.scoring import same_predictions
    from pipelines.config import ADD_TASK
    from pipelines.metadata import Metadata
    from pipelines.results import RunResults

    command = [sys.executable, "-m", "pipelines.local", "--dataset=census_income"]
    command += [f"--data_dir={data_dir}", f"--root={root}", f"--seed={seed}", "--epochs=30"]
    if subprocess.run(command, stderr=sys.stderr, check=False).returncode:
        raise InputError(f"the pipelines stopped with seed {seed}.")
    served = f"{root}/saved_models/mptrec"
    metrics_file = f"{root}/metrics.json"
    Steps().run(
        f"evaluate, seed {seed}",
        "evaluate",
        model=served,
        dataset="census_income",
        data_dir=data_dir,
        split="test",
        output=metrics_file,
    )
    with open(metrics_file, encoding="utf-8") as file:
        evaluated = json.load(file)["tasks"]
    metadata = Metadata(f"{root}/metadata.sqlite")
    metrics = RunResults(metadata, metadata.read_last_run(ADD_TASK)).load_metrics("candidate")
    source = open_source("census_income", data_dir=data_dir)
    versions = [LoadedModel(f"{served}/{version}") for version in (1, 2)]
    if not same_predictions(*versions, source, "test", OLD):
        raise InputError(f"seed {seed}: an old task's predictions changed.")
    return [
        {
            "seed": seed,
            "task": task,
            "pipeline_AUC": metrics[task]["auc"],
            "mptrec_evaluate_AUC": evaluated[task]["auc"],
            "difference": f"{abs(metrics[task]['auc'] - evaluated[task]['auc']):.1e}",
        }
        for task in (*OLD, NEW)
    ]


def main(_: Sequence[str]) -> None:
    """Runs every seed, prints the tables, and fails where a claim does not hold."""
    from mptrec_tf.evaluation.report import print_table

    output = _OUTPUT_DIR.value.rstrip("/")
    rows = [row for seed in SEEDS for row in run_seed(seed, f"{output}/{seed}", _DATA_DIR.value)]
    print_table(rows, "Census-Income, test rows, by seed")
    means = {
        task: float(np.mean([row["pipeline_AUC"] for row in rows if row["task"] == task]))
        for task in BOUNDS
    }
    print_table(
        [{"task": task, "mean_AUC": means[task], "bound": BOUNDS[task]} for task in BOUNDS],
        "Mean over the seeds; old tasks' predictions before and after: the same to the last bit",
    )
    failed = [f"{task} {means[task]:.4f}" for task in BOUNDS if means[task] < BOUNDS[task]]
    failed += [
        f"{row['task']}, seed {row['seed']}: differs by {row['difference']}"
        for row in rows
        if abs(row["pipeline_AUC"] - row["mptrec_evaluate_AUC"]) > AGREEMENT
    ]
    if failed:
        raise InputError(f"a claim does not hold: {'; '.join(failed)}.")


if __name__ == "__main__":
    program.run(main)
