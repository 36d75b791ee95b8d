import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.artifacts import backbones
from mptrec_tf.artifacts.backbones import load_backbone, save_trained_backbone
from mptrec_tf.data.packed import CATEGORICAL, NUMERIC
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.transform.transform_fingerprint import fingerprint_transform
from mptrec_tf.errors import InputError
from mptrec_tf.models.mptrec import MPTRec
from mptrec_tf.models.registry import MODELS, ModelKind
from mptrec_tf.models.shapes import MPTRecShape
from mptrec_tf.storage.arrays import load_arrays, save_arrays
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.loop import Training


@pytest.fixture
def copy(synthetic_backbone, tmp_path):
    return shutil.copytree(synthetic_backbone, tmp_path / "backbone")


def change_description(folder, change):
    path = folder / "backbone.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def test_a_loaded_backbone_is_the_saved_one_bit_for_bit(synthetic_backbone, tmp_path):
    stored = load_backbone(f"{synthetic_backbone}/")
    again = tmp_path / "again"
    again.mkdir()
    fingerprint = backbones.save_backbone(
        str(again), stored.model, stored.spec, stored.transform_dir, stored.training
    )
    assert fingerprint == stored.fingerprint
    loaded = load_backbone(str(again))
    assert (loaded.spec, loaded.shape) == (stored.spec, stored.shape)
    weights = loaded.model.named_weights()
    assert weights.keys() == stored.model.named_weights().keys()
    for name, weight in stored.model.named_weights().items():
        np.testing.assert_array_equal(weight, weights[name])
    features = {CATEGORICAL: tf.zeros((3, 7), tf.int64), NUMERIC: tf.ones((3, 3))}
    np.testing.assert_array_equal(loaded.model(features), stored.model(features))


def test_changed_weights_are_rejected_with_both_fingerprints(synthetic_backbone, copy):
    expected = load_backbone(str(synthetic_backbone)).fingerprint
    weights = load_arrays(str(copy / "weights.npz"))
    name = sorted(weights)[0]
    weights[name].flat[0] = np.nextafter(weights[name].flat[0], np.inf, dtype=np.float32)
    save_arrays(str(copy / "weights.npz"), weights)
    with pytest.raises(InputError, match=rf"its fingerprint is \w{{64}}, it should be {expected}"):
        load_backbone(str(copy))


def test_a_changed_vocabulary_is_rejected(copy):
    [vocabulary] = (copy / "transform" / "transform_fn" / "assets").iterdir()
    vocabulary.write_bytes(vocabulary.read_bytes().replace(b"hour\t1\n", b"hour\t77\n"))
    with pytest.raises(InputError, match="was changed since it was written"):
        load_backbone(str(copy))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("fingerprint"),
        lambda d: d.pop("training"),
        lambda d: d["shape"].pop("tasks"),
        lambda d: d["shape"].update(expert_count=3),
        lambda d: d["shape"].update(fusion="none"),
        lambda d: d["spec"].pop("numeric"),
        lambda d: d["spec"]["tasks"][0].update(colour="red"),
        lambda d: d.update(spec=None),
    ],
)
def test_a_damaged_description_is_named(copy, change):
    change_description(copy, change)
    with pytest.raises(InputError, match=r"backbone\.json is damaged .*; use an untouched copy"):
        load_backbone(str(copy))


@pytest.mark.parametrize("content", ["", "{", "[]", "3", '"text"', b"\xff\xfe"])
def test_a_description_that_is_not_an_object_is_named(copy, content):
    content = content if isinstance(content, bytes) else content.encode()
    (copy / "backbone.json").write_bytes(content)
    with pytest.raises(InputError, match=r"backbone\.json"):
        load_backbone(str(copy))


def test_another_directory_is_rejected(tmp_path, prepared_synthetic):
    for folder in (tmp_path, tmp_path / "none", prepared_synthetic):
        with pytest.raises(InputError, match=r"holds no backbone \(backbone\.json is missing\)"):
            load_backbone(str(folder))


def test_missing_parts_are_named(copy):
    (copy / "weights.npz").unlink()
    with pytest.raises(InputError, match=r"cannot read .*weights\.npz"):
        load_backbone(str(copy))


def test_a_backbone_without_its_graph_is_named(copy):
    shutil.rmtree(copy / "transform")
    with pytest.raises(InputError, match="cannot read the preprocessing graph"):
        load_backbone(str(copy))


@pytest.mark.parametrize(
    ("units", "sentence"),
    [
        ((5,), r"'towers/.*' is .*, expected .*"),
        ((4, 4), r"do not fit their model: 'towers/.*' is in one only"),
    ],
)
def test_weights_of_another_model_are_rejected(synthetic_backbone, units, sentence):
    stored = load_backbone(str(synthetic_backbone)).model
    other = MPTRec(dataclasses.replace(stored.shape, tower_units=units))
    values = {name: weight.numpy() for name, weight in stored.named_weights().items()}
    with pytest.raises(InputError, match=sentence):
        backbones.assign_weights(other.named_weights(), values, "weights.npz")


def test_the_data_that_it_was_trained_on_fit(synthetic_backbone, prepared_synthetic):
    data = PreparedData(str(prepared_synthetic))
    assert load_backbone(str(synthetic_backbone)).check_fits(data) is None


