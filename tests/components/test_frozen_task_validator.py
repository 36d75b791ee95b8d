import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.frozen_task_validator.compare import compare
from components.frozen_task_validator.component import FrozenTaskValidator
from components.report import read_report
from mptrec_tf.data.raw_examples import read_serialized_examples
from mptrec_tf.storage.arrays import load_arrays, save_arrays


@pytest.fixture
def validate(tmp_path, run_component, examples):
    """Runs the validator on the test rows; returns its report and whether it blesses."""

    def validate(candidate, base):
        outputs = run_component(
            FrozenTaskValidator,
            tmp_path / "validator",
            {"examples": examples, "model": candidate, "base_model": base},
            split="test",
        )
        blessing = outputs["blessing"]
        blessed = blessing.get_int_custom_property("blessed")
        [file] = Path(blessing.uri).iterdir()
        assert file.name == ("BLESSED" if blessed else "NOT_BLESSED")
        assert blessing.get_string_custom_property("current_model") == candidate.uri
        report = read_report(outputs["report"].uri)
        assert report["blessed"] == bool(blessed) == (not report["problems"])
        return report, (Path(outputs["report"].uri) / "report.html").read_text()

    return validate


EMBEDDING = "backbone/embedding.Stable/.ATTRIBUTES/VARIABLE_VALUE"
SHARE_BIAS = "banks/0/_towers/_last/.ATTRIBUTES/VARIABLE_VALUE"  # of the only added task


def change_variable(model, name, change):
    """Changes a variable in the file of a SavedModel, and its checksums."""
    prefix = f"{model.uri}/Format-Serving/variables/variables"
    reader = tf.train.load_checkpoint(prefix)
    values = {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}
    values[name] = change(values[name])
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=[tf.constant(value) for value in values.values()],
    )


def flip_lowest_bit(values):
    bits = values.copy().view(np.int32)
    bits.flat[0] ^= 1
    return bits.view(np.float32)


def predict(model, examples):
    """Returns the predictions of a SavedModel for the test rows, by task."""
    loaded = tf.saved_model.load(f"{model.uri}/Format-Serving")
    [rows] = read_serialized_examples(examples.uri, "test", 1000)
    outputs = loaded.signatures["serving_default"](examples=rows)
    return {task: values.numpy() for task, values in outputs.items()}


def test_a_new_task_that_leaves_the_others_alone_is_blessed(validate, grown, model):
    report, page = validate(grown, model)
    assert report == {
        "blessed": True,
        "problems": [],
        "tasks": ["click", "like"],
        "rows": 400,
        "rows_that_differ": {"click": 0, "like": 0},
        "differing": [],
        "exported_by": "",
    }
    assert "Frozen tasks: all as they were" in page


def pretend_release(model):
    """Lets a model's card say that another release exported it."""
    card = Path(model.uri) / "Format-Serving/assets.extra/model_card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"mptrec_tf": "0.1.0"}))


def test_production_of_another_release_is_exported_again(
    validate, both, grown, tmp_path, copy_artifact
):
    production = copy_artifact(grown, tmp_path / "model")
    pretend_release(production)
    # One bit, as another release may round in another way.
    change_variable(production, EMBEDDING, flip_lowest_bit)
    report, page = validate(both, production)
    problems = [f"the SavedModels' backbones differ in {EMBEDDING}"]
    assert report["problems"] == problems
    assert not any(report["rows_that_differ"].values())
    assert report["exported_by"].startswith("mptrec-tf 0.1.0 on TensorFlow ")
    assert "with what this release exports" in page


def test_another_release_is_no_excuse_for_more_than_rounding(
    validate, both, grown, tmp_path, copy_artifact
):
    production = copy_artifact(grown, tmp_path / "model")
    pretend_release(production)
    change_variable(production, SHARE_BIAS, lambda bias: bias + 0.1)
    report, _ = validate(both, production)
    [problem] = [problem for problem in report["problems"] if "more than rounding" in problem]
    assert "exported by mptrec-tf 0.1.0 on TensorFlow" in problem
    assert "predict task 'share' up to 0.0" in problem
    assert not any(report["rows_that_differ"].values())


def test_a_replaced_task_may_change(validate, grown, tmp_path, copy_artifact):
    """Share is what the candidate added last; production has it already."""
    report, _ = validate(copy_artifact(grown, tmp_path / "model"), grown)
    assert (report["blessed"], report["tasks"]) == (True, ["click", "like"])


def test_a_task_that_is_missing_is_named(validate, grown, both):
    report, page = validate(grown, both)
    assert report["problems"] == ["task 'purchase' of the model in production is missing"]
    assert "task &#x27;purchase&#x27;" in page or "task 'purchase'" in page
    assert report["tasks"] == ["click", "like", "purchase"]
    assert report["rows_that_differ"] == {"click": 0, "like": 0}


