r"""What each kind of feature and task brings on `synthetic_logs`, the built-in data of real logs.

    python benchmarks/real_logs.py [--rows=30000] [--seeds=1,2] [--output_dir=DIR] [--quick]

Every way trains a small model (`shared_bottom`) with each seed, and is judged on test rows that
have half as many rows as training has. Features are added one at a time to those of `synthetic`;
ways of a task have all features. Prints a Markdown table for each group, means over seeds, with the
best possible values in the last line. A run that was interrupted continues.
"""

import dataclasses
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from mptrec_tf.bin import program
from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.base import Feature
from mptrec_tf.data.features.buckets import Buckets
from mptrec_tf.data.features.numeric import MEAN, Numeric
from mptrec_tf.data.features.sequences import ValueSequence
from mptrec_tf.data.features.times import Time
from mptrec_tf.data.sets.synthetic import spec as synthetic_spec
from mptrec_tf.data.sets.synthetic_logs.rows import SyntheticLogs
from mptrec_tf.data.sets.synthetic_logs.spec import FEATURES, LATER_TASKS, TASKS
from mptrec_tf.data.sources.block import Block, read_split
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import ISOTONIC, NONE, Task, drop_unlabelled
from mptrec_tf.data.tasks.classes import ClassesTask
from mptrec_tf.data.tasks.regression import HUBER, LOG, STANDARD, RegressionTask
from mptrec_tf.storage.directories import write_file

ROWS, SEEDS = 30_000, (1, 2)
QUICK_ROWS = 600
EPOCHS, PATIENCE = 15, 3
_MEAN_SECONDS = np.exp(4.5)  # of the logarithms that they are drawn from
ALL, SAMPLED, NO_FEATURE = "all", "sampled", "those of `synthetic`"

_CLICK, _PURCHASE = (synthetic_spec.make_task(name) for name in ("click", "purchase"))
_WATCH, _CART, _STARS, _ = LATER_TASKS
_SESSION = Numeric("session_seconds", "log", missing=MEAN)
_BUCKETS = Buckets("session_seconds")
ADDED: Mapping[str, tuple[Feature, ...]] = {
    NO_FEATURE: (),
    "topics, mean": (Bag("topic_names"),),
    "topics, mean by their weights": (Bag("item_topics", weights=True),),
    "history, mean": (Bag("history"),),
    "history, last 5": (ValueSequence("history", last=5),),
    "history, attention to the item": (ValueSequence("history", attend_to="item_id"),),
    "seconds, the mean where they are missing": (Numeric("filled_seconds", "log"),),
    "seconds, `missing: mean` (with an indicator)": (_SESSION,),
    "seconds, `buckets: 20`": (_BUCKETS,),
    "seconds, both": (_SESSION, _BUCKETS),
    "time, weekday": (Time("shown_at", parts=("weekday",)),),
}


def _change(task: Task, name: str, **fields: Any) -> Task:
    return dataclasses.replace(task, name=name, **fields)


# The same labels as tasks of other kinds, or with other options.
_WAYS_OF_TASKS = (
    _change(_CART, "cart_all", given=None),
    _change(_CART, "cart_clicked", given=None, where={"click": 1}),
    *(
        _change(_WATCH, f"watch_{scale}_{loss}", scale=scale, loss=loss)
        for scale, loss in ((STANDARD, "squared"), (STANDARD, HUBER), (LOG, HUBER))
    ),
    ClassesTask("stars_classes", "stars", missing="skip", values=_STARS.levels),
    RegressionTask("stars_number", "stars", missing="skip"),
    _change(_PURCHASE, "purchase_isotonic", calibrate=ISOTONIC),
    _change(_PURCHASE, "purchase_none", calibrate=NONE),
    _change(_PURCHASE, "purchase_heavy", positive_weight=10.0),
    _change(_PURCHASE, "purchase_heavy_none", positive_weight=10.0, calibrate=NONE),
)
_TASKS = (_CLICK, _WATCH, _CART, _STARS, _PURCHASE)
# Features and tasks of each preparation.
DATA: Mapping[str, tuple[tuple[Feature, ...], tuple[Task, ...]]] = {
    **{
        name: ((*synthetic_spec.FEATURES, *features), _TASKS[:3])
        for name, features in ADDED.items()
    },
    ALL: (FEATURES, (*_TASKS, *_WAYS_OF_TASKS)),
    SAMPLED: (
        FEATURES,
        (
            _PURCHASE,
            _change(_PURCHASE, "purchase_sampled", sample_negatives=0.1),
        ),
    ),
}


