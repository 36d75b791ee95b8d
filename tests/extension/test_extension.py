"""Custom kinds work in every program and in the pipelines, and only `toys` has their names."""

import csv
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
import toys  # noqa: E402

from mptrec_tf.data.sources.block import read_split  # noqa: E402
from mptrec_tf.inference.saved_model import LoadedModel  # noqa: E402

NAMES = ("two_towers", "line", "hours", "count", "toy")


@pytest.fixture(scope="module", autouse=True)
def _registered():
    toys.register()
    yield
    toys.unregister()


@pytest.fixture(scope="module")
def run_with_toys(run_program):
    """Runs a program that finds the toys as a plug-in."""
    return functools.partial(run_program, PYTHONPATH=str(HERE), MPTREC_PLUGINS="toys")


@pytest.fixture(scope="module")
def run(run_with_toys, tmp_path_factory):
    """Prepared, pre-trained on two tasks of two kinds, two more added, exported twice."""
    folder = tmp_path_factory.mktemp("extension")
    data = f"--data={folder}/data"
    backbone = f"--backbone={folder}/backbone"
    output = {}

    def run_step(what, name, *flags):
        output[what] = run_with_toys(name, *flags).stdout

    run_step("prepare", "prepare", "--dataset=toy", f"--output_dir={folder}/data")
    run_step(
        "pretrain",
        "pretrain",
        data,
        "--model=two_towers",
        "--second_share=0.25",
        "--tasks=buys,visits",
        "--epochs=8",
        "--batch_size=64",
        "--learning_rate=0.005",
        "--expert_units=16,8",
        "--tower_units=8",
        f"--output_dir={folder}/backbone",
    )
    for task, head in (("calls", "auto"), ("returns", "line")):
        flags = (f"--task={task}", f"--head={head}")
        flags += ("--epochs=8", "--batch_size=64", "--learning_rate=0.02")
        run_step(task, "add_task", data, backbone, *flags, f"--output_dir={folder}/{task}")
    tasks = f"--tasks={folder}/calls"
    run_step("export 1", "export", backbone, tasks, f"--output_dir={folder}/model")
    run_step("export 2", "export", f"--add={folder}/returns", f"--output_dir={folder}/model")
    return folder, output


@pytest.fixture(scope="module")
def block():
    return next(read_split(toys.Toy(), "test"))


