"""Tasks of classes and of levels, from files to served predictions, beside a binary task."""

import csv
import json
import urllib.request
from pathlib import Path

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest

from mptrec_tf.artifacts.backbones import save_trained_backbone
from mptrec_tf.artifacts.task_packages import TaskPackage, save_package, save_trained_package
from mptrec_tf.bin.results import print_new_task_table, print_pretraining_table
from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.prepared import summarize_splits
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.tabular import Tabular
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.data.training_data import check_same_labels
from mptrec_tf.errors import InputError
from mptrec_tf.export.serving_model import export
from mptrec_tf.inference.comparing import compare
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import evaluate, predict_file, same_predictions
from mptrec_tf.models.heads.prompt_shape import PromptConfig
from mptrec_tf.models.heads.registry import make_head
from mptrec_tf.models.prompted import NewTask
from mptrec_tf.serving.testing.local_server import LocalServer
from mptrec_tf.training.batches import load_rows
from mptrec_tf.training.configurations import NewTaskConfig, PretrainingConfig, TrainingConfig
from mptrec_tf.training.new_task import learn
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.reference import score_backbone
from mptrec_tf.training.run_context import RunContext

SPEC = """
name: shop
categorical: [city]
numeric: [age]
tasks:
  - {name: buy, label: bought, positive: 'yes'}
  - {name: brand, label: brand, kind: classes}
  - name: size
    label: size
    kind: classes
    values: [S, M, L]
    others: true
    where: {bought: 'yes'}
  - {name: stars, label: stars, kind: ordinal, levels: [1, 2, 3, 4, 5], missing: skip}
  - {name: visits, label: visits, kind: ordinal, most: 4}
"""
ROWS = {"train": 900, "validation": 300, "test": 300}
BRANDS, SIZES = ("acme", "bolt", "cork"), ("S", "M", "L", "XL", "XXL")