def test_one_bit_of_the_backbone_is_detected(validate, grown, model, tmp_path, copy_artifact):
    changed = copy_artifact(grown, tmp_path / "model")
    path = f"{changed.uri}/Backbone/weights.npz"
    weights = load_arrays(path)
    name = sorted(weights)[0]
    save_arrays(path, weights | {name: flip_lowest_bit(weights[name])})
    report, _ = validate(changed, model)
    [problem] = report["problems"]
    assert "Backbone was changed since it was written: its fingerprint is" in problem
    assert report["rows_that_differ"] == {"click": 0, "like": 0}  # the SavedModel is as it was


def test_one_bit_of_the_backbones_file_is_detected(validate, grown, model, tmp_path, copy_artifact):
    changed = copy_artifact(grown, tmp_path / "model")
    path = tmp_path / "model" / "Backbone" / "weights.npz"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    report, _ = validate(changed, model)
    [problem] = report["problems"]
    assert "Backbone" in problem


def test_a_served_backbone_of_which_one_bit_changed_is_detected(
    validate, grown, model, tmp_path, copy_artifact
):
    """Responses need not show the last bit of one number."""
    changed = copy_artifact(grown, tmp_path / "model")
    change_variable(changed, EMBEDDING, flip_lowest_bit)
    report, _ = validate(changed, model)
    assert report["problems"][0] == f"the SavedModels' backbones differ in {EMBEDDING}"


def test_a_saved_model_whose_backbone_is_not_found_is_rejected(validate, grown, model, monkeypatch):
    """A comparison of nothing would find no difference."""
    monkeypatch.setattr(f"{compare.__module__}.BACKBONE_VARIABLES", "elsewhere/")
    report, _ = validate(grown, model)
    [problem] = report["problems"]
    assert "holds no variables of a backbone; export it again" in problem


def test_a_damaged_saved_model_is_rejected(validate, grown, model, tmp_path, copy_artifact):
    """TensorFlow checks checksums of what it reads."""
    changed = copy_artifact(grown, tmp_path / "model")
    [data] = (tmp_path / "model" / "Format-Serving" / "variables").glob("*.data-*")
    raw = bytearray(data.read_bytes())
    raw[2000] ^= 1
    data.write_bytes(raw)
    report, page = validate(changed, model)
    [problem] = report["problems"]
    assert problem.startswith("the candidate's SavedModel is damaged (")
    assert (report["rows"], report["tasks"]) == (0, ["click", "like"])
    assert "something differs" in page


def test_a_changed_vocabulary_is_detected(validate, grown, model, tmp_path, copy_artifact):
    changed = copy_artifact(grown, tmp_path / "model")
    path = tmp_path / "model" / "Format-Serving" / "assets" / "vocabulary"
    lines = path.read_bytes().split(b"\n")
    lines[0], lines[1] = lines[1], lines[0]
    path.write_bytes(b"\n".join(lines))
    report, _ = validate(changed, model)
    assert "the SavedModels' backbones differ in assets/vocabulary" in report["problems"]


def test_predictions_that_differ_are_listed_row_by_row(
    validate, both, grown, examples, tmp_path, copy_artifact
):
    """The tower of share has another bias; the same rows are found by hand."""
    changed = copy_artifact(both, tmp_path / "model")
    change_variable(changed, SHARE_BIAS, lambda values: values + np.float32(0.25))
    report, page = validate(changed, grown)
    before, after = predict(grown, examples), predict(changed, examples)
    rows = [i for i in range(400) if before["share"][i] != after["share"][i]]
    assert 0 < len(rows) <= 400
    assert report["problems"] == [f"predictions of task 'share' differ in {len(rows)} of 400 rows"]
    assert report["rows_that_differ"] == {"click": 0, "like": 0, "share": len(rows)}
    assert [entry["row"] for entry in report["differing"]] == [row + 1 for row in rows]
    for row, entry in zip(rows, report["differing"], strict=True):
        old, new = float(before["share"][row]), float(after["share"][row])
        assert entry == {
            "task": "share",
            "row": row + 1,
            "base": old,
            "candidate": new,
            "difference": new - old,
        }
    first = report["differing"][0]
    cells = [first["task"], first["row"], *(f"{first[k]:.9g}" for k in ("base", "candidate"))]
    table = page[page.index("Row by row") :]
    assert "\n".join(f"      <td>{cell}</td>" for cell in cells) in table
    assert table.count("<td>share</td>") == len(rows)


def test_at_most_so_many_rows_are_listed_and_all_are_counted(
    both, grown, examples, tmp_path, copy_artifact, monkeypatch
):
    changed = copy_artifact(both, tmp_path / "model")
    change_variable(changed, SHARE_BIAS, lambda values: values + np.float32(0.25))
    whole = compare(changed.uri, grown.uri, examples.uri, "test")
    monkeypatch.setattr("components.frozen_task_validator.compare._BATCH", 37)
    few = compare(changed.uri, grown.uri, examples.uri, "test", max_rows=50)
    assert few.counts == whole.counts
    rows = [entry["row"] for entry in few.differing]
    assert rows == [entry["row"] for entry in whole.differing[:50]]
    # The same row in a batch of another size: the last bits may differ.
    for mine, theirs in zip(few.differing, whole.differing, strict=False):
        assert mine["candidate"] == pytest.approx(theirs["candidate"], abs=1e-6)
