import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.report import read_report
from components.serving_check import check as checking
from components.serving_check.check import check
from components.serving_check.component import ServingCheck
from mptrec_tf.storage.arrays import load_arrays, save_arrays


@pytest.fixture
def run_check(tmp_path, run_component):
    """Runs the component; returns the problems, after checks of report and blessing."""

    def run_check(model):
        outputs = run_component(ServingCheck, tmp_path / "check", {"model": model})
        blessing, uri = outputs["blessing"], outputs["report"].uri
        report = read_report(uri)
        assert report["blessed"] == (not report["problems"])
        assert blessing.get_int_custom_property("blessed") == int(report["blessed"])
        [file] = Path(blessing.uri).iterdir()
        assert file.name == ("INFRA_BLESSED" if report["blessed"] else "INFRA_NOT_BLESSED")
        page = (Path(uri) / "report.html").read_text()
        assert ("the model serves" in page) == report["blessed"]
        return report["problems"]

    return run_check


def test_a_good_model_serves(run_check, grown):
    assert run_check(grown) == []


def test_predictions_that_are_not_the_trainers_are_named(run_check, grown, tmp_path, copy_artifact):
    """Click is off by a little in the first row, share in the third, like has a row too few."""
    changed = copy_artifact(grown, tmp_path / "model")
    path = f"{changed.uri}/Expected/outputs.npz"
    outputs = load_arrays(path)
    outputs["click"][0] += np.float32(3e-3)
    outputs["share"][2] = np.nan
    outputs["like"] = outputs["like"][:-1]
    outputs["sell"] = outputs["share"]
    save_arrays(path, outputs)
    problems = run_check(changed)
    assert sorted(problems) == sorted(
        [
            "signature serving_default, task 'click', 200 rows: off from the trainer's predictions "
            "by 0.003",
            "signature serving_default, task 'click', 1 rows: off from the trainer's predictions "
            "by 0.003",
            "signature serving_default, task 'share', 200 rows: off from the trainer's predictions "
            "by nan",
            "signature serving_default, task 'like', 199 rows: shape (200,), expected (199,)",
            "signature serving_default, task 'sell', 200 rows: there is no prediction",
            "signature serving_default, task 'sell', 1 rows: there is no prediction",
            "signature columns, task 'click', 200 rows: off from the trainer's predictions "
            "by 0.003",
            "signature columns, task 'click', 1 rows: off from the trainer's predictions by 0.003",
            "signature columns, task 'share', 200 rows: off from the trainer's predictions by nan",
            "signature columns, task 'like', 199 rows: shape (200,), expected (199,)",
            "signature columns, task 'sell', 200 rows: there is no prediction",
            "signature columns, task 'sell', 1 rows: there is no prediction",
        ]
    )


def test_a_damaged_model_is_rejected(run_check, grown, tmp_path, copy_artifact):
    changed = copy_artifact(grown, tmp_path / "model")
    [data] = (tmp_path / "model" / "Format-Serving" / "variables").glob("*.data-*")
    data.write_bytes(data.read_bytes()[:-500])
    [problem] = run_check(changed)
    assert problem.startswith("the model cannot be loaded or called in a process of its own: ")


def test_a_missing_signature_is_named(run_check, grown, tmp_path, copy_artifact):
    changed = copy_artifact(grown, tmp_path / "model")
    directory = f"{changed.uri}/Format-Serving"
    loaded = tf.saved_model.load(f"{grown.uri}/Format-Serving")
    signatures = {name: loaded.signatures[name] for name in ("serving_default", "columns")}
    tf.saved_model.save(loaded, directory, signatures=signatures)
    [problem] = run_check(changed)
    assert problem.endswith("in a process of its own: KeyError: 'encode'")


def test_a_model_that_does_not_respond_is_rejected(grown, monkeypatch):
    monkeypatch.setattr(checking, "_TIMEOUT", 0.01)
    assert check(grown.uri) == ["the model did not respond within 0.01 seconds"]


def test_a_model_without_expected_rows_or_card_is_rejected(grown, tmp_path, copy_artifact):
    changed = copy_artifact(grown, tmp_path / "model")
    card = tmp_path / "model" / "Format-Serving" / "assets.extra" / "model_card.json"
    content = json.loads(card.read_text())
    for damaged in ("{", json.dumps({k: v for k, v in content.items() if k != "inputs"})):
        card.write_text(damaged)
        [problem] = check(changed.uri)
        assert problem.startswith("the model's assets.extra/model_card.json cannot be read")
    card.unlink()
    [problem] = check(changed.uri)
    assert "cannot be read" in problem
    (tmp_path / "model" / "Expected" / "outputs.npz").unlink()
    [problem] = check(changed.uri)
    assert "outputs.npz" in problem


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"encode/all/deep": np.ones((1, 3))},
            "signature encode, output 'deep', 2 rows: shape (1, 3), expected one row per example",
        ),
        (
            {"encode/one/wide": np.float32(1)},
            "signature encode, output 'wide', 1 rows: shape (), expected one row per example",
        ),
        (
            {"encode/all/wide": np.full((2, 1, 3), np.inf)},
            "signature encode, output 'wide', 2 rows: some values are not finite",
        ),
        (
            {"encode/one/deep": None, "encode/one/wide": None},
            "signature encode, 1 rows: it has no outputs",
        ),
        (
            {"columns/one/a": np.array([0.25002], np.float32)},
            "signature columns, task 'a', 1 rows: off from the trainer's predictions by 2e-05",
        ),
        (
            {"columns/all/b": np.array([20.0, 4000.02], np.float32)},
            "signature columns, task 'b', 2 rows: off from the trainer's predictions by 0.02",
        ),
    ],
)
def test_what_differs_is_named(change, problem):
    expected = {
        "a": np.array([0.25, 0.5], np.float32),
        "b": np.array([20.0, 4000.0], np.float32),
    }
    outputs = {
        f"{signature}/{batch}/{task}": values[:count] * np.float32(1 + 7e-7)
        for task, values in expected.items()
        for signature in ("serving_default", "columns")
        for batch, count in (("all", 2), ("one", 1))
    }
    # The model chooses their names.
    for name in ("deep", "wide"):
        outputs |= {f"encode/all/{name}": np.ones((2, 3)), f"encode/one/{name}": np.ones((1, 3))}
    assert checking._compare_outputs(outputs, expected) == []
    outputs = {name: v for name, v in (outputs | change).items() if v is not None}
    assert checking._compare_outputs(outputs, expected) == [problem]
