r"""What a frozen backbone costs as days pass, and when a refresh pays, on `synthetic_days`.

    python benchmarks/ageing.py [--output_dir=build/ageing] [--seeds=1] [--quick]

Tastes turn, items come and go, and the best AUC of each day is known. A model that is pre-trained
on click, like and share and has purchase added, all on the first week, predicts each day of the
four weeks that follow, in one of these ways (later days with new items, as DITTO is judged, SIGIR
2025):

    frozen              as it was after the first week
    heads daily         purchase's head trained again each day, on the frozen backbone
    refreshed, warm     weekly: a new backbone from the old one's weights, and heads from theirs
    refreshed, scratch  weekly: a new backbone and new heads
    joint daily         all four tasks jointly from scratch, each day

Every training reads the seven days before, and never the day that it is judged on. Cost is CPU
seconds of trainings, all threads of this process; preparation and the first model are left out.
Results are appended to results.jsonl; a run that was interrupted continues. Writes the table, and
the plot as PNG and SVG.
"""

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags
from ageing_report import (
    FROZEN,
    HEADS,
    JOINT,
    NEW,
    OLD,
    SCRATCH,
    WARM,
    WAYS,
    make_table,
    plot,
    read_results,
)

from mptrec_tf.bin import program
from mptrec_tf.data.sets.synthetic.spec import TASKS, probability_column
from mptrec_tf.data.sets.synthetic_days.rows import Change, SyntheticDays
from mptrec_tf.data.sets.synthetic_days.spec import DAY
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.tasks.regression import RegressionTask
from mptrec_tf.storage.directories import write_file

SHAPE = {"expert_units": (64, 32), "tower_units": (32, 16)}


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
      days: int. Days that are predicted.
      week: int. Days of a training, the last two of which have validation rows, and days from one
        refresh to the next.
      rows: Rows of a day, by split.
      epochs: int. The most epochs of a backbone.
      head_epochs: int. Epochs of a head.
    """

    days: int = 28
    week: int = 7
    rows: Mapping[str, int] = dataclasses.field(
        default_factory=lambda: {"train": 3000, "validation": 1500, "test": 6000}
    )
    epochs: int = 30
    head_epochs: int = 15

    @property
    def tested(self) -> range:
        """The days that are predicted: those after the first week."""
        return range(self.week, self.week + self.days)

    def list_window(self, last: int) -> dict[str, range]:
        """Returns the days of a training that ends with a day, by split."""
        first = last - self.week + 1
        return {
            "train": range(first, last + 1),
            "validation": range(max(first, last - 1), last + 1),
        }


FULL = Size()
QUICK = Size(3, 2, {"train": 150, "validation": 150, "test": 200}, epochs=1, head_epochs=1)


class Days:
    """Rows of `synthetic_days`, with any days in each split, and the day as a label.

    Args:
      change: What changes, and how fast.
      rows: Rows of a day by split.
      days: Days by split.
    """

    def __init__(self, change: Change, rows: Mapping[str, int], days: Mapping[str, Sequence[int]]):
        self._source = SyntheticDays(0, 1, rows=rows, change=change)
        self._rows, self._days = rows, days
        self.spec = dataclasses.replace(
            self._source.spec, tasks=(*self._source.spec.tasks, RegressionTask(DAY, DAY))
        )

    def shards(self, split: str) -> Sequence[tuple[str, int, int, int]]:
        """Returns the shards of a split: one for each day."""
        return [(split, day, 0, self._rows[split]) for day in self._days.get(split, ())]

    def read(self, shard: tuple[str, int, int, int]) -> Iterator[Block]:
        """Yields the rows of a shard."""
        return self._source.read(shard)

    def estimated_rows(self, split: str) -> int:
        """Returns the number of a split's rows."""
        return self._rows[split] * len(self._days.get(split, ()))


