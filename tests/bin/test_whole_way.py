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
from mptrec_tf.models.heads.registry import fitting
from mptrec_tf.models.registry import MODELS


@pytest.fixture(scope="session")
def versions(way):
    return {version: LoadedModel(str(way.model / str(version))) for version in (1, 2, 3, 4)}


@pytest.fixture(scope="session")
def answers(way, versions):
    (block,) = read_file(str(way.rows), TextFormat())
    return {version: model.predict(block) for version, model in versions.items()}


def test_versions_hold_the_tasks_that_were_asked_for(way, answers):
    first, second = way.new
    assert [set(answers[v]) - set(way.old) for v in (1, 2, 3, 4)] == [
        set(),
        {first},
        {first, second},
        {second},
    ]


def test_added_and_removed_tasks_leave_the_others_alone_to_the_last_bit(way, answers):
    first, second = way.new
    for version in (2, 3, 4):
        for task in way.old:
            np.testing.assert_array_equal(answers[version][task], answers[1][task])
    np.testing.assert_array_equal(answers[3][first], answers[2][first])
    np.testing.assert_array_equal(answers[4][second], answers[3][second])


def test_predictions_are_the_models_own(way, answers):
    with open(way.folder / "predictions.csv") as file:
        rows = list(csv.DictReader(file))
    for task, expected in answers[3].items():
        written = np.array([row[task] for row in rows], np.float32)
        np.testing.assert_array_equal(written, expected)
    assert len({f"{value:.6f}" for value in answers[3][way.old[0]]}) > 100