def make_files(folder):
    rng = np.random.default_rng(5)
    for split, count in ROWS.items():
        city, age = rng.integers(0, 4, count), rng.uniform(20, 60, count)
        noise = rng.gumbel(size=(count, 3)) + 1.5 * np.stack([city, 3 - city, age / 20], axis=1)
        stars = np.clip(np.round(age / 12 + rng.normal(size=count)), 1, 5).astype(int)
        columns = {
            "city": [f"c{c}" for c in city],
            "age": age.round(2),
            "bought": np.where(rng.random(count) < 0.2 + 0.2 * city, "yes", "no"),
            "brand": np.array(BRANDS)[noise.argmax(axis=1)],
            "size": np.array(SIZES)[np.clip(city + rng.integers(0, 2, count), 0, 4)],
            "stars": np.where(rng.random(count) < 0.2, "", stars.astype(str)),
            "visits": rng.poisson(np.exp(0.5 * city - 0.5)),
        }
        with open(folder / f"{split}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def source(folder):
    make_files(folder)
    files = {split: [str(folder / f"{split}.csv")] for split in ROWS}
    return Tabular(parse(SPEC, "spec.yaml"), files)


@pytest.fixture(scope="module")
def data(source, folder):
    return prepare(source, str(folder / "data"))


@pytest.fixture(scope="module")
def trained(data, folder, without_xla):
    """A backbone of buy, brand and stars; packages of size, and of visits (not trained)."""
    context = RunContext(str(folder / "backbone.training"), show_progress=False)
    config = PretrainingConfig(
        ("buy", "brand", "stars"),
        shape={"expert_units": (16, 8), "tower_units": (8,)},
        training=TrainingConfig(epochs=5, batch_size=64, seed=1),
    )
    model, result = pretrain(data, config, context)
    stored = save_trained_backbone(
        str(folder / "backbone"), model, data, {}, result, work=context.directory
    )
    context = RunContext(
        str(folder / "size.training"), show_progress=False, fingerprint=stored.fingerprint
    )
    how = NewTaskConfig(training={"epochs": 2, "batch_size": 64})
    with without_xla():
        chosen, candidates = learn(model, data, "size", how, context)
    size, visits = data.spec.select_tasks(["size", "visits"])
    package = save_trained_package(
        str(folder / "size"),
        NewTask(size, chosen.head),
        stored,
        data,
        {},
        chosen.result,
        context.directory,
    )
    head = make_head(PromptConfig(tower_units=(4,)), model.layout, "visits", visits.logits)
    untrained = TaskPackage(str(folder / "visits"), visits, head, stored.fingerprint, {})
    (folder / "visits").mkdir()
    save_package(untrained.directory, visits, head, stored.fingerprint, {})
    packages = {"size": (package, chosen, candidates), "visits": (untrained,)}
    return stored, result, packages


@pytest.fixture(scope="module")
def models(trained, folder):
    """Version 1 has the pre-trained tasks and size, version 2 visits as well."""
    stored, _, packages = trained
    size, visits = (packages[task][0] for task in ("size", "visits"))
    for some in ([size], [visits, size]):
        export(stored, some, str(folder / "model"))
    return [LoadedModel(str(folder / "model" / version)) for version in ("1", "2")]


def test_preparation_knows_classes_and_levels(data):
    _, brand, size, stars, visits = data.spec.tasks
    assert brand.output_names == BRANDS
    assert size.output_names == ("S", "M", "L", "others")
    assert stars.found == (1, 2, 3, 4, 5)
    assert visits.found == (0, 1, 2, 3, 4)
    assert np.all(np.diff(visits.thresholds) > 0)
    rows = {(row["task"], row["split"]): row for row in summarize_splits(data)}
    assert rows["brand", "train"]["classes"] == 3
    assert rows["size", "train"]["rows"] < 900
    assert rows["visits", "test"]["highest"] == 4
    prepared = load_rows(data, "train", data.spec.task_names).columns["labels"].numpy()
    assert np.isnan(prepared[:, 2]).sum() == (prepared[:, 0] == 0).sum()
    assert set(np.unique(prepared[:, 1])) == {0, 1, 2}


def test_training(trained, data, capsys):
    stored, result, packages = trained
    assert stored.shape.task_logits == (1, 3, 1)
    scale, shifts = result.calibration["brand"]
    assert len(shifts) == 3
    assert all(isinstance(value, float) for value in (scale, *shifts, *result.calibration["stars"]))
    best = result.best
    assert best["val_auc/brand"] > 0.7
    assert best["val_concordance/stars"] > 0.7
    assert best["val_score_sum"] == pytest.approx(
        best["val_auc/buy"] + best["val_auc/brand"] + best["val_concordance/stars"]
    )
    _, chosen, candidates = packages["size"]
    assert len(candidates) == 6
    assert chosen.head.logits == 4
    assert 0.6 < chosen.score < 1
    assert all(0 < c.noise < 0.1 for c in candidates if c.behind)
    validation = load_rows(data, "validation", ["buy", "brand", "stars"])
    tasks = data.spec.select_tasks(["buy", "brand", "stars"])
    scores = score_backbone(stored.model, tasks, validation)
    assert scores["stars"] == pytest.approx(best["val_concordance/stars"], abs=1e-5)
    assert scores["brand"] == pytest.approx(best["val_auc/brand"], abs=0.02)  # by the shifts
    print_pretraining_table(stored, result)
    print_new_task_table(stored, *packages["size"])
    assert "validation concordance" in capsys.readouterr().out


def test_served_predictions_and_their_metrics(models, trained, source):
    model = models[1]
    block = next(iter(read_split(source, "test")))
    predictions = model.predict(block)
    shapes = {task: of.shape for task, of in predictions.items()}
    n = len(block)
    assert shapes == {
        "buy": (n,),
        "brand": (n, 3),
        "stars": (n,),
        "size": (n, 4),
        "visits": (n,),
    }
    for task in ("brand", "size"):
        np.testing.assert_allclose(predictions[task].sum(axis=1), 1, rtol=1e-5)
    assert (predictions["stars"] >= 1).all()
    assert (predictions["visits"] <= 4).all()
    metrics = evaluate(model, source, "test")
    assert metrics["brand"]["auc"] > 0.7
    assert metrics["brand"]["log_loss"] < np.log(3)
    assert metrics["size"]["rows"] == (block.text("bought") == "yes").sum()
    assert metrics["stars"]["mae"] < 1.3
    gap = metrics["stars"]["mean_prediction"] - metrics["stars"]["mean_label"]
    assert abs(gap) < 0.3  # calibrated


def test_old_tasks_keep_their_bits(models, source):
    old = ["buy", "brand", "stars", "size"]
    assert same_predictions(*models, source, "test", old)
    block = next(iter(read_split(source, "test")))
    for rows in (1, 17):
        some = block.rows(list(range(rows)))
        first, second = (model.predict(some) for model in models)
        for task in old:
            np.testing.assert_array_equal(first[task], second[task])
    compared = compare(*models, read_split(source, "test"))
    assert compared["brand"]["identical"]
    assert compared["brand"]["rank_correlation"] == pytest.approx(1)
    assert compared["brand"]["auc_a"] == compared["brand"]["auc_b"] > 0.7
    assert compared["visits"] == {"only_in": "b"}


def test_a_file_of_predictions_has_a_column_for_each_class(models, source, folder):
    output = folder / "predictions.csv"
    summary = predict_file(
        models[1], read_split(source, "test"), str(output), tasks=["size", "buy"], keep=["city"]
    )
    with open(output) as file:
        rows = list(csv.DictReader(file))
    columns = ["size:S", "size:M", "size:L", "size:others"]
    assert list(rows[0]) == ["city", *columns, "buy"]
    assert list(summary) == [*columns, "buy"]
    block = next(iter(read_split(source, "test")))
    read = np.array([[row[name] for name in columns] for row in rows], np.float32)
    np.testing.assert_array_equal(read[: len(block)], models[1].predict(block)["size"])
    with pytest.raises(InputError, match="column 'size:S' to keep is named like a task"):
        predict_file(models[1], [], str(output), keep=["size:S"])


def test_the_model_card_names_the_classes(models):
    card = models[1].card
    outputs = {task["name"]: task.get("outputs") for task in card["tasks"]}
    assert outputs["brand"] == list(BRANDS)
    assert outputs["size"] == ["S", "M", "L", "others"]
    assert outputs["buy"] is None
    text = (Path(models[1].path) / "assets.extra" / "model_card.md").read_text()
    assert "probability per class" in text
    assert "brand: 'acme', 'bolt', 'cork'" in text
    assert "stars (levels 1, 2, 3, 4, 5) where stars is not missing" in text


def test_a_class_that_training_did_not_see_is_named_with_its_place(models, source, folder):
    path = folder / "new.csv"
    lines = (folder / "test.csv").read_text().splitlines()[:3]
    path.write_text("\n".join(lines).replace(lines[2].split(",")[3], "dent") + "\n")
    new = Tabular(source.spec, {"test": [str(path)]})
    with pytest.raises(InputError) as caught:
        evaluate(models[1], new, "test")
    assert "'dent' is no class of task 'brand'; in the training rows are 'acme'" in str(
        caught.value
    )
    assert str(path) in str(caught.value)
    files = {split: [str(path if split == "test" else folder / f"{split}.csv")] for split in ROWS}
    with pytest.raises(InputError, match=r"new\.csv, line \d, column 'brand': 'dent' is no class"):
        prepare(Tabular(source.spec, files), str(folder / "rejected"))
    assert not (folder / "rejected").exists()


def test_data_with_other_classes_do_not_fit_a_model(data, trained):
    stored = trained[0]
    check_same_labels(stored.spec.tasks, data)
    other = type(data)(data.directory)
    brand = data.spec.tasks[1].fit_values({"acme": 1, "dent": 2})
    object.__setattr__(other.spec, "tasks", (data.spec.tasks[0], brand))
    with pytest.raises(
        InputError, match=r"task 'brand': the training rows of .* other label values"
    ):
        check_same_labels(stored.spec.tasks, other)


@pytest.mark.parametrize("kind", ["gRPC", "REST"])
def test_both_clients_get_arrays(models, source, folder, kind):
    block = next(iter(read_split(source, "test"))).rows([0, 1, 2])
    rows = [
        {"city": str(city), "age": float(age)}
        for city, age in zip(block.text("city"), block.numbers("age"), strict=True)
    ]
    expected = models[1].predict(block)
    with LocalServer(folder / "model", folder) as server, server.make_client(kind) as client:
        assert client.class_names("brand") == BRANDS
        assert client.class_names("size") == ("S", "M", "L", "others")
        assert client.class_names("buy") == ()
        predictions = client.predict(rows)
        assert set(predictions) == set(expected)
        for task, values in expected.items():
            assert predictions[task].shape == values.shape
            np.testing.assert_allclose(predictions[task], values, rtol=1e-5)
        if kind == "REST":
            body = json.dumps({"signature_name": "columns", "instances": rows}).encode()
            url = f"{server.url}/v1/models/m:predict"
            with urllib.request.urlopen(urllib.request.Request(url, body)) as response:
                [first, *_] = json.load(response)["predictions"]
            np.testing.assert_allclose(first["brand"], expected["brand"][0], rtol=1e-5)
            assert isinstance(first["stars"], float)
