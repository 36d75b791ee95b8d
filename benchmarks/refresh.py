r"""What a warm refresh costs and loses beside training from scratch, on Census-Income.

    python benchmarks/refresh.py --data_dir=DIR [--seeds=1,2,3] [--rows=all] [--output_dir=DIR]

A model in production is pre-trained on income and marital with the first half of the training rows
(seed 1) and has four added tasks. It is renewed with new rows, as `mptrec-refresh` does, warm and
from scratch, with each seed: `all`, both halves; `second`, the other half alone. Both ways train on
the same rows; the first half of the test file stops and calibrates them, the second half gives the
figures. Cost is CPU seconds of trainings, all threads of this process; preparation and export,
which are the same for both, are left out.

Prints Markdown tables: the cost, and the test AUC of each task with the difference and its standard
error (DeLong's over the rows, and over the seeds). Trained models and results.jsonl are kept, so
that a run that was interrupted continues.
"""

import functools
import json
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from four_tasks import NEW, OLD

from mptrec_tf.bin import program
from mptrec_tf.data.sets.census_income.rows import CensusIncome, read_original
from mptrec_tf.errors import InputError
from mptrec_tf.models.heads.registry import HEADS
from mptrec_tf.storage.directories import write_file

FIRST, SECOND, ALL = "first", "second", "all"
SCRATCH, WARM = "from scratch", "warm"
# Bounds for the means over the seeds.
MOST_COST, MOST_LOSS = 1 / 3, 0.001


class Half(CensusIncome):
    """Census-Income with a part of the training rows.

    Args:
      data_dir: Directory of the original files.
      part: `FIRST` or `SECOND` half of the training file, in its order, or `ALL` of it.
    """

    def __init__(self, data_dir: str, part: str):
        super().__init__(data_dir, (*OLD, *NEW))
        self._part = part

    def shards(self, split: str) -> Sequence[tuple[str, int | None, int | None]]:
        """Returns one shard: a file, and the range of its rows (end excluded)."""
        shards = super().shards(split)
        if split != "train" or self._part == ALL:
            return shards
        [(path, _, _)] = shards
        half = self._training_rows // 2
        return [(path, 0, half) if self._part == FIRST else (path, half, None)]

    @functools.cached_property
    def _training_rows(self) -> int:
        [(path, _, _)] = super().shards("train")
        return sum(map(len, read_original(path)))


def prepare_part(data_dir: str, part: str, folder: str) -> Any:
    """Returns prepared data with a part of the training rows."""
    from mptrec_tf.data.prepare import prepare
    from mptrec_tf.data.prepared import PreparedData

    path = f"{folder}/data-{part}"
    if not os.path.exists(path):
        prepare(Half(data_dir, part), path)
    return PreparedData(path)


def run_seed(old_data: Any, data: Any, seed: int, head: str, folder: str) -> dict[str, Any]:
    """Renews the model in production with one seed, warm and from scratch.

    Args:
      old_data: What the model in production was trained on.
      data: The new rows.
      seed: Of the new trainings.
      head: The kind of head of the added tasks.
      folder: Where trained models are stored; those that are there are not trained again.

    Returns:
      `cost` by way and training, `auc` by way and task, and by task the `difference` of the warm
      one's AUC, with its standard error.
    """
    from generations import predict, train_generation

    from mptrec_tf.training.configurations import NewTaskConfig, PretrainingConfig, TrainingConfig

    def configure(seed: int) -> tuple[PretrainingConfig, dict[str, NewTaskConfig]]:
        of_heads = NewTaskConfig(head, training={"seed": seed})
        training = TrainingConfig(seed=seed)
        return PretrainingConfig(OLD, training=training), dict.fromkeys(NEW, of_heads)

    old = train_generation(old_data, *configure(1), f"{folder}/production")
    ways = {
        way: train_generation(data, *configure(seed), f"{folder}/{seed}/{way}", begins)
        for way, begins in ((SCRATCH, None), (WARM, old))
    }
    predicted = {}
    for way, generation in ways.items():
        predicted[way], labels = predict(data, generation)
    result: dict[str, Any] = {"cost": {way: of.cost for way, of in ways.items()}}
    result |= {"auc": {way: {} for way in ways}, "difference": {}}
    for task in data.spec.select_tasks((*OLD, *NEW)):
        values = [predicted[way][task.name] for way in (WARM, SCRATCH)]
        for way, of in zip((WARM, SCRATCH), values, strict=True):
            result["auc"][way][task.name] = task.score(labels[task.name], of)
        result["difference"][task.name] = task.score_difference(labels[task.name], *values)
    return result