def compute_best(change: Change, size: Size, day: int) -> dict[str, float]:
    """Returns the best possible AUC of each task on a day's test rows."""
    from mptrec_tf.evaluation.metrics import auc

    blocks = [
        block.columns
        for block in SyntheticDays(0, 1, change=change).read(("test", day, 0, size.rows["test"]))
    ]
    rows = {name: np.concatenate([of[name] for of in blocks]) for name in blocks[0]}
    return {task: auc(rows[task], rows[probability_column(task)]) for task in TASKS}


class Ageing:
    """The runs of one seed, whose parts are stored.

    Args:
      folder: Where prepared data, trained models and results are.
      seed: Of the data and of all trainings.
      size: How much is run.
    """

    def __init__(self, folder: str, seed: int, size: Size):
        from mptrec_tf.training import configurations

        self._folder, self._seed, self._size = f"{folder}/{seed}", seed, size
        self._change = Change(seed)
        training = configurations.TrainingConfig(
            epochs=size.epochs, patience=3, learning_rate=2e-3, seed=seed
        )
        self._pretraining = configurations.PretrainingConfig(OLD, shape=SHAPE, training=training)
        self._joint = dataclasses.replace(self._pretraining, tasks=TASKS)
        head = {"seed": seed, "epochs": size.head_epochs}
        self._heads = {NEW: configurations.NewTaskConfig("residual_small", training=head)}

    def prepare(self, name: str, days: Mapping[str, Sequence[int]], transform: str | None = None):
        """Returns the data of some days, prepared once."""
        from mptrec_tf.data.prepare import prepare
        from mptrec_tf.data.prepared import PreparedData

        path = f"{self._folder}/data/{name}"
        if not os.path.exists(path):
            prepare(Days(self._change, self._size.rows, days), path, transform_dir=transform)
        return PreparedData(path)

    def run(self, done: Collection[tuple[str, int]] = ()) -> Iterator[dict[str, Any]]:
        """Yields a result for each way and day: AUC by task, CPU seconds and epochs before it.

        Args:
          done: Ways and days that are left out; a way's days are done in their order.
        """
        missing = {
            way: [day for day in self._size.tested if (way, day - self._size.week + 1) not in done]
            for way in WAYS
        }
        if any(missing[way] for way in WAYS[:-1]):
            yield from self._age(missing)
        yield from self._train_jointly(missing[JOINT])

    def _age(self, missing: Mapping[str, Sequence[int]]) -> Iterator[dict[str, Any]]:
        """Yields the results of what begins with the first model."""
        first, rows = self._train_first()
        frozen = self._score(first, rows, self._size.tested)
        for day in missing[FROZEN]:
            yield self._result(FROZEN, day, frozen[day])
        yield from self._train_heads(missing[HEADS], first, frozen)
        for way in (WARM, SCRATCH):
            if missing[way]:
                for result in self._refresh(way, first, frozen):
                    if result["day"] + self._size.week - 1 in missing[way]:
                        yield result

    def _result(
        self, way: str, day: int, auc: Mapping[str, float], seconds: float = 0.0, epochs: int = 0
    ) -> dict[str, Any]:
        known = {"seed": self._seed, "way": way, "day": day - self._size.week + 1}
        best = compute_best(self._change, self._size, day)
        return known | {"auc": dict(auc), "best": best, "seconds": seconds, "epochs": epochs}

    def _train_first(self) -> tuple[Any, Any]:
        """Returns the first model, and data with the rows of all predicted days."""
        from generations import train_generation

        days = self._size.list_window(self._size.week - 1) | {"test": self._size.tested}
        data = self.prepare("first", days)
        return train_generation(data, self._pretraining, self._heads, f"{self._folder}/first"), data

    def _score(self, generation: Any, data: Any, days: Sequence[int]) -> dict[int, dict]:
        """Returns AUC by task of the test rows of some days, by day."""
        from generations import predict

        from mptrec_tf.data.packed import LABELS
        from mptrec_tf.evaluation.metrics import auc
        from mptrec_tf.training.batches import load_rows

        predictions, labels = predict(data, generation)
        of = load_rows(data, "test", [DAY]).columns[LABELS].numpy()[:, 0]
        return {
            day: {
                task: float(auc(labels[task][of == day], values[of == day]))
                for task, values in predictions.items()
            }
            for day in days
        }

    def _train_heads(
        self, days: Sequence[int], first: Any, frozen: Mapping[int, Mapping]
    ) -> Iterator[dict[str, Any]]:
        from mptrec_tf.evaluation.metrics import auc
        from mptrec_tf.models.prompted import PromptedMPTRec
        from mptrec_tf.training.batches import load_rows
        from mptrec_tf.training.new_task import learn, predict_heads
        from mptrec_tf.training.representations import encode_rows
        from mptrec_tf.training.run_context import RunContext

        if not days:
            return
        known = range(self._size.tested[-1])
        data = self.prepare(
            "frozen",
            {"train": known, "validation": known, "test": self._size.tested},
            first.backbone.transform_dir,
        )
        rows = {s: load_rows(data, s, (NEW, DAY)) for s in ("train", "validation", "test")}
        [task] = data.spec.select_tasks([NEW])
        work = f"{self._folder}/head.training"
        for day in days:
            if day == self._size.week:
                yield self._result(HEADS, day, frozen[day])
                continue
            shutil.rmtree(work, ignore_errors=True)
            start, model = time.process_time(), PromptedMPTRec(first.backbone.model)
            encoded = [
                encode_rows(model, select_rows(rows[split], of, (0,)), work)
                for split, of in self._size.list_window(day - 1).items()
            ]
            context = RunContext(work, show_progress=False)
            model = first.backbone.model
            chosen, _ = learn(model, data, NEW, self._heads[NEW], context, tuple(encoded))
            seconds = time.process_time() - start
            tested = select_rows(rows["test"], (day,), (0,))
            predicted, labels, _ = predict_heads(model, task, {NEW: chosen.head}, tested)
            scores = {**frozen[day], NEW: float(auc(labels, predicted[NEW]))}
            yield self._result(HEADS, day, scores, seconds, len(chosen.result.history))

    def _refresh(
        self, way: str, first: Any, frozen: Mapping[int, Mapping]
    ) -> Iterator[dict[str, Any]]:
        from generations import train_generation

        generation, days = first, self._size.tested
        for day in days[: self._size.week]:
            yield self._result(way, day, frozen[day])
        for start in days[self._size.week :: self._size.week]:
            week = range(start, min(start + self._size.week, days.stop))
            data = self.prepare(f"week-{start}", self._size.list_window(start - 1) | {"test": week})
            generation = train_generation(
                data,
                self._pretraining,
                self._heads,
                f"{self._folder}/{way}-{start}",
                generation if way == WARM else None,
            )
            epochs = sum(of["epochs"] for of in generation.cost.values())
            for day, scores in self._score(generation, data, week).items():
                cost = (generation.count_seconds(), epochs) if day == start else ()
                yield self._result(way, day, scores, *cost)

    def _train_jointly(self, days: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Trains all tasks each day, on data that are prepared once.

        An item that a window's training rows lack gets the id of unknown ones there, as it would if
        each window were prepared by itself.
        """
        from mptrec_tf.data.transform.graph import get_id_ranges, open_transform
        from mptrec_tf.keras import keras
        from mptrec_tf.models.trainer import Trainer
        from mptrec_tf.training.batches import evaluate_rows, load_rows
        from mptrec_tf.training.pretraining import pretrain
        from mptrec_tf.training.run_context import RunContext

        if not days:
            return
        known = range(self._size.tested[-1])
        by_split = {"train": known, "validation": known, "test": self._size.tested}
        data = self.prepare("all", by_split)
        rows = {split: load_rows(data, split, (*TASKS, DAY)) for split in by_split}
        ranges = get_id_ranges(data.spec, open_transform(data.transform_dir))
        names = [feature.name for feature in data.spec.section("categorical")]
        column, first_id, count = ranges[names.index("item_id")]
        tasks, columns = data.spec.select_tasks(TASKS), range(len(TASKS))
        work = f"{self._folder}/joint.training"
        for day in days:
            keras.backend.clear_session()
            shutil.rmtree(work, ignore_errors=True)
            window = {**self._size.list_window(day - 1), "test": (day,)}
            of = {split: select_rows(rows[split], d, columns) for split, d in window.items()}
            of = forget_ids(of, column, first_id + count - 1)
            context, start = RunContext(work, show_progress=False), time.process_time()
            model, result = pretrain(data, self._joint, context, (of["train"], of["validation"]))
            seconds = time.process_time() - start
            report, labels, _ = evaluate_rows(Trainer(model, tasks), of["test"])
            scores = {
                task.name: task.score(labels[:, i], report["prediction"][:, i])
                for i, task in enumerate(tasks)
            }
            yield self._result(JOINT, day, scores, seconds, len(result.history))


def select_rows(rows: Any, days: Sequence[int], tasks: Sequence[int]) -> Any:
    """Returns the rows of some days, with the labels of some tasks.

    Args:
      rows: Rows in memory, whose last label is the day.
      days: The days.
      tasks: The columns of the labels.
    """
    import tensorflow as tf

    from mptrec_tf.data.packed import LABELS, ROW
    from mptrec_tf.training.batches import make_memory_rows

    chosen = np.flatnonzero(np.isin(rows.columns[LABELS].numpy()[:, -1], list(days)))
    columns = {k: tf.gather(v, chosen) for k, v in rows.columns.items() if k != ROW}
    columns[LABELS] = tf.gather(columns[LABELS], list(tasks), axis=1)
    return make_memory_rows(columns)


def forget_ids(rows: Mapping[str, Any], column: int, unknown: int) -> dict[str, Any]:
    """Returns rows by split in which ids of a column that training rows lack are unknown."""
    import tensorflow as tf

    from mptrec_tf.data.packed import CATEGORICAL, ROW
    from mptrec_tf.training.batches import make_memory_rows

    seen = np.unique(rows["train"].columns[CATEGORICAL].numpy()[:, column])
    changed = {}
    for split, of in rows.items():
        ids = of.columns[CATEGORICAL].numpy().copy()
        ids[~np.isin(ids[:, column], seen), column] = unknown
        columns = {k: v for k, v in of.columns.items() if k != ROW}
        changed[split] = make_memory_rows({**columns, CATEGORICAL: tf.constant(ids)})
    return changed


def run(folder: str, seeds: Sequence[int], size: Size) -> str:
    """Runs what is not in results.jsonl yet; writes and returns the table, and draws the plot."""
    os.makedirs(folder, exist_ok=True)
    path = f"{folder}/results.jsonl"
    results = read_results(path)
    write_file(path, "".join(f"{json.dumps(of)}\n" for of in results))
    for seed in seeds:
        done = {(of["way"], of["day"]) for of in results if of["seed"] == seed}
        for result in Ageing(folder, seed, size).run(done):
            with open(path, "a", encoding="utf-8") as file:
                file.write(f"{json.dumps(result)}\n")
            results.append(result)
    table = make_table(results, size.week)
    write_file(f"{folder}/ageing.md", f"{table}\n")
    plot(results, size.week, f"{folder}/ageing")
    return table


def main(_) -> None:
    """Runs the benchmark."""
    given = flags.FLAGS
    folder, seeds = given.output_dir.rstrip("/"), [int(seed) for seed in given.seeds]
    print(run(f"{folder}/quick", seeds[:1], QUICK) if given.quick else run(folder, seeds, FULL))


if __name__ == "__main__":
    flags.DEFINE_string("output_dir", "build/ageing", "Directory for the results.")
    flags.DEFINE_list("seeds", ["1"], "Seeds of data and trainings.")
    flags.DEFINE_bool("quick", False, "Three days of few rows, one epoch.")
    program.run(main)