def _product(of: Mapping[str, np.ndarray]) -> np.ndarray:
    return of["click"] * of["cart_clicked"]


def _expected_level(of: Mapping[str, np.ndarray]) -> np.ndarray:
    return of["stars_classes"] @ np.array(_STARS.levels, float)


@dataclasses.dataclass(frozen=True)
class Way:
    """A training, and how its predictions are judged.

    Attributes:
      group: str. The table that it stands in.
      name: str. Its line in the table.
      tasks: Names of the trained tasks.
      judged: Predictions by task, each from those of the trained tasks.
      data: str. The preparation, of `DATA`.
    """

    group: str
    name: str
    tasks: tuple[str, ...]
    judged: Mapping[str, Callable[[Mapping[str, np.ndarray]], np.ndarray]]
    data: str = ALL


def _take(name: str) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    return lambda of: of[name]


_BOTH = {name: _take(name) for name in ("watch", "cart")}
_FEATURES, _SPACE, _NUMBER = "feature", "cart, after a click", "watch time"
_LEVELS, _RARE = "stars", "purchase (9% positives)"
WAYS = (
    *(Way(_FEATURES, name, ("click", "watch", "cart"), _BOTH, name) for name in ADDED),
    Way(_FEATURES, "all (the default of `synthetic_logs`)", ("click", "watch", "cart"), _BOTH),
    Way(_SPACE, "`given: click`", ("click", "cart"), {"cart": _take("cart")}),
    Way(_SPACE, "all rows, without `given`", ("click", "cart_all"), {"cart": _take("cart_all")}),
    Way(_SPACE, "clicked rows alone, times click", ("click", "cart_clicked"), {"cart": _product}),
    *(
        Way(_NUMBER, name, (task,), {"watch": _take(task)})
        for name, task in (
            ("`scale: log`", "watch"),
            ("`scale: log`, `loss: huber`", "watch_log_huber"),
            ("`scale: standard`", "watch_standard_squared"),
            ("`scale: standard`, `loss: huber`", "watch_standard_huber"),
        )
    ),
    Way(_LEVELS, "`ordinal`", ("stars",), {"stars": _take("stars")}),
    Way(_LEVELS, "`classes`, expected level", ("stars_classes",), {"stars": _expected_level}),
    Way(_LEVELS, "`regression`", ("stars_number",), {"stars": _take("stars_number")}),
    *(
        Way(_RARE, name, (task,), {"purchase": _take(task)}, data)
        for name, task, data in (
            ("`calibrate: platt` (default)", "purchase", ALL),
            ("`calibrate: isotonic`", "purchase_isotonic", ALL),
            ("`calibrate: none`", "purchase_none", ALL),
            ("`positive_weight: 10`", "purchase_heavy", ALL),
            ("`positive_weight: 10`, `calibrate: none`", "purchase_heavy_none", ALL),
            ("`sample_negatives: 0.1`", "purchase_sampled", SAMPLED),
        )
    ),
)
# One of each group, on one preparation.
QUICK_WAYS = tuple({way.group: way for way in WAYS if way.data == ALL}.values())
# Task and metric of each column of a group's table, and its title.
COLUMNS = {
    _FEATURES: (
        ("watch", "concordance", "watch: concordance"),
        ("watch", "rmse", "RMSE, s"),
        ("watch", "mae", "MAE, s"),
        ("cart", "auc", "cart: AUC"),
        ("cart", "log_loss", "log loss"),
    ),
    _SPACE: (
        ("cart", "auc", "AUC"),
        ("cart", "log_loss", "log loss"),
        ("cart", "calibration", "mean prediction over mean label"),
        ("cart", "clicked_auc", "AUC of cart given click, clicked rows"),
    ),
    _NUMBER: (
        ("watch", "concordance", "concordance"),
        ("watch", "rmse", "RMSE, s"),
        ("watch", "mae", "MAE, s"),
        ("watch", "rank_correlation", "rank correlation"),
    ),
    _LEVELS: (
        ("stars", "concordance", "concordance"),
        ("stars", "mae", "MAE"),
        ("stars", "rank_correlation", "rank correlation"),
    ),
    _RARE: (
        ("purchase", "auc", "AUC"),
        ("purchase", "log_loss", "log loss"),
        ("purchase", "calibration", "mean prediction over mean label"),
        ("purchase", "ece", "expected calibration error"),
    ),
}