def compute_cost(result: Mapping[str, Any], way: str, trainings: Sequence[str] = ()) -> float:
    """Returns the CPU seconds of some trainings of a seed; by default of all."""
    of_way = result["cost"][way]
    return sum(of_way[name]["seconds"] for name in trainings or of_way)


def make_cost_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Returns the CPU seconds of both ways in Markdown, means over seeds."""
    lines = [
        "| trained | from scratch: epochs | CPU seconds | warm: epochs | CPU seconds | share |",
        "|---|---|---|---|---|---|",
    ]
    names = list(results[0]["cost"][WARM])
    for what, trainings in (("backbone", names[:1]), ("heads", names[1:]), ("all", names)):
        cells, seconds = [], {}
        for way in (SCRATCH, WARM):
            epochs = [of["cost"][way][name]["epochs"] for of in results for name in trainings]
            seconds[way] = statistics.mean(compute_cost(r, way, trainings) for r in results)
            cells += ["" if what == "all" else f"{statistics.mean(epochs):.1f}"]
            cells += [f"{seconds[way]:.0f}"]
        lines.append(f"| {what} | {' | '.join(cells)} | {seconds[WARM] / seconds[SCRATCH]:.2f} |")
    return "\n".join(lines)


def combine_differences(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the difference of the warm refresh over seeds, by task."""
    from mptrec_tf.benchmark.significance import combine

    return {
        task: combine(*zip(*(of["difference"][task] for of in results), strict=True))
        for task in results[0]["difference"]
    }


def make_score_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Returns the test AUC of both ways in Markdown, means over seeds, and their difference."""
    lines = ["| task | from scratch | warm | difference | each seed |", "|---|---|---|---|---|"]
    for task, difference in combine_differences(results).items():
        means = [statistics.mean(of["auc"][way][task] for of in results) for way in (SCRATCH, WARM)]
        each = " ".join(f"{of['difference'][task][0]:+.4f}" for of in results)
        error = f"{difference.mean:+.4f} ± {difference.error:.4f}"
        lines.append(f"| {task} | {means[0]:.4f} | {means[1]:.4f} | {error} | {each} |")
    return "\n".join(lines)


def list_missed(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a clause for each bound that the means over the seeds miss."""
    missed = []
    cost = {way: sum(compute_cost(of, way) for of in results) for way in (WARM, SCRATCH)}
    if (share := cost[WARM] / cost[SCRATCH]) > MOST_COST:
        missed.append(f"a warm refresh costs {share:.3f} of training from scratch")
    for task, difference in combine_differences(results).items():
        if difference.mean < -MOST_LOSS:
            missed.append(f"{task} loses {-difference.mean:.4f} ± {difference.error:.4f}")
    return missed


def main(_) -> None:
    """Runs the benchmark.

    Raises:
      InputError: if a bound is missed.
    """
    given = flags.FLAGS
    folder = given.output_dir.rstrip("/")
    os.makedirs(folder, exist_ok=True)
    old_data, data = (prepare_part(given.data_dir, part, folder) for part in (FIRST, given.rows))
    results = []
    for seed in map(int, given.seeds):
        path = f"{folder}/{given.rows}-{given.head}-{seed}.json"
        if not os.path.exists(path):
            of_seed = f"{folder}/{given.rows}-{given.head}"
            write_file(path, json.dumps(run_seed(old_data, data, seed, given.head, of_seed)))
        with open(path, encoding="utf-8") as file:
            results.append(json.load(file))
    print(make_cost_table(results), make_score_table(results), sep="\n\n")
    if missed := list_missed(results):
        raise InputError("; ".join(missed))


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "Directory of the original files.", required=True)
    flags.DEFINE_string("output_dir", "build/refresh", "Directory for the results.")
    flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds.")
    flags.DEFINE_enum("rows", ALL, [SECOND, ALL], "The new rows.")
    flags.DEFINE_enum("head", "residual_small", HEADS.names(), "The head of the added tasks.")
    program.run(main)