def test_data_with_other_features_do_not_fit(synthetic_backbone, prepared_synthetic, tmp_path):
    data = shutil.copytree(prepared_synthetic, tmp_path / "data")
    description = json.loads((data / "data.json").read_text())
    description["spec"]["numeric"].pop()
    (data / "data.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match=r"only the second has item_freshness"):
        load_backbone(str(synthetic_backbone)).check_fits(PreparedData(str(data)))


def test_data_with_another_vocabulary_do_not_fit(synthetic_backbone, prepared_synthetic, tmp_path):
    data = shutil.copytree(prepared_synthetic, tmp_path / "data")
    [vocabulary] = (data / "transform" / "transform_fn" / "assets").iterdir()
    vocabulary.write_bytes(vocabulary.read_bytes() + b"hour\t99\n")
    stored = load_backbone(str(synthetic_backbone))
    with pytest.raises(InputError, match=rf"prepare them again with --backbone={stored.directory}"):
        stored.check_fits(PreparedData(str(data)))


@pytest.fixture
def finished(tmp_path, prepared_synthetic):
    """What a training leaves: its state and its logs."""
    work = tmp_path / "out.training"
    (work / "logs" / "train").mkdir(parents=True)
    (work / "logs" / "train" / "events").write_text("seen")
    (work / "epoch-0000.index").write_text("state")
    graph = fingerprint_transform(f"{prepared_synthetic}/transform")
    return Training(
        history=[{"val_score_sum": float("nan")}],
        best_epoch=0,
        seconds=1.0,
        steps=1,
        settings={"preprocessing": graph},
    )


def test_the_record_of_a_training_is_saved(
    synthetic_backbone, prepared_synthetic, finished, tmp_path
):
    stored = load_backbone(str(synthetic_backbone))
    saved = save_trained_backbone(
        str(tmp_path / "out"),
        stored.model,
        PreparedData(str(prepared_synthetic)),
        {"losses": {"gen_weight": 0.9}},
        finished,
        str(tmp_path / "out.training"),
    )
    assert sorted(os.listdir(tmp_path)) == ["out"]
    assert sorted(os.listdir(tmp_path / "out")) == [
        "backbone.json",
        "logs",
        "transform",
        "weights.npz",
    ]
    assert (tmp_path / "out" / "logs" / "train" / "events").read_text() == "seen"
    assert saved.fingerprint == stored.fingerprint
    assert saved.training["losses"] == {"gen_weight": 0.9}
    assert saved.training["history"] == [{"val_score_sum": None}]
    assert saved.training["data"]["splits"]["train"]["rows"] == 1500


@pytest.mark.parametrize("step", ["save_arrays", "copy_directory", "write_file"])
def test_nothing_is_left_where_saving_fails_half_way(
    synthetic_backbone, prepared_synthetic, finished, tmp_path, monkeypatch, step
):
    stored = load_backbone(str(synthetic_backbone))

    def fail(*_):
        raise InputError("cannot write: the disk is full.")

    monkeypatch.setattr(backbones, step, fail)
    with pytest.raises(InputError, match="the disk is full"):
        save_trained_backbone(
            str(tmp_path / "out"),
            stored.model,
            PreparedData(str(prepared_synthetic)),
            {},
            finished,
            str(tmp_path / "out.training"),
        )
    # The state stays, so that starting again does not train again.
    assert os.listdir(tmp_path) == ["out.training"]
    assert (tmp_path / "out.training" / "epoch-0000.index").exists()


def test_data_that_changed_during_the_training_are_rejected(
    synthetic_backbone, prepared_synthetic, finished, tmp_path
):
    stored = load_backbone(str(synthetic_backbone))
    finished.settings["preprocessing"] = "of other rows"
    with pytest.raises(InputError, match="changed during the training; put the data back"):
        save_trained_backbone(
            str(tmp_path / "out"),
            stored.model,
            PreparedData(str(prepared_synthetic)),
            {},
            finished,
            str(tmp_path / "out.training"),
        )
    assert os.listdir(tmp_path) == ["out.training"]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["shape"].update(tasks=d["shape"]["tasks"][::-1]),
        lambda d: d["shape"].update(fusion="share_only"),
        lambda d: d["spec"].update(numeric=d["spec"]["numeric"][::-1]),
    ],
)
def test_how_the_weights_are_used_is_part_of_the_fingerprint(copy, change):
    change_description(copy, change)
    with pytest.raises(InputError, match="was changed since it was written"):
        load_backbone(str(copy))


def test_a_backbone_names_its_model_and_its_shape(synthetic_backbone):
    description = json.loads((synthetic_backbone / "backbone.json").read_text())
    stored = load_backbone(str(synthetic_backbone))
    assert description["model"] == stored.model.kind == "mptrec"
    assert isinstance(stored.model, MPTRec)
    shape = json.loads(json.dumps(to_plain(stored.shape)))
    assert "task_logits" not in shape  # each task has one logit: stored as before
    assert description["shape"] == shape
    assert shape["expert_units"] == [12, 8]


def test_a_backbone_from_before_models_had_names_is_named(copy):
    change_description(copy, lambda d: d.pop("model"))
    with pytest.raises(InputError) as rejection:
        load_backbone(str(copy))
    assert str(rejection.value) == (
        f"backbone {copy} was written by an earlier version of mptrec_tf; pre-train it again."
    )


def test_a_model_that_is_unknown_here_is_named(copy):
    change_description(copy, lambda d: d.update(model="mine"))
    with pytest.raises(InputError) as rejection:
        load_backbone(str(copy))
    assert str(rejection.value) == (
        f"backbone {copy} is of the model 'mine', which is unknown here (there are "
        f"{', '.join(MODELS.names())}); name the module that registers it in MPTREC_PLUGINS."
    )


class Other(MPTRec):
    """Has the weights of another kind of model."""

    kind = "other"


def test_which_model_it_is_is_part_of_the_fingerprint(copy, monkeypatch):
    monkeypatch.setattr(MODELS, "_kinds", dict(MODELS._kinds))
    MODELS.register("other", ModelKind(Other, MPTRecShape))
    change_description(copy, lambda d: d.update(model="other"))
    with pytest.raises(InputError, match="was changed since it was written"):
        load_backbone(str(copy))
