"""The programs, run as programs: prepare, pre-train, add tasks, export, evaluate, predict."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.sources.tabular import read_file
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.evaluation.metrics import auc
from mptrec_tf.inference.saved_model import LoadedModel


@pytest.fixture(scope="session")
def versions(runs):
    return {version: LoadedModel(str(runs.model / str(version))) for version in (1, 2, 3, 4)}


@pytest.fixture(scope="session")
def predictions(runs, versions):
    (block,) = read_file(str(runs.rows), TextFormat())
    return {version: model.predict(block) for version, model in versions.items()}


def test_versions_hold_the_requested_tasks(runs, predictions):
    first, second = runs.new
    assert [set(predictions[v]) - set(runs.old) for v in (1, 2, 3, 4)] == [
        set(),
        {first},
        {first, second},
        {second},
    ]


def test_added_and_removed_tasks_leave_the_others_alone_to_the_last_bit(runs, predictions):
    first, second = runs.new
    for version in (2, 3, 4):
        for task in runs.old:
            np.testing.assert_array_equal(predictions[version][task], predictions[1][task])
    np.testing.assert_array_equal(predictions[3][first], predictions[2][first])
    np.testing.assert_array_equal(predictions[4][second], predictions[3][second])


def test_predictions_are_the_models_own(runs, predictions):
    with open(runs.folder / "predictions.csv") as file:
        rows = list(csv.DictReader(file))
    for task, expected in predictions[3].items():
        written = np.array([row[task] for row in rows], np.float32)
        np.testing.assert_array_equal(written, expected)
    assert len({f"{value:.6f}" for value in predictions[3][runs.old[0]]}) > 100


def test_it_loads_with_plain_tensorflow(runs, predictions):
    """In a process that cannot import this package or TensorFlow Transform."""
    code = f"""
import csv, json, sys
sys.modules.update(dict.fromkeys(["mptrec_tf", "tensorflow_transform", "tf_keras"]))
import tensorflow as tf
model = tf.saved_model.load({str(runs.model / "3")!r}).signatures["columns"]
rows = list(csv.DictReader(open({str(runs.rows)!r})))
columns = {{
    name: tf.constant([float(r[name]) if spec.dtype == tf.float32 else r[name] for r in rows],
                      spec.dtype)
    for name, spec in model.structured_input_signature[1].items()
}}
print(json.dumps({{k: [float(x) for x in v.numpy()] for k, v in model(**columns).items()}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for task, values in json.loads(done.stdout.splitlines()[-1]).items():
        np.testing.assert_array_equal(np.float32(values), predictions[3][task])


def serialized_examples(spec, block):
    for row in range(len(block)):
        features = {
            f.name: tf.train.Feature(
                bytes_list=tf.train.BytesList(value=[block.text(f.name)[row].encode()])
            )
            for f in spec.categorical
        } | {
            f.name: tf.train.Feature(
                float_list=tf.train.FloatList(value=[block.numbers(f.name)[row]])
            )
            for f in spec.numeric
        }
        example = tf.train.Example(features=tf.train.Features(feature=features))
        yield example.SerializeToString()


def test_signatures_agree(runs, versions, predictions):
    (block,) = read_file(str(runs.rows), TextFormat())
    examples = tf.constant(list(serialized_examples(versions[3].spec, block)))
    model = tf.saved_model.load(str(runs.model / "3"))
    by_example = model.signatures["serving_default"](examples=examples)
    assert by_example.keys() == predictions[3].keys()
    for task, probability in by_example.items():
        assert probability.shape == (len(block),)
        np.testing.assert_array_equal(probability, predictions[3][task])
    encoded = model.signatures["encode"](examples=examples)
    count = len(block)
    assert encoded["shared"].shape == (count, 128)
    assert encoded["specific"].shape == (count, 2, 128)
    assert encoded["x"].shape[0] == count


def test_one_row_is_predicted_like_many(runs, versions, predictions):
    (block,) = read_file(str(runs.rows), TextFormat())
    one = type(block)({k: v[:1] for k, v in block.columns.items()}, "one", block.lines[:1])
    for task, probability in versions[3].predict(one).items():
        assert probability.shape == (1,)
        np.testing.assert_allclose(probability[0], predictions[3][task][0], rtol=1e-5)


def test_a_request_without_a_column_is_rejected(runs, versions):
    spec = versions[3].spec
    model = tf.saved_model.load(str(runs.model / "3"))
    (block,) = read_file(str(runs.rows), TextFormat())
    example = tf.train.Example.FromString(next(serialized_examples(spec, block)))
    missing = spec.numeric[0].name
    del example.features.feature[missing]
    with pytest.raises(tf.errors.InvalidArgumentError, match=missing):
        model.signatures["serving_default"](examples=tf.constant([example.SerializeToString()]))


def test_a_request_with_an_ill_typed_column_is_rejected(runs, versions):
    spec = versions[3].spec
    model = tf.saved_model.load(str(runs.model / "3"))
    (block,) = read_file(str(runs.rows), TextFormat())
    example = tf.train.Example.FromString(next(serialized_examples(spec, block)))
    wrong = spec.numeric[0].name
    example.features.feature[wrong].CopyFrom(
        tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"much"]))
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=wrong):
        model.signatures["serving_default"](examples=tf.constant([example.SerializeToString()]))