class Logs:
    """`synthetic_logs` with a spec of some features and tasks, and two more columns.

    Args:
      rows: Training rows; validation has a quarter and test half of them.
      data: A name in `DATA`.
    """

    def __init__(self, rows: int, data: str = ALL):
        features, tasks = DATA[data]
        self.spec = DatasetSpec("synthetic_logs", features, tasks, user_id="user_id")
        counts = {"train": rows, "validation": rows // 4, "test": rows // 2}
        self._source = SyntheticLogs(counts, tasks=TASKS)

    def shards(self, split: str) -> Sequence[Any]:
        """Returns the shards of a split."""
        return self._source.shards(split)

    def read(self, shard: Any) -> Iterator[Block]:
        """Yields the rows of a shard, with topics without weights, and seconds in every row."""
        for block in self._source.read(shard):
            texts, place = np.unique(block.columns["item_topics"].astype(str), return_inverse=True)
            names = ["|".join(v.split(":")[0] for v in text.split("|")) for text in texts]
            seconds = block.columns["session_seconds"]
            more = {
                "topic_names": np.array(names, object)[place],
                "filled_seconds": np.where(np.isnan(seconds), _MEAN_SECONDS, seconds),
            }
            yield dataclasses.replace(block, columns={**block.columns, **more})

    def estimated_rows(self, split: str) -> int:
        """Returns the number of a split's rows."""
        return self._source.estimated_rows(split)


def measure(way: Way, data_dir: str, seed: int, epochs: int) -> dict[str, dict[str, float]]:
    """Trains in one way; returns the metrics of the judged tasks on the test rows."""
    from mptrec_tf.data.prepared import PreparedData
    from mptrec_tf.data.tasks.slices import split_predictions
    from mptrec_tf.evaluation.metrics import auc
    from mptrec_tf.keras import keras
    from mptrec_tf.models.trainer import Trainer
    from mptrec_tf.training.batches import evaluate_rows, load_rows
    from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
    from mptrec_tf.training.pretraining import pretrain
    from mptrec_tf.training.run_context import RunContext

    keras.backend.clear_session()
    data = PreparedData(data_dir)
    training = TrainingConfig(epochs=epochs, patience=PATIENCE, seed=seed)
    config = PretrainingConfig(way.tasks, "shared_bottom", training=training)
    with tempfile.TemporaryDirectory() as folder:
        model, result = pretrain(data, config, RunContext(folder, show_progress=False))
    tasks = result.complete(data.spec.select_tasks(way.tasks))
    rows = load_rows(data, "test", (*way.judged, "click") if "cart" in way.judged else way.judged)
    report, labels, _ = evaluate_rows(Trainer(model, tasks), rows)
    predicted = dict(zip(way.tasks, split_predictions(tasks, report["prediction"]), strict=True))
    metrics = {}
    for i, (name, choose) in enumerate(way.judged.items()):
        [task], prediction = data.spec.select_tasks([name]), choose(predicted)
        metrics[name] = task.metrics(*drop_unlabelled(labels[:, i], prediction))
        if name == "cart":
            clicked = labels[:, -1] == 1
            given = (prediction / predicted["click"])[clicked]
            metrics[name]["clicked_auc"] = auc(labels[clicked, i], given)
    return metrics


def compute_best(rows: int) -> dict[str, dict[str, float]]:
    """Returns the best possible metrics of each task on the test rows."""
    from mptrec_tf.evaluation.metrics import auc

    source = Logs(rows)
    blocks = list(read_split(source, "test"))

    def read(column: str) -> np.ndarray:
        return np.concatenate([block.columns[column] for block in blocks])

    best = {}
    for task in source.spec.select_tasks([task.name for task in _TASKS]):
        labels = [task.labels(block, source.spec.missing_values) for block in blocks]
        known = np.stack([read(column) for column in task.known_columns], axis=1)
        labels, known = drop_unlabelled(np.concatenate(labels), known)
        if task.needs_values:
            counts = zip(*np.unique(labels, return_counts=True), strict=True)
            task = task.fit_values({f"{level:g}": int(count) for level, count in counts})
        known = known if known.shape[1] > 1 else known[:, 0]
        single = known if known.ndim == 1 else np.full(len(labels), labels.mean())
        metrics = task.metrics(labels, single, known=known)
        best[task.name] = {k[5:]: v for k, v in metrics.items() if k.startswith("best_")}
    clicked = read("click") == 1
    given = read(_CART.known_probability) / read(_CLICK.known_probability)
    best["cart"]["clicked_auc"] = auc(read("cart")[clicked], given[clicked])
    return best


def make_table(
    group: str,
    results: Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]],
    best: Mapping[str, Mapping[str, float]],
) -> str:
    """Returns a group's table in Markdown: a line for each way, then the best possible values.

    Args:
      group: One of `COLUMNS`.
      results: Metrics of each seed by way.
      best: What `compute_best` returned.
    """
    columns = COLUMNS[group]

    def line(name: str, values: Sequence[float | None]) -> str:
        shown = ("" if value is None else f"{value:.4f}" for value in values)
        return "| " + " | ".join((name, *shown)) + " |"

    lines = [
        "| " + " | ".join((group, *(title for *_, title in columns))) + " |",
        "|" + "---|" * (len(columns) + 1),
    ]
    for name, runs in results.items():
        means = [statistics.mean(run[task][metric] for run in runs) for task, metric, _ in columns]
        lines.append(line(name, means))
    lines.append(line("best possible", [best[task].get(metric) for task, metric, _ in columns]))
    return "\n".join(lines)