def test_it_loads_with_plain_tensorflow(way, answers):
    """In a process that cannot import this package or TensorFlow Transform."""
    code = f"""
import csv, json, sys
sys.modules.update(dict.fromkeys(["mptrec_tf", "tensorflow_transform", "tf_keras"]))
import tensorflow as tf
model = tf.saved_model.load({str(way.model / "3")!r}).signatures["columns"]
rows = list(csv.DictReader(open({str(way.rows)!r})))
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
        np.testing.assert_array_equal(np.float32(values), answers[3][task])


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


def test_signatures_agree(way, versions, answers):
    (block,) = read_file(str(way.rows), TextFormat())
    examples = tf.constant(list(serialized_examples(versions[3].spec, block)))
    model = tf.saved_model.load(str(way.model / "3"))
    by_example = model.signatures["serving_default"](examples=examples)
    assert by_example.keys() == answers[3].keys()
    for task, probability in by_example.items():
        assert probability.shape == (len(block),)
        np.testing.assert_array_equal(probability, answers[3][task])
    encoded = model.signatures["encode"](examples=examples)
    count = len(block)
    assert encoded["shared"].shape == (count, 128)
    assert encoded["specific"].shape == (count, 2, 128)
    assert encoded["x"].shape[0] == count


def test_one_row_is_answered_like_many(way, versions, answers):
    (block,) = read_file(str(way.rows), TextFormat())
    one = type(block)({k: v[:1] for k, v in block.columns.items()}, "one", block.lines[:1])
    for task, probability in versions[3].predict(one).items():
        assert probability.shape == (1,)
        np.testing.assert_allclose(probability[0], answers[3][task][0], rtol=1e-5)


def test_a_request_without_a_column_is_refused(way, versions):
    spec = versions[3].spec
    model = tf.saved_model.load(str(way.model / "3"))
    (block,) = read_file(str(way.rows), TextFormat())
    example = tf.train.Example.FromString(next(serialized_examples(spec, block)))
    missing = spec.numeric[0].name
    del example.features.feature[missing]
    with pytest.raises(tf.errors.InvalidArgumentError, match=missing):
        model.signatures["serving_default"](examples=tf.constant([example.SerializeToString()]))


def test_a_request_with_an_ill_typed_column_is_refused(way, versions):
    spec = versions[3].spec
    model = tf.saved_model.load(str(way.model / "3"))
    (block,) = read_file(str(way.rows), TextFormat())
    example = tf.train.Example.FromString(next(serialized_examples(spec, block)))
    wrong = spec.numeric[0].name
    example.features.feature[wrong].CopyFrom(
        tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"much"]))
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=wrong):
        model.signatures["serving_default"](examples=tf.constant([example.SerializeToString()]))


def test_metrics_are_those_of_the_predictions(way):
    metrics = json.loads((way.folder / "metrics.json").read_text())["tasks"]
    assert list(metrics) == [*way.old, *way.new]
    for values in metrics.values():
        assert {"auc", "log_loss", "calibration", "ece", "rows", "positives"} <= values.keys()
        assert 0 < values["positives"] < values["rows"]
    if "synthetic" in str(way.folder):
        assert metrics["click"]["rows"] == 1000
        assert all({"grouped_auc", "best_auc"} <= values.keys() for values in metrics.values())
        assert all(0.5 < values["auc"] < values["best_auc"] for values in metrics.values())


def test_evaluation_agrees_with_predictions_row_by_row(way, versions):
    from mptrec_tf.data.sources.synthetic import Synthetic
    from mptrec_tf.inference.scoring import evaluate

    if "synthetic" not in str(way.folder):
        pytest.skip("shown on synthetic rows; the code is the same")
    source = Synthetic({"test": 500})
    (block,) = source.read(source.shards("test")[0])
    expected = versions[3].predict(block)
    for task, values in evaluate(versions[3], source, "test").items():
        labels = versions[3].spec.select_tasks([task])[0].labels(block, ())
        assert values["auc"] == pytest.approx(auc(labels, expected[task]))


def test_programs_end_with_a_table(way):
    first = way.new[0]
    for step, told in {
        "prepare": "train",
        "pretrain": "validation AUC",
        first: "trainable params: ",
        "export 3": "pre-trained",
        "predict": "mean",
        "evaluate": "log loss",
    }.items():
        assert told in way.output[step].stdout
        assert "Traceback" not in way.output[step].stderr
    # A progress bar and a line for each epoch go to standard error.
    assert "pre-training   epoch   2 of 2   " in way.output["pretrain"].stderr
    assert f"{first}, run 2 of 2   epoch   2 of 2   " in way.output[first].stderr


def test_nothing_half_written_is_left(way):
    names = {path.name for path in way.folder.iterdir()}
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
    assert {path.name for path in way.model.iterdir()} == {"1", "2", "3", "4"}
    assert {path.name for path in (way.folder / "tasks").iterdir()} == set(way.new)


def test_backbone_is_untouched_by_new_tasks(way):
    from mptrec_tf.artifacts.backbones import load_backbone
    from mptrec_tf.artifacts.task_packages import load_package

    backbone = load_backbone(str(way.backbone))  # checks the fingerprint
    for package in way.packages.values():
        assert load_package(str(package), backbone).backbone == backbone.fingerprint


def test_the_best_head_is_taken_and_all_are_named(way):
    automatic, chosen = way.packages
    told = way.output[automatic].stdout
    assert f"Heads for {automatic}" in told
    # Heads that are trained together have their seconds in common, which are said once.
    assert "seconds" not in told
    *kinds, tower = fitting(MODELS.get("mptrec").offers)
    assert tower == "tower"  # which stands in where these do not fit
    for number, heads in enumerate((kinds[:3], kinds[3:]), 1):
        assert told.count(f"run {number}: {', '.join(heads)} trained side by side in ") == 1
    package = json.loads((way.packages[automatic] / "task.json").read_text())
    candidates = package["training"]["candidates"]
    assert {c["head"] for c in candidates} == set(kinds)
    best = max(c["validation_AUC"] for c in candidates)
    kept = next(c for c in candidates if best - c["validation_AUC"] <= c["noise"])
    shape = package["head"]
    assert shape.get("attention", shape["type"]) in (kept["head"], kept["head"].split("_")[0])
    package = json.loads((way.packages[chosen] / "task.json").read_text())
    assert package["head"]["type"] == "residual"
    assert [c["head"] for c in package["training"]["candidates"]] == ["residual"]


def test_serving_parses_features_alone(way, versions):
    spec = versions[3].spec
    labels = {task.label for task in spec.tasks}
    assert raw_feature_spec(spec).keys() == versions[3].column_types.keys()
    assert not labels & versions[3].column_types.keys()


def test_two_versions_are_compared(way):
    with open(way.folder / "compared.json") as file:
        compared = json.load(file)
    assert compared["b"] == str(way.model / "4")
    removed, kept = way.new
    assert compared["tasks"][removed] == {"only_in": "a"}
    with open(way.folder / "metrics.json") as file:
        assert set(compared["tasks"]) == set(json.load(file)["tasks"])
    for task in (*way.old, kept):
        found = compared["tasks"][task]
        assert found["identical"]
        assert (found["rows"], found["largest"]) == (300, 0)
        assert found["rank_correlation"] == pytest.approx(1)
        assert found["auc_a"] == found["auc_b"]
    shown = way.output["compare"].stdout
    assert "only in a" in shown