def test_metrics_are_those_of_the_predictions(runs):
    metrics = json.loads((runs.folder / "metrics.json").read_text())["tasks"]
    assert list(metrics) == [*runs.old, *runs.new]
    for values in metrics.values():
        assert {"auc", "log_loss", "calibration", "ece", "rows", "positives"} <= values.keys()
        assert 0 < values["positives"] < values["rows"]


def test_synthetic_rows_have_the_best_possible_metrics(synthetic_runs):
    metrics = json.loads((synthetic_runs.folder / "metrics.json").read_text())["tasks"]
    assert metrics["click"]["rows"] == 1000
    assert all({"grouped_auc", "best_auc"} <= values.keys() for values in metrics.values())
    assert all(0.5 < values["auc"] < values["best_auc"] for values in metrics.values())


def test_evaluation_agrees_with_predictions_row_by_row(synthetic_runs):
    from mptrec_tf.data.sets.synthetic.rows import Synthetic
    from mptrec_tf.inference.scoring import evaluate

    model = LoadedModel(str(synthetic_runs.model / "3"))
    source = Synthetic({"test": 500})
    (block,) = source.read(source.shards("test")[0])
    expected = model.predict(block)
    for task, values in evaluate(model, source, "test").items():
        labels = model.spec.select_tasks([task])[0].labels(block, ())
        assert values["auc"] == pytest.approx(auc(labels, expected[task]))


def test_programs_end_with_a_table(runs):
    first = runs.new[0]
    for step, text in {
        "prepare": "train",
        "pretrain": "validation AUC",
        first: "trainable params: ",
        "export 3": "pre-trained",
        "predict": "mean",
        "evaluate": "log loss",
    }.items():
        assert text in runs.output[step].stdout
        assert "Traceback" not in runs.output[step].stderr
    # A progress bar and a line for each epoch go to standard error.
    assert "pre-training   epoch   2 of 2   " in runs.output["pretrain"].stderr
    run = ", run 2 of 2" if runs.heads[0] == "auto" else ""
    assert f"{first}{run}   epoch   2 of 2   " in runs.output[first].stderr


def test_nothing_half_written_is_left(runs):
    names = {path.name for path in runs.folder.iterdir()}
    assert names == {
        "data",
        "backbone",
        "tasks",
        "saved_models",
        "rows.csv",
        "predictions.csv",
        "metrics.json",
        "compared.json",
    }
    assert {path.name for path in runs.model.iterdir()} == {"1", "2", "3", "4"}
    assert {path.name for path in (runs.folder / "tasks").iterdir()} == set(runs.new)


def test_backbone_is_untouched_by_new_tasks(runs):
    from mptrec_tf.artifacts.backbones import load_backbone
    from mptrec_tf.artifacts.task_packages import load_package

    backbone = load_backbone(str(runs.backbone))  # checks the fingerprint
    for package in runs.packages.values():
        assert load_package(str(package), backbone).backbone == backbone.fingerprint


def test_the_best_head_is_taken_and_all_are_named(synthetic_runs):
    runs = synthetic_runs
    automatic, chosen = runs.packages
    output = runs.output[automatic].stdout
    assert f"Heads for {automatic}" in output
    # Heads that are trained together share their seconds, which are printed once.
    assert "seconds" not in output
    kinds = ("prompt", "fixed", "task_similarity", "residual", "residual_small", "own_embedding")
    for number, heads in enumerate((kinds[:3], kinds[3:]), 1):
        assert output.count(f"run {number}: {', '.join(heads)} trained side by side in ") == 1
    package = json.loads((runs.packages[automatic] / "task.json").read_text())
    candidates = package["training"]["candidates"]
    assert {c["head"] for c in candidates} == set(kinds)
    best = max(c["validation_AUC"] for c in candidates)
    selected = next(c for c in candidates if best - c["validation_AUC"] <= c["noise"])
    shape = package["head"]
    kinds = (selected["head"], selected["head"].split("_")[0])
    assert shape.get("attention", shape["type"]) in kinds
    package = json.loads((runs.packages[chosen] / "task.json").read_text())
    assert package["head"]["type"] == "residual"
    assert [c["head"] for c in package["training"]["candidates"]] == ["residual"]


def test_serving_parses_features_alone(runs, versions):
    spec = versions[3].spec
    labels = {task.label for task in spec.tasks}
    assert raw_feature_spec(spec).keys() == versions[3].column_types.keys()
    assert not labels & versions[3].column_types.keys()


def test_two_versions_are_compared(runs):
    with open(runs.folder / "compared.json") as file:
        compared = json.load(file)
    assert compared["b"] == str(runs.model / "4")
    removed, remaining = runs.new
    assert compared["tasks"][removed] == {"only_in": "a"}
    with open(runs.folder / "metrics.json") as file:
        assert set(compared["tasks"]) == set(json.load(file)["tasks"])
    for task in (*runs.old, remaining):
        row = compared["tasks"][task]
        assert row["identical"]
        assert (row["rows"], row["largest"]) == (300, 0)
        assert row["rank_correlation"] == pytest.approx(1)
        assert row["auc_a"] == row["auc_b"]
    shown = runs.output["compare"].stdout
    assert "only in a" in shown
