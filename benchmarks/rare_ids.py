"""How overconfident stage 1 is where ids are rare or new, with several remedies.

    python benchmarks/rare_ids.py [--data_dir=DIR] [--quick]

Data sets: `ratings`, people who arrive one after the other and rate in one go, split by time, so
that training never saw most people of the validation and test rows; `visitors`, most of whom come
once or twice; `synthetic`, 10,000 of the built-in rows; and, with --data_dir, Census-Income. Each
remedy pre-trains on each of them with each seed, and each training is measured twice: plain and
calibrated. The scores are means over tasks of the AUC, and of the log loss divided by that of a
constant, the mean label of those rows (above 1: worse than the constant). Calibration is fitted on
the validation rows; for their own scores each half is fitted on the other. An interrupted run
continues: existing results are reused.
"""

import json
import os
import statistics
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from absl import flags

from mptrec_tf.bin import program

# min_count: rarer values share the unknown id. rate: each id becomes the unknown one in training
# with this probability. strength s: with the probability s / (s + n), for an id in n rows. match:
# with the share of the validation rows that have the unknown id.
REMEDIES: Mapping[str, Mapping[str, float]] = {
    "as it was": {},
    "min_count 30": {"min_count": 30},
    "id dropout .1": {"rate": 0.1},
    "id dropout 1 / (1 + n)": {"strength": 1.0},
    "id dropout .3": {"rate": 0.3},
    "id dropout 10 / (10 + n)": {"strength": 10.0},
    "id dropout as validation": {"match": 1.0},
}
QUICK_REMEDIES = ("as it was", "id dropout 1 / (1 + n)")
# These get only one seed of one data set.
RATINGS_1_ONLY = ("id dropout .3", "id dropout 10 / (10 + n)", "id dropout as validation")
EPOCHS, PATIENCE = 30, 4

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory of Census-Income's original files.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", "build/rare_ids", "Directory for the results.")
_QUICK = flags.DEFINE_bool("quick", False, "One seed of `ratings`, two remedies: some minutes.")


class Rows(NamedTuple):
    """Rows before they are packed: the first are for training, then come validation and test.

    Attributes:
      values: Values of each categorical feature, [n] int.
      numeric: [n, N].
      labels: [n, T].
      tasks: T names.
      ends: Where the training and the validation rows end.
    """

    values: Mapping[str, np.ndarray]
    numeric: np.ndarray
    labels: np.ndarray
    tasks: tuple[str, ...]
    ends: tuple[int, int]


def _power_law(count: int, power: float) -> np.ndarray:
    """Returns the probabilities [count] of a power law."""
    weights = np.arange(1, count + 1) ** -power
    return weights / weights.sum()


