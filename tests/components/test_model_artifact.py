import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from components import model_artifact
from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.raw_examples import RawExamples, read_serialized_examples
from mptrec_tf.data.transform.graph import has_schema
from mptrec_tf.errors import InputError
from mptrec_tf.training.batches import load_rows


def test_a_model_records_its_lineage(model, grown, both):
    assert model_artifact.read_lineage(model.uri) == (None, None)
    assert model_artifact.read_lineage(grown.uri) == ("share", model.uri)
    assert model_artifact.read_lineage(both.uri) == ("purchase", grown.uri)
    assert model_artifact.list_added_tasks(model.uri) == []
    assert model_artifact.list_added_tasks(both.uri) == ["purchase", "share"]


def test_a_model_is_complete_when_all_others_are_gone(both, tmp_path, copy_artifact):
    """Nothing in the copy leads back to where it was."""
    copy = copy_artifact(both, tmp_path / "copy")
    loaded = model_artifact.load(f"{copy.uri}/")
    assert loaded.uri == copy.uri
    assert loaded.backbone.directory == f"{copy.uri}/Backbone"
    assert [p.directory for p in loaded.packages] == [
        f"{copy.uri}/Tasks/purchase",
        f"{copy.uri}/Tasks/share",
    ]


def test_expected_rows_are_the_first_validation_rows(grown, examples):
    rows, outputs = model_artifact.read_expected(grown.uri)
    [stored] = read_serialized_examples(examples.uri, "validation", 1000)
    assert rows == stored.numpy().tolist()
    assert len(rows) == 200
    served = tf.saved_model.load(model_artifact.serving_directory(grown.uri))
    predictions = served.signatures["serving_default"](examples=tf.constant(rows))
    assert outputs.keys() == predictions.keys() == {"click", "like", "share"}
    for task, values in outputs.items():
        assert values.shape == (200,)
        np.testing.assert_allclose(values, predictions[task], atol=1e-6)


def test_at_most_256_rows_are_expected(model, examples, transform_graph, tmp_path, monkeypatch):
    monkeypatch.setattr(model_artifact, "_EXPECTED_ROWS", 7)
    backbone = load_backbone(f"{model.uri}/Backbone")
    data = RawExamples(examples.uri, transform_graph.uri)
    model_artifact.write(str(tmp_path / "new"), backbone, (), data, added="a", base="b")
    rows, outputs = model_artifact.read_expected(str(tmp_path / "new"))
    assert len(rows) == len(outputs["click"]) == 7
    _, before = model_artifact.read_expected(model.uri)
    np.testing.assert_allclose(outputs["click"], before["click"][:7], atol=1e-6)
    assert model_artifact.read_lineage(str(tmp_path / "new")) == ("a", "b")
    copied = load_backbone(str(tmp_path / "new" / "Backbone"))
    assert copied.fingerprint == backbone.fingerprint


def test_something_else_than_a_model_is_rejected(tmp_path):
    with pytest.raises(InputError, match=r"holds no model of these pipelines \(model\.json is mis"):
        model_artifact.load(str(tmp_path))
    for damaged in ("{", "[]", json.dumps({"added": None})):
        (tmp_path / "model.json").write_text(damaged)
        with pytest.raises(InputError, match=r"model\.json is damaged .*; use an untouched copy"):
            model_artifact.load(str(tmp_path))


def test_a_package_of_another_backbone_is_rejected(grown, tmp_path, copy_artifact):
    copy_artifact(grown, tmp_path / "copy")
    path = tmp_path / "copy" / "Tasks" / "share" / "task.json"
    description = json.loads(path.read_text())
    description["backbone"] = "0" * 64
    path.write_text(json.dumps(description))
    with pytest.raises(InputError, match=r"Tasks/share was trained on the backbone with finger"):
        model_artifact.load(str(tmp_path / "copy"))


def test_expected_rows_that_are_missing_or_damaged_are_named(model, tmp_path, copy_artifact):
    copy = copy_artifact(model, tmp_path / "copy")
    outputs = tmp_path / "copy" / "Expected" / "outputs.npz"
    outputs.write_bytes(outputs.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"outputs\.npz is damaged"):
        model_artifact.read_expected(copy.uri)
    shutil.rmtree(outputs.parent)
    with pytest.raises(InputError, match=r"cannot read .*/Expected/examples\.tfrecord"):
        model_artifact.read_expected(copy.uri)


def test_programs_prepare_data_by_its_backbone(model, examples, synthetic, tmp_path):
    """What a pipeline pre-trained takes columns of shape [B, 1]; the packed rows are the same."""
    backbone = load_backbone(model_artifact.backbone_directory(model.uri))
    data = prepare(synthetic.open({}), str(tmp_path / "data"), transform_dir=backbone.transform_dir)
    backbone.check_fits(data)
    raw = RawExamples(examples.uri, backbone.transform_dir)
    mine, theirs = (load_rows(d, "test", ("click", "share")).columns for d in (data, raw))
    my_order, their_order = (np.lexsort(c["numeric"].numpy().T) for c in (mine, theirs))
    for name in ("categorical", "numeric", "labels"):
        np.testing.assert_array_equal(
            mine[name].numpy()[my_order], theirs[name].numpy()[their_order]
        )
    # The graph that was written with the data has its shapes, too.
    assert has_schema(data.transform_dir)