@pytest.fixture(scope="module")
def rows_file(block, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(block.columns)
        writer.writerows(zip(*block.columns.values(), strict=True))
    return path


@pytest.fixture(scope="module")
def predictions(run, block):
    return LoadedModel(str(run[0] / "model")).predict(block)


def test_no_other_file_has_their_names():
    pattern = re.compile(r"two_towers|TwoTowers|LineHead|LineConfig|CountTask|\"hours\"|\"toy\"")
    files = [*ROOT.glob("mptrec_tf/**/*.py"), *ROOT.glob("components/**/*.py")]
    matches = [f for f in (*files, *ROOT.glob("pipelines/*.py")) if pattern.search(f.read_text())]
    # Docstrings show how kinds of features and of tasks are registered.
    documented = {"mptrec_tf/data/features/base.py", "mptrec_tf/data/tasks/base.py"}
    assert {f.relative_to(ROOT).as_posix() for f in matches} <= documented


def test_the_spec_reads_them_and_names_problems_by_line(tmp_path):
    from mptrec_tf.data.spec import DatasetSpec
    from mptrec_tf.data.spec_yaml import parse
    from mptrec_tf.errors import InputError

    text = """
name: toy
categorical: [city]
numeric:
- {name: age, scale: standard}
bags:
- {name: own words, weights: true, most: 3}
sequences:
- {name: cities, attend_to: city, separator: " "}
vectors:
- {name: place, size: 3}
hours: [time of day]
tasks:
- {name: visits, label: visits, kind: count, most: 50}
"""
    spec = parse(text, "toy.yaml")
    assert spec.features == toys.make_spec().features
    assert spec.tasks == (toys.CountTask("visits", "visits", most=50.0),)
    assert DatasetSpec.from_json(spec.to_json()) == spec
    wrong = text.replace("[time of day]", "[{name: time of day, hours: -1}]")
    with pytest.raises(
        InputError, match=r"toy.yaml, line 12: 'time of day': hours must be above 0"
    ):
        parse(wrong, "toy.yaml")


def test_a_label_that_the_kind_does_not_take_is_named(block):
    from mptrec_tf.errors import InputError

    task = toys.CountTask("visits", "visits", most=1)
    with pytest.raises(InputError, match=r"toy test, row \d+, column 'visits'"):
        task.labels(block, ())


def test_prepared_data_hold_the_features_by_hand(run, block):
    from mptrec_tf.data.prepared import PreparedData
    from mptrec_tf.training.batches import load_rows

    data = PreparedData(str(run[0] / "data"))
    rows = load_rows(data, "test", ("visits",)).columns
    assert rows["hours"].shape == (400, 2)
    hours = np.arctan2(rows["hours"][:, 0], rows["hours"][:, 1]) * 12 / np.pi % 24
    np.testing.assert_allclose(np.sort(hours), np.sort(block.columns["time of day"]), atol=1e-4)
    counts = np.sort(block.columns["visits"].astype(float))
    np.testing.assert_array_equal(np.sort(rows["labels"][:, 0]), counts)


def test_tables_show_them(run):
    _, output = run
    assert "time of day" in output["prepare"]
    assert "visits" in output["pretrain"]
    assert "fit" in output["pretrain"]
    # The toy head is among those that auto tried.
    assert "line" in output["calls"]
    assert "tower" not in output["calls"].split("Heads for calls")[-1].split("New task")[0]


def test_the_backbone_names_its_model(run):
    described = json.loads((run[0] / "backbone" / "backbone.json").read_text())
    assert described["model"] == "two_towers"
    assert described["shape"]["second_share"] == 0.25
    assert [of["kind"] for of in described["shape"]["inputs"]] == [
        "categorical",
        "numeric",
        "bags",
        "sequences",
        "vectors",
        "hours",
    ]


def test_predictions_are_of_each_tasks_kind(predictions, block):
    assert set(predictions) == set(toys.TASK_NAMES)
    bought = block.columns["buys"] == "yes"  # only these rows have a label of "returns"
    for task in ("buys", "returns"):
        assert ((predictions[task] > 0) & (predictions[task] < 1)).all()
        happens = block.columns[task] == "yes"
        rows = bought if task == "returns" else np.ones_like(bought)
        of_rows = predictions[task][rows]
        assert of_rows[happens[rows]].mean() > of_rows[~happens[rows]].mean() + 0.05
    for task in ("visits", "calls"):
        counts = block.columns[task].astype(float)
        assert predictions[task].max() > 1.2
        assert np.corrcoef(predictions[task], counts)[0, 1] > 0.2


def test_an_added_task_changes_no_bit_of_the_others(run, predictions, block):
    before = LoadedModel(str(run[0] / "model" / "1")).predict(block)
    assert set(before) == {"buys", "visits", "calls"}
    for task, values in before.items():
        np.testing.assert_array_equal(values, predictions[task])


def test_the_model_card_shows_them(run):
    card = json.loads((run[0] / "model/2/assets.extra/model_card.json").read_text())
    [hour] = [f for f in card["features"] if f["name"] == "time of day"]
    assert hour["type"] == "number"
    text = (run[0] / "model/2/assets.extra/model_card.md").read_text()
    assert "an hour of the day" in text


def test_evaluate_predict_and_compare(run, run_with_toys, predictions, block, rows_file, tmp_path):
    model = f"--model={run[0]}/model"
    metrics = tmp_path / "metrics.json"
    run_with_toys("evaluate", model, "--dataset=toy", f"--output={metrics}")
    evaluated = json.loads(metrics.read_text())["tasks"]
    counts = block.columns["visits"].astype(np.float64)
    expected = (counts * np.log(predictions["visits"]) - predictions["visits"]).mean()
    assert evaluated["visits"]["fit"] == pytest.approx(expected, rel=1e-5)
    assert 0.5 < evaluated["buys"]["auc"] < 1
    assert evaluated["buys"]["rows"] == len(block)
    assert evaluated["returns"]["rows"] == (block.columns["buys"] == "yes").sum() < len(block)

    output = tmp_path / "predictions.csv"
    run_with_toys("predict", model, f"--input={rows_file}", f"--output={output}")
    with open(output) as file:
        rows = list(csv.DictReader(file))
    for task, values in predictions.items():
        np.testing.assert_array_equal(np.array([r[task] for r in rows], np.float32), values)

    versions = (f"--a={run[0]}/model/1", f"--b={run[0]}/model/2", f"--input={rows_file}")
    run_with_toys("compare", *versions, "--require_identical=all", f"--output={tmp_path}/c.json")
    compared = json.loads((tmp_path / "c.json").read_text())
    assert compared["tasks"]["visits"]["identical"] is True


def test_it_is_served_over_grpc_and_rest(run, predictions, block, tmp_path):
    from mptrec_tf.serving.client import GrpcClient, RestClient
    from mptrec_tf.serving.testing.local_server import LocalServer

    columns = {name: block.columns[name][:20] for name in toys.make_spec().feature_names}
    server = LocalServer(run[0] / "model", tmp_path)
    try:
        clients = (
            GrpcClient(f"127.0.0.1:{server.port}", "m"),
            RestClient(f"http://127.0.0.1:{server.rest_port}", "m"),
        )
        for client in clients:
            outputs = client.predict(columns)
            for task, values in predictions.items():
                np.testing.assert_allclose(outputs[task], values[:20], rtol=1e-5)
    finally:
        server.close()


def test_help_shows_their_flags(run_with_toys):
    # A process that has imported nothing, as a user's.
    done = subprocess.run(
        [sys.executable, "-m", "mptrec_tf.bin.pretrain", "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(HERE), "MPTREC_PLUGINS": "toys"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert "two_towers" in text
    assert "--second_share" in text
    text = run_with_toys("add_task", "--help").stdout
    assert "--l2_line" in text


def test_both_pipelines(without_xla, tmp_path):
    from components.evaluation.thresholds import Thresholds
    from components.example_gen.source import SourceConfig
    from pipelines.config import PipelineConfig
    from pipelines.local_pipelines import LocalPipelines

    config = PipelineConfig(
        root=str(tmp_path),
        serving_dir=str(tmp_path / "saved_models" / "toy"),
        source=SourceConfig(dataset="toy"),
        thresholds=Thresholds(least={"visits": -20.0, "returns": 0.0}),
    )
    pipelines = LocalPipelines(config, {"epochs": 2}, "line", "two_towers")
    with without_xla():
        before = pipelines.pretrain(("returns", "visits")).load_metrics("candidate")
        results = pipelines.add_task("calls")
    bought = next(read_split(toys.Toy(), "test")).columns["buys"] == "yes"
    assert before["returns"]["example_count"] == bought.sum()
    assert 0.5 < before["returns"]["calibration"] < 2
    scores = results.load_metrics("candidate")
    assert scores["calls"]["fit"] == pytest.approx(0, abs=20)
    pushed = LoadedModel(config.serving_dir)
    assert set(pushed.spec.task_names) == {"returns", "visits", "calls"}
    assert pushed.predict(next(read_split(toys.Toy(), "test")))["calls"].max() > 1