def ratings(seed: int) -> Rows:
    """Makes rows of some 200 people, 1,200 items; few people are in more than one split."""
    random = np.random.default_rng([seed, 77])
    people, items, factors = 200, 1200, 6
    count = np.maximum(20, random.lognormal(4.1, 0.9, people)).astype(int)
    arrival = np.sort(random.random(people))
    likes, liked = random.normal(0, 1.2, people), random.normal(0, 0.9, items)
    of_people = random.normal(size=(people, factors)) / np.sqrt(factors)
    of_items = random.normal(size=(items, factors))
    age, sex = random.integers(0, 50, people), random.integers(0, 2, people)
    job, home = random.integers(0, 21, people), random.integers(0, 2 * people, people)
    genre, year = random.integers(0, 18, items), random.integers(0, 10, items)
    taste = random.normal(0, 0.4, (7, 18))
    p = np.repeat(np.arange(people), count)
    time = np.repeat(arrival, count) + random.exponential(0.01, len(p))
    i = random.choice(items, len(p), p=_power_law(items, 0.9))
    score = 0.4 + likes[p] + liked[i] + 1.2 * (of_people[p] * of_items[i]).sum(1)
    score = score + taste[age[p] // 8, genre[i]] + random.logistic(0, 1, len(p))
    order = np.argsort(time, kind="stable")
    values = {"person": p, "item": i, "age": age[p], "sex": sex[p], "job": job[p], "home": home[p]}
    values |= {"title": i, "genre": genre[i], "year": year[i]}
    score = score[order]
    return Rows(
        {name: value[order] for name, value in values.items()},
        random.random((len(p), 1)).astype(np.float32),
        np.stack([score > 0, score > 2.2], 1).astype(np.float32),
        ("like", "love"),
        (int(0.8 * len(p)) // 256 * 256, int(0.9 * len(p))),
    )


def visitors(seed: int) -> Rows:
    """Makes rows of 8,000 users and 1,200 items, 15,360 for training."""
    random = np.random.default_rng([seed, 78])
    rows, users, items, factors = 15_360, 8000, 1200, 4
    count = int(rows * 1.5)
    u = random.choice(users, count, p=_power_law(users, 0.8))
    i = random.choice(items, count, p=_power_law(items, 1.0))
    segment, category = random.integers(0, 8, users), random.integers(0, 20, items)
    likes, liked = random.normal(0, 0.7, users), random.normal(0, 0.7, items)
    of_users = random.normal(size=(users, factors)) / np.sqrt(factors)
    of_items = random.normal(size=(items, factors))
    taste = random.normal(0, 0.6, (8, 20))
    device, by_device = random.integers(0, 4, count), random.normal(0, 0.4, 4)
    hour, by_hour = random.integers(0, 24, count), random.normal(0, 0.2, 24)
    score = likes[u] + liked[i] + (of_users[u] * of_items[i]).sum(1)
    score = score + taste[segment[u], category[i]] + by_device[device] + by_hour[hour]
    own = random.normal(0, 0.7, users)[u] + random.normal(0, 0.5, items)[i]
    shares = (1 / (1 + np.exp(2.0 - score)), 1 / (1 + np.exp(3.5 - (0.6 * score + 0.8 * own))))
    labels = np.stack([random.random(count) < share for share in shares], 1).astype(np.float32)
    values = {"user": u, "item": i, "segment": segment[u], "category": category[i]}
    return Rows(
        values | {"device": device, "hour": hour},
        random.random((count, 1)).astype(np.float32),
        labels,
        ("click", "buy"),
        (rows, rows + rows // 4),
    )


def _read_rows(source, tasks: tuple[str, ...]) -> Rows:
    """Reads a data set of the package; scales numbers to [0, 1], or standardises logarithms."""
    from mptrec_tf.data.sources.block import read_split
    from mptrec_tf.data.sources.splits import SPLITS

    spec = source.spec
    parts, labels, counts = {name: [] for name in spec.feature_names}, [], []
    for split in SPLITS:
        blocks = list(read_split(source, split))
        counts.append(sum(map(len, blocks)))
        for block in blocks:
            for feature in spec.categorical:
                parts[feature.name].append(block.text(feature.name).astype(str))
            for feature in spec.numeric:
                parts[feature.name].append(block.numbers(feature.name).astype(np.float64))
            of_block = [
                task.labels(block, spec.missing_values) for task in spec.select_tasks(tasks)
            ]
            labels.append(np.stack(of_block, 1))
    columns = {name: np.concatenate(part) for name, part in parts.items()}
    numeric = []
    for feature in spec.numeric:
        column = columns[feature.name]
        if feature.scale == "log":
            column = np.log1p(column)
            train = column[: counts[0]]
            numeric.append((column - train.mean()) / train.std())
        else:
            train = column[: counts[0]]
            numeric.append(np.clip((column - train.min()) / max(np.ptp(train), 1e-9), 0, 1))
    return Rows(
        {f.name: np.unique(columns[f.name], return_inverse=True)[1] for f in spec.categorical},
        np.stack(numeric, 1).astype(np.float32),
        np.concatenate(labels).astype(np.float32),
        tasks,
        (counts[0], counts[0] + counts[1]),
    )


def synthetic(seed: int) -> Rows:
    """Reads 10,000 of the built-in training rows."""
    from mptrec_tf.data.sets.synthetic.rows import Synthetic

    rows = {"train": 10_000, "validation": 2_000, "test": 4_000}
    return _read_rows(Synthetic(rows, seed, ("click", "like")), ("click", "like"))


def census_income(_: int) -> Rows:
    """Reads Census-Income."""
    from mptrec_tf.data.sets.census_income.rows import CensusIncome

    return _read_rows(CensusIncome(_DATA_DIR.value), ("income", "marital"))


SETS = {"ratings": (ratings, 3), "visitors": (visitors, 2), "synthetic": (synthetic, 1)}


def pack(rows: Rows, min_count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns ids [n, F], each column's unknown id [F], and each id's number of training rows."""
    columns, counts, unknown, first = [], [], [], 0
    for values in rows.values.values():
        seen = np.bincount(values[: rows.ends[0]], minlength=values.max() + 1)
        known = np.flatnonzero(seen >= min_count)
        known = known[np.argsort(-seen[known], kind="stable")]
        place = np.full(len(seen), len(known))
        place[known] = np.arange(len(known))
        columns.append(place[values] + first)
        unknown.append(first + len(known))
        counts.append(np.bincount(place[values[: rows.ends[0]]], minlength=len(known) + 1))
        first += len(known) + 1
    return np.stack(columns, 1), np.array(unknown), np.concatenate(counts)


def compute_rates(remedy: Mapping[str, float], ids, unknown, counts, ends) -> np.ndarray:
    """Returns each id's probability of becoming its column's unknown one in training."""
    strength = remedy.get("strength", 0.0)
    rates = np.zeros(len(counts))
    if strength:
        rates = strength / (strength + counts)
    rates = np.maximum(rates, remedy.get("rate", 0.0))
    if "match" in remedy:
        shares = (ids[ends[0] : ends[1]] == unknown).mean(axis=0)
        sizes = np.diff(unknown, prepend=-1)
        rates = np.maximum(rates, remedy["match"] * np.repeat(shares, sizes))
    return rates


def _score(labels: np.ndarray, probabilities: np.ndarray) -> list[float]:
    from mptrec_tf.evaluation.metrics import auc, calibration_ratio, log_loss

    constant = log_loss(labels, np.full(len(labels), labels.mean()))
    return [
        auc(labels, probabilities),
        log_loss(labels, probabilities) / constant,
        calibration_ratio(labels, probabilities),
    ]


def score_tasks(model, validation, test, tasks) -> dict[str, list[float]]:
    """Returns AUC, relative log loss and calibration ratio, by "split/task/plain or calibrated"."""
    from scipy.special import expit, logit

    from mptrec_tf.evaluation.platt import fit_scale_and_shift
    from mptrec_tf.training.batches import evaluate_rows

    def calibrate(p, fit):
        return expit(fit[0] * logit(np.clip(p, 1e-7, 1 - 1e-7)) + fit[1])

    scores = {}
    for split, rows in (("validation", validation), ("test", test)):
        report, labels, _ = evaluate_rows(model, rows)
        for i, task in enumerate(tasks):
            y, p = labels[:, i], report["prediction"][:, i].astype(np.float64)
            if split == "validation":
                half, whole = len(y) // 2, fit_scale_and_shift(p, y)
                parts = (slice(half), slice(half, None))
                fits = [fit_scale_and_shift(p[other], y[other]) for other in reversed(parts)]
                after = [calibrate(p[o], f) for o, f in zip(parts, fits, strict=True)]
                after = np.concatenate(after)
                scores[f"fit/{task}"] = list(whole)
            else:
                after = calibrate(p, scores[f"fit/{task}"])
            scores[f"{split}/{task}/plain"] = _score(y, p)
            scores[f"{split}/{task}/calibrated"] = _score(y, after)
    return scores


def measure(rows: Rows, remedy: Mapping[str, float], seed: int) -> dict[str, dict]:
    """Trains; returns the scores of the epochs with the best AUC and with the least log loss."""
    import tensorflow as tf

    from mptrec_tf.data.features.input_shape import InputShape
    from mptrec_tf.data.packed import CATEGORICAL, LABELS, NUMERIC
    from mptrec_tf.data.tasks.binary import BinaryTask
    from mptrec_tf.keras import keras
    from mptrec_tf.models.mptrec import MPTRec, MPTRecTrainer
    from mptrec_tf.models.shapes import MPTRecShape
    from mptrec_tf.models.trainer import Plan
    from mptrec_tf.training import loop
    from mptrec_tf.training.batches import make_memory_rows, make_training_batches
    from mptrec_tf.training.callbacks import EndEpoch
    from mptrec_tf.training.configurations import TrainingConfig

    class WithIdDropout(MPTRecTrainer):
        rates = None

        def compute_loss(self, inputs, training=False):
            if training and self.rates is not None:
                ids = inputs[CATEGORICAL]
                seeds = self.generator.make_seeds(1)[:, 0]
                chance = tf.random.stateless_uniform(tf.shape(ids), seeds)
                dropped = chance < tf.gather(self.rates, ids)
                inputs = {**inputs, CATEGORICAL: tf.where(dropped, self.unknown[None], ids)}
            return super().compute_loss(inputs, training)

    class ScoreEpochs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            epochs.append(score_tasks(self.model, validation, test, rows.tasks))
            means = [_mean(scores, "validation", "plain", 0) for scores in epochs]
            if epoch - int(np.argmax(means)) >= PATIENCE:
                self.model.stop_training = True

    ids, unknown, counts = pack(rows, int(remedy.get("min_count", 1)))
    loop.seed_everything(seed)
    parts = (slice(rows.ends[0]), slice(*rows.ends), slice(rows.ends[1], None))
    train, validation, test = (
        make_memory_rows(
            {
                CATEGORICAL: tf.constant(ids[part], tf.int64),
                NUMERIC: tf.constant(rows.numeric[part]),
                LABELS: tf.constant(rows.labels[part]),
            }
        )
        for part in parts
    )
    shape = MPTRecShape(
        rows.tasks,
        (
            InputShape(CATEGORICAL, ids.shape[1], len(counts)),
            InputShape(NUMERIC, rows.numeric.shape[1]),
        ),
    )
    config = TrainingConfig(seed=seed, epochs=EPOCHS)
    steps = train.steps(config.batch_size)
    tasks = [BinaryTask(name, name, ("1",)) for name in rows.tasks]
    model = WithIdDropout(MPTRec(shape), tasks, plan=Plan(EPOCHS * steps, train.count))
    rates = compute_rates(remedy, ids, unknown, counts, rows.ends)
    if rates.any():
        model.rates = tf.constant(rates, tf.float32)
        model.unknown = tf.constant(unknown, tf.int64)
        model.generator = tf.random.Generator.from_seed(
            int(keras.backend.random_uniform([], 0, 2**31 - 1, dtype="int32"))
        )
    model.fixed_shapes = False  # XLA would compile for longer than so few rows train
    loop.compile_model(model, config, steps)
    epochs = []
    model.fit(
        make_training_batches(train, config.batch_size, seed=seed, epochs=EPOCHS),
        epochs=EPOCHS,
        steps_per_epoch=steps,
        verbose=0,
        callbacks=[EndEpoch(train), ScoreEpochs()],
    )
    by_auc = int(np.argmax([_mean(scores, "validation", "plain", 0) for scores in epochs]))
    by_loss = int(np.argmin([_mean(scores, "validation", "plain", 1) for scores in epochs]))
    unseen = (ids[parts[1]] == unknown).mean(axis=0).max()
    return {"auc": epochs[by_auc], "log loss": epochs[by_loss], "unseen": float(unseen)}


def _mean(scores: Mapping[str, list[float]], split: str, which: str, metric: int) -> float:
    """Returns the mean over tasks of AUC (0), relative log loss (1) or calibration (2)."""
    return statistics.mean(
        value[metric]
        for key, value in scores.items()
        if key.startswith(f"{split}/") and key.endswith(f"/{which}")
    )


def make_row(name: str, remedy: str, runs: list[dict]) -> dict[str, str | float]:
    """Returns a row of the table: means over seeds."""

    def mean(choice, *what):
        return statistics.mean(_mean(run[choice], *what) for run in runs)

    row = {"data": name, "remedy": remedy, "seeds": len(runs)}
    for split in ("validation", "test"):
        row[f"{split}_AUC"] = mean("auc", split, "plain", 0)
        row[f"{split}_loss"] = mean("auc", split, "plain", 1)
        row[f"{split}_loss_calibrated"] = mean("auc", split, "calibrated", 1)
    row["validation_AUC_by_loss"] = mean("log loss", "validation", "plain", 0)
    row["validation_loss_by_loss"] = mean("log loss", "validation", "plain", 1)
    return row


def main(_) -> None:
    """Runs the benchmark."""
    from mptrec_tf.evaluation.report import print_table

    os.makedirs(_OUTPUT_DIR.value, exist_ok=True)
    sets = dict(SETS)
    if _DATA_DIR.value:
        sets["census_income"] = (census_income, 1)
    if _QUICK.value:
        sets = {"ratings": (ratings, 1)}
    jobs = [
        (name, remedy, seed)
        for name, (_, seeds) in sets.items()
        for remedy in (QUICK_REMEDIES if _QUICK.value else REMEDIES)
        for seed in range(1, seeds + 1)
        if remedy not in RATINGS_1_ONLY or (name, seed) == ("ratings", 1)
    ]
    results: dict[tuple[str, str], list[dict]] = {}
    with program.progress("trainings", len(jobs), "trainings") as done:
        for name, remedy, seed in jobs:
            words = f"{name} {remedy} {seed}".replace("/", "of")
            path = os.path.join(_OUTPUT_DIR.value, f"{words}.json")
            if not os.path.exists(path):
                result = measure(sets[name][0](seed), REMEDIES[remedy], seed)
                with open(path, "w", encoding="utf-8") as file:
                    json.dump(result, file)
            with open(path, encoding="utf-8") as file:
                results.setdefault((name, remedy), []).append(json.load(file))
            done(1)
    rows = [make_row(name, remedy, runs) for (name, remedy), runs in results.items()]
    print_table(rows, "Means over tasks and seeds; log loss relative to that of the constant")


if __name__ == "__main__":
    program.run(main)
