r"""What a warm refresh costs and loses beside training from scratch, on Census-Income.

    python benchmarks/refresh.py --data_dir=DIR [--seeds=1,2,3] [--rows=second,all] \
        [--output_dir=build/refresh]

A model in production is pre-trained on income and marital with the first half of the training rows
and has four added tasks, with a head of `--head` each. It is renewed with new rows, as
`mptrec-refresh` does, warm and from scratch: `second`, the other half; `all`, both halves.
Both ways train on the same rows; the first half of the test file stops and calibrates them, the
second half gives the figures. Cost is CPU seconds of this process in pre-training and in the heads,
without preparation and export, which are the same for both.

Prints Markdown tables: cost, and test AUC of each task with the difference and its standard error
(DeLong's over the rows, and over the seeds). A run that was interrupted continues.
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from four_tasks import NEW, OLD

from mptrec_tf.bin import program
from mptrec_tf.data.sources.census_income import CensusIncome
from mptrec_tf.models.heads.registry import HEADS

FIRST, SECOND, ALL = "first", "second", "all"
PRODUCTION, SCRATCH, WARM = "production", "from scratch", "warm"
# Bounds for the means over the seeds.
MOST_COST, MOST_LOSS = 1 / 3, 0.001


class Half(CensusIncome):
    """The rows of Census-Income with a part of those for training.

    Args:
      data_dir: Directory of the original files.
      part: `FIRST` or `SECOND` half of the training file, in its order, or `ALL` of it.
      most: Optional. The most rows of each split.
    """

    def __init__(self, data_dir: str, part: str, most: int | None = None):
        super().__init__(data_dir, (*OLD, *NEW))
        self._part, self._most = part, most

    def shards(self, split: str) -> Sequence[tuple[str, int | None, int | None]]:
        """Returns one shard: a file, and the range of its rows (end excluded)."""
        [(path, start, stop)] = super().shards(split)
        if split == "train":
            rows = 199_523 if self._most is None else 2 * self._most
            half = rows // 2
            start, stop = {FIRST: (0, half), SECOND: (half, rows), ALL: (0, rows)}[self._part]
        elif self._most is not None:
            stop = (start or 0) + self._most
        return [(path, start, stop)]


def run_seed(data: Mapping[str, Any], seed: int, rows: str, folder: str) -> dict[str, Any]:
    """Renews the model of one seed warm and from scratch.

    Args:
      data: Prepared data by part.
      seed: Of all trainings.
      rows: The part of the new rows.
      folder: Where trained models are stored; those that are there are not trained again.

    Returns:
      `cost` and `auc` by way, and `difference`, warm minus scratch, by task: with its error.
    """
    from generations import predict, train_generation

    from mptrec_tf.training.configurations import NewTaskConfig, PretrainingConfig, TrainingConfig

    given = flags.FLAGS
    training = TrainingConfig(seed=seed, **_count_epochs())
    config = PretrainingConfig(OLD, training=training)
    head = NewTaskConfig(given.head, training={"seed": seed, **_count_epochs()})
    heads = dict.fromkeys(NEW, head)
    old = train_generation(data[FIRST], config, heads, f"{folder}/{seed}/{PRODUCTION}")
    ways = {
        way: train_generation(data[rows], config, heads, f"{folder}/{seed}/{rows}-{way}", begins)
        for way, begins in ((SCRATCH, None), (WARM, old))
    }
    predicted = {}
    for way, generation in ways.items():
        predicted[way], labels = predict(data[rows], generation)
    result: dict[str, Any] = {"cost": {way: of.cost for way, of in ways.items()}}
    tasks = data[rows].spec.select_tasks((*OLD, *NEW))
    result["auc"] = {
        way: {task.name: task.score(labels[task.name], of[task.name]) for task in tasks}
        for way, of in predicted.items()
    }
    result["difference"] = {
        task.name: task.score_difference(
            labels[task.name], predicted[WARM][task.name], predicted[SCRATCH][task.name]
        )
        for task in tasks
    }
    return result


def _count_epochs() -> dict[str, int]:
    return {"epochs": 1} if flags.FLAGS.quick else {}


def main(_) -> None:
    """Runs the benchmark.

    Raises:
      InputError: if a bound is missed.
    """
    given = flags.FLAGS
    for rows in given.rows:
        for seed in map(int, given.seeds):
            print(
                rows,
                seed,
                json.dumps(
                    run_seed(
                        prepare_parts(given.data_dir, rows, given.output_dir),
                        seed,
                        rows,
                        given.output_dir,
                    )
                ),
                flush=True,
            )


def prepare_parts(data_dir: str, rows: str, folder: str) -> dict[str, Any]:
    """Returns prepared data by part."""
    from mptrec_tf.data.prepare import prepare
    from mptrec_tf.data.prepared import PreparedData

    data = {}
    for part in (FIRST, rows):
        path = f"{folder}/data-{part}"
        if not os.path.exists(path):
            prepare(Half(data_dir, part), path)
        data[part] = PreparedData(path)
    return data


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "Directory of the original files.", required=True)
    flags.DEFINE_string("output_dir", "build/refresh", "Directory for the results.")
    flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds.")
    flags.DEFINE_multi_enum("rows", [ALL], [SECOND, ALL], "The new rows.")
    flags.DEFINE_enum("head", "residual_small", HEADS.names(), "The head of the added tasks.")
    flags.DEFINE_bool("quick", False, "One epoch, one seed, few rows.")
    program.run(main)
