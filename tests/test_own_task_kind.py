"""A custom kind of task works from the spec to the served model; no other file has its name."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from mptrec_tf.data.canonical import is_missing
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.sources.block import Block, read_split
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.spec_yaml import load, parse
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.registry import TASKS
from mptrec_tf.errors import InputError

ROWS = {"train": 900, "validation": 300, "test": 300}


@dataclasses.dataclass(frozen=True)
class CountTask(Task):
    """Counts by Poisson regression: the prediction is exp(logit)."""

    kind = "count"
    score_name = "deviance score"
    output = "expected count"
    label_hint = "check what is counted"

    most: int | None = None
    known_mean: str | None = None

    @property
    def known_columns(self):
        return (self.known_mean,) if self.known_mean else ()

    def problems(self, taken_names):
        yield from super().problems(taken_names)
        if self.most is not None and self.most < 1:
            yield f"task {self.name!r}: most must be 1 or more, not {self.most}"

    def describe_label(self):
        return f"number of {self.label}"

    def label_of(self, value, missing_values):
        if is_missing(value, missing_values):
            return math.nan
        try:
            count = float(value)
        except ValueError:
            return math.nan
        if count < 0 or not count.is_integer():
            return math.nan
        return min(count, self.most or math.inf)

    def explain_no_label(self, value):
        return f"{value!r} is no count"

    @classmethod
    def losses(cls, tasks, logits, labels):
        import tensorflow as tf

        return tf.exp(logits) - tf.transpose(labels) * logits

    @classmethod
    def predictions(cls, tasks, logits):
        import tensorflow as tf

        return tf.exp(logits)

    def row_scores(self, labels, predictions):
        labels, predictions = (np.asarray(v, np.float64) for v in (labels, predictions))
        ratio = np.where(labels > 0, labels / predictions, 1.0)
        return -2 * (labels * np.log(ratio) - (labels - predictions))


@pytest.fixture(scope="module", autouse=True)
def _registered(without_xla):
    TASKS.register("count", CountTask)
    with without_xla():
        yield
    TASKS.unregister("count")


SPEC = """
name: shop
categorical: [city]
numeric: [age]
tasks:
  - {name: buy, label: bought, positive: 'yes'}
  - {name: visits, label: visits, kind: count, known_mean: rate}
  - {name: clicks, label: clicks, kind: count, most: 20}