def run(
    output_dir: str, rows: int, seeds: Sequence[int], ways: Sequence[Way], epochs: int = EPOCHS
) -> Iterator[str]:
    """Prepares and trains what is not there yet; yields the table of each group.

    Args:
      output_dir: Directory for the results.
      rows: Training rows.
      seeds: Seeds of the trainings.
      ways: Some of `WAYS`.
      epochs: The most epochs of a training.
    """
    from mptrec_tf.data.prepare import prepare

    folder = os.path.join(output_dir, f"{rows}_rows_{epochs}_epochs")
    os.makedirs(folder, exist_ok=True)
    numbers = {name: number for number, name in enumerate(DATA)}
    results: dict[tuple[str, str], list[dict]] = {}
    jobs = [(way, seed) for seed in seeds for way in ways]
    with program.progress("trainings", len(jobs), "trainings") as done:
        for way, seed in jobs:
            path = os.path.join(folder, f"{WAYS.index(way)}_{seed}.json")
            if not os.path.exists(path):
                data = os.path.join(folder, f"data_{numbers[way.data]}")
                if not os.path.exists(data):
                    prepare(Logs(rows, way.data), data)
                write_file(path, json.dumps(measure(way, data, seed, epochs)))
            with open(path, encoding="utf-8") as file:
                results.setdefault((way.group, way.name), []).append(json.load(file))
            done(1)
    best = compute_best(rows)
    for group in dict.fromkeys(way.group for way in ways):
        of_group = {name: runs for (of, name), runs in results.items() if of == group}
        yield make_table(group, of_group, best)


def main(_) -> None:
    """Runs the benchmark."""
    given = flags.FLAGS
    rows, seeds = given.rows, [int(seed) for seed in given.seeds]
    if given.quick:
        tables = run(given.output_dir, QUICK_ROWS, seeds[:1], QUICK_WAYS, epochs=1)
    else:
        tables = run(given.output_dir, rows, seeds, WAYS)
    for table in tables:
        print(table, end="\n\n")


if __name__ == "__main__":
    flags.DEFINE_integer("rows", ROWS, "Training rows.", lower_bound=QUICK_ROWS)
    flags.DEFINE_list("seeds", [str(seed) for seed in SEEDS], "Seeds of the trainings.")
    flags.DEFINE_string("output_dir", "build/real_logs", "Directory for the results.")
    flags.DEFINE_bool("quick", False, f"A way of each group, an epoch of {QUICK_ROWS} rows.")
    program.run(main)