"""


def make_files(folder):
    """Writes the spec, and rows by split whose counts depend on the features."""
    rng = np.random.default_rng(5)
    (folder / "spec.yaml").write_text(SPEC)
    for split, count in ROWS.items():
        city, age = rng.integers(0, 4, count), rng.uniform(20, 60, count)
        rate = np.exp(0.4 * city - 0.5)
        columns = {
            "city": [f"c{c}" for c in city],
            "age": age.round(2),
            "bought": np.where(rng.random(count) < 0.1 + 0.2 * city, "yes", "no"),
            "visits": rng.poisson(rate),
            "rate": rate.round(6),
            "clicks": rng.poisson(np.exp(0.6 * city - 1)),
        }
        with open(folder / f"{split}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    return {split: str(folder / f"{split}.csv") for split in ROWS}


# Specs.


def test_a_spec_of_several_kinds_is_read_and_written():
    spec = parse(SPEC, "spec.yaml")
    assert spec.tasks == (
        BinaryTask("buy", "bought", positive="yes"),
        CountTask("visits", "visits", known_mean="rate"),
        CountTask("clicks", "clicks", most=20),
    )
    assert DatasetSpec.from_json(spec.to_json()) == spec
    assert [task["kind"] for task in json.loads(spec.to_json())["tasks"]] == [
        "binary",
        "count",
        "count",
    ]


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (
            "{name: t, label: y, kind: cout}",
            "unknown kind of task 'cout'; there are binary, classes, ordinal, regression, count",
        ),
        ("{name: t, label: y, kind: count, most: 0}", "task 't': most must be 1 or more, not 0"),
        ("{name: t, label: y, kind: count, most: x}", "most must be a whole number, not 'x'"),
        (
            "{name: t, label: y, kind: count, positive: 1}",
            "unknown key 'positive' in a task; known: name, label, where, missing, "
            "weight, calibrate, most, known_mean, kind",
        ),
    ],
)
def test_a_problem_is_named_with_its_line(task, sentence):
    with pytest.raises(InputError) as caught:
        parse(f"name: shop\ncategorical: [city]\ntasks:\n  - {task}\n", "my.yaml")
    assert str(caught.value).startswith(f"my.yaml, line 4: {sentence}")
    assert "\n" not in str(caught.value)


def test_a_column_of_a_task_is_not_a_feature():
    with pytest.raises(InputError, match="column 'rate' is a known expected count, not a feature"):
        DatasetSpec(
            "shop",
            (Categorical("city"), Numeric("rate")),
            (CountTask("visits", "visits", known_mean="rate"),),
        )


def test_labels_and_values_without_a_label():
    block = Block({"y": np.array(["3", " 4.0", "0"], object)}, "rows.csv", np.arange(2, 5))
    np.testing.assert_array_equal(CountTask("t", "y", most=3).labels(block, ()), [3, 3, 0])
    for value, reason in (("-1", "'-1' is no count"), ("NA", "'NA' is a missing value, and task")):
        block = Block({"y": np.array(["3", value], object)}, "rows.csv", np.arange(2, 4))
        with pytest.raises(InputError, match=f"rows.csv, line 3, column 'y': {reason}"):
            CountTask("t", "y").labels(block, ("NA",))


# Scores, by hand.


def test_the_score_and_its_noise():
    task = CountTask("t", "y")
    labels, a, b = np.array([0.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0]), np.array([1.0, 1.0, 1.0])
    # Of each row 2 (y log(y / m) - y + m): 2, 0, 0; and 2, 0, 4 log 2 - 2.
    assert task.score(labels, a) == pytest.approx(-2 / 3)
    gain = 4 * math.log(2) - 2
    assert task.score_difference(labels, a, b) == pytest.approx((gain / 3, gain / 3))
    weight = np.array([0.0, 1.0, 3.0])
    assert task.score(labels, b, weight) == pytest.approx(-gain * 3 / 4)
    # Mean 3/4 of the gain; ((1 * 3/4)^2 + (3 * 1/4)^2) / 4^2 * 2 / 1 of its square.
    mean, noise = task.score_difference(labels, a, b, weight)
    assert (mean, noise) == pytest.approx((gain * 3 / 4, gain * math.sqrt(18 / 16 / 16 * 2)))
    assert task.score_difference(labels[:1], a[:1], b[:1])[1] == math.inf
    assert (task.score_key, task.score_log) == ("deviance_score", "val_deviance_score/t")


def test_losses_and_predictions_of_several_kinds():
    import tensorflow as tf

    from mptrec_tf.models.task_outputs import task_losses, task_predictions

    tasks = [CountTask("a", "a"), BinaryTask("b", "b", "1"), CountTask("c", "c")]
    logits = tf.constant([[0.0, 1.0], [2.0, -1.0], [0.5, 0.0]])
    labels = tf.constant([[3.0, 1.0, 2.0], [0.0, 0.0, 1.0]])
    z, y = logits.numpy(), labels.numpy().T
    expected = np.exp(z) - y * z
    expected[1] = np.log1p(np.exp(z[1])) - y[1] * z[1]
    np.testing.assert_allclose(task_losses(tasks, logits, labels), expected, rtol=1e-5)
    predicted = np.exp(z)
    predicted[1] = 1 / (1 + np.exp(-z[1]))
    np.testing.assert_allclose(task_predictions(tasks, logits), predicted, rtol=1e-6)
    both = task_predictions(tasks[::2], tf.gather(logits, [0, 2]))
    np.testing.assert_array_equal(both, tf.exp(tf.gather(logits, [0, 2])))


# From data to a served model.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("counts")


@pytest.fixture(scope="module")
def source(folder):
    from mptrec_tf.data.sources.tabular import Tabular

    files = make_files(folder)
    return Tabular(load(folder / "spec.yaml"), {split: [file] for split, file in files.items()})


@pytest.fixture(scope="module")
def data(source, folder):
    from mptrec_tf.data.prepare import prepare

    return prepare(source, str(folder / "data"))


@pytest.fixture(scope="module")
def run(data, folder):
    """A backbone of buy and visits, a package of clicks, and the results of their trainings."""
    from mptrec_tf.artifacts.backbones import save_trained_backbone
    from mptrec_tf.artifacts.task_packages import save_trained_package
    from mptrec_tf.models.prompted import NewTask
    from mptrec_tf.training.configurations import (
        NewTaskConfig,
        PretrainingConfig,
        TrainingConfig,
    )
    from mptrec_tf.training.new_task import learn
    from mptrec_tf.training.pretraining import pretrain
    from mptrec_tf.training.reference import compare
    from mptrec_tf.training.run_context import RunContext

    training = TrainingConfig(epochs=3, batch_size=64, seed=1)
    context = RunContext(str(folder / "backbone.training"), show_progress=False)
    config = PretrainingConfig(
        ("buy", "visits"), shape={"expert_units": (16, 8), "tower_units": (8,)}, training=training
    )
    model, result = pretrain(data, config, context)
    stored = save_trained_backbone(
        str(folder / "backbone"), model, data, {}, result, work=context.directory
    )
    context = RunContext(
        str(folder / "clicks.training"), show_progress=False, fingerprint=stored.fingerprint
    )
    how = NewTaskConfig(training={"epochs": 3, "batch_size": 64})
    chosen, candidates = learn(model, data, "clicks", how, context)
    compared = compare(model, data, "clicks", chosen.head, training, context.child("compared"))
    [task] = data.spec.select_tasks(["clicks"])
    package = save_trained_package(
        str(folder / "clicks"),
        NewTask(task, chosen.head),
        stored,
        data,
        {},
        chosen.result,
        context.directory,
    )
    return stored, result, package, chosen, candidates, compared


@pytest.fixture(scope="module")
def served(run, folder):
    from mptrec_tf.export.serving_model import export
    from mptrec_tf.inference.saved_model import LoadedModel

    stored, _, package, *_ = run
    path, _ = export(stored, [package], str(folder / "model"))
    return LoadedModel(path)


def test_prepared_labels_and_tables(data, source):
    from mptrec_tf.data.prepared import summarize_splits
    from mptrec_tf.data.prepared_checks import DataChecks
    from mptrec_tf.data.prepared_tables import make_label_rows

    visits = np.concatenate([b.column("visits").astype(float) for b in read_split(source, "train")])
    summary = data.splits["train"]["tasks"]
    assert set(summary["buy"]) == {"positives"}
    assert summary["visits"] == {"sum": visits.sum(), "lowest": 0, "highest": visits.max()}
    assert DataChecks(data).warnings() == []
    [zero] = [r for r in make_label_rows(data) if (r["task"], r["is"]) == ("visits", "0")]
    assert zero["value"] == "'0'"
    assert zero["train"] == (visits == 0).sum()
    rows = {(row["task"], row["split"]): row for row in summarize_splits(data)}
    assert rows["visits", "train"]["mean"] == pytest.approx(visits.mean())
    assert 0 < rows["buy", "train"]["share"] < 1


def test_a_split_of_one_label_is_rejected(data):
    other = type(data)(data.directory)
    other.splits = json.loads(json.dumps(data.splits))
    other.splits["train"]["tasks"]["visits"] = {"sum": 1800, "lowest": 2, "highest": 2}
    with pytest.raises(InputError) as caught:
        other.task_columns(["visits"])
    assert str(caught.value) == (
        "task 'visits' has one label only in the train split: all 900 labels are 2 of "
        f"{data.directory} (label column 'visits'); check what is counted."
    )


def test_training_uses_scores(run, data, capsys):
    from mptrec_tf.bin.results import (
        print_comparison_table,
        print_new_task_table,
        print_pretraining_table,
    )

    stored, result, package, chosen, candidates, compared = run
    best = result.best
    assert best["val_score_sum"] == pytest.approx(
        best["val_auc/buy"] + best["val_deviance_score/visits"]
    )
    assert set(result.calibration) == {"buy"}
    assert chosen.result.calibration == {}
    curve = [logs["val_deviance_score/clicks"] for logs in chosen.result.history]
    assert chosen.score == pytest.approx(max(curve), abs=1e-5)
    assert len(candidates) > 1
    print_pretraining_table(stored, result)
    print_new_task_table(stored, package, chosen, candidates)
    print_comparison_table(data.spec.select_tasks([row["task"] for row in compared]), compared)
    printed = capsys.readouterr().out
    for text in (
        "validation AUC",
        "validation deviance score",
        "AUC, deviance score of the frozen backbone with clicks",
        "of test deviance score",
    ):
        assert text in printed


def test_the_link_function_is_in_the_saved_model(served, run, source):
    from mptrec_tf.models.prompted import NewTask, PromptedMPTRec
    from mptrec_tf.training.batches import load_rows

    stored, _, package, *_ = run
    blocks = list(read_split(source, "test"))
    predicted = np.concatenate([served.predict(block)["clicks"] for block in blocks])
    model = PromptedMPTRec(stored.model, {"clicks": NewTask(package.task, package.head)})
    assert predicted.min() > 0
    assert predicted.max() > 1
    from mptrec_tf.data.prepared import PreparedData

    rows = load_rows(PreparedData(f"{Path(stored.directory).parent}/data"), "test", ["clicks"])
    columns = {k: v for k, v in rows.columns.items() if k in ("categorical", "numeric")}
    np.testing.assert_allclose(np.sort(predicted), np.sort(model(columns)["clicks"]), rtol=1e-4)


def test_evaluation_and_comparison(served, source):
    from mptrec_tf.inference.comparing import compare
    from mptrec_tf.inference.scoring import evaluate

    metrics = evaluate(served, source, "test")
    assert {"auc", "log_loss", "positives"} <= metrics["buy"].keys()
    assert set(metrics["visits"]) == {
        "rows",
        "deviance_score",
        "mean_label",
        "mean_prediction",
        "best_deviance_score",
    }
    assert metrics["visits"]["best_deviance_score"] > metrics["visits"]["deviance_score"]
    differences = compare(served, served, read_split(source, "test"))
    assert differences["clicks"]["identical"]
    assert differences["clicks"]["deviance_score_a"] == metrics["clicks"]["deviance_score"]


def test_the_model_card(served):
    path = Path(served.path) / "assets.extra" / "model_card.md"
    text = path.read_text()
    assert "one probability or expected count per task out" in text
    assert "| validation AUC | validation deviance score |" in text
    assert "| clicks | added | number of clicks |" in text
