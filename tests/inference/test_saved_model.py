import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.data.packed import LABELS
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.errors import InputError
from mptrec_tf.inference.saved_model import LoadedModel, find_newest_version
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.training.batches import load_rows


def test_the_newest_version_is_the_highest_number(tmp_path):
    for name in ("9", "10", "2", "11.incomplete-1a2b3c4d"):
        (tmp_path / name).mkdir()
    assert find_newest_version(str(tmp_path)) == str(tmp_path / "10")


def test_a_version_with_zeros_is_loaded(exported, tmp_path, block, model):
    shutil.copytree(exported / "1", tmp_path / "00000123")
    (tmp_path / "9").mkdir()
    loaded = LoadedModel(str(tmp_path))
    assert loaded.path == str(tmp_path / "00000123")
    expected = model.predict(block)
    for task, values in loaded.predict(block).items():
        np.testing.assert_array_equal(values, expected[task])


def test_a_version_is_itself(exported):
    assert find_newest_version(str(exported / "1")) == str(exported / "1")
    assert find_newest_version(f"{exported}/") == str(exported / "1")


def test_a_directory_without_a_model_is_rejected(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="holds no exported model; give a directory"):
            LoadedModel(str(folder))


def test_a_model_predicts_like_its_backbone_and_heads(model, exported, block):
    assert model.path == str(exported / "1")
    assert model.spec.task_names == ("click", "like", "share")
    predictions = model.predict(block)
    assert set(predictions) == {"click", "like", "share"}
    for probability in predictions.values():
        assert probability.shape == (300,)
        assert ((probability > 0) & (probability < 1)).all()
    assert model.column_types.keys() == set(model.spec.feature_names)


def test_raw_rows_are_predicted_like_the_prepared_ones(
    model, synthetic_backbone, prepared_synthetic, block
):
    """The preprocessing in the model is the one of the training."""
    backbone = load_backbone(str(synthetic_backbone)).model
    rows = load_rows(PreparedData(str(prepared_synthetic)), "test", ("click", "like"))
    prepared = tf.sigmoid(PromptedMPTRec(backbone).backbone(rows.columns)).numpy()
    # Beam may write rows in another order: the same 300 rows are among the 400 prepared ones.
    predictions = np.stack([model.predict(block)[task] for task in ("click", "like")], axis=1)
    for row, labels in zip(
        predictions, zip(block.columns["click"], block.columns["like"], strict=True), strict=True
    ):
        near = np.isclose(prepared, row, rtol=1e-5, atol=1e-7).all(axis=1)
        assert labels in {tuple(pair) for pair in rows.columns[LABELS].numpy()[near]}


def test_a_missing_column_is_named(model, block, change_column):
    with pytest.raises(InputError, match="synthetic test rows has no column 'hour'"):
        model.predict(change_column(block, "hour", None))


@pytest.mark.parametrize("value", ["old", "nan", "inf", "", "1e60"])
def test_a_value_that_is_not_a_number_is_named_with_its_row(model, block, change_column, value):
    ages = block.columns["user_age"].astype(object)
    ages[7] = value
    message = f"synthetic test rows, row 8, column 'user_age': '{value}' is not a finite number"
    with pytest.raises(InputError, match=message):
        model.predict(change_column(block, "user_age", ages))


def test_unknown_values_and_numbers_as_text_are_predicted(model, block, change_column, slice_rows):
    one = slice_rows(block, 0, 1)
    plain = model.predict(one)
    text = change_column(one, "user_age", one.columns["user_age"].astype(str).astype(object))
    np.testing.assert_array_equal(model.predict(text)["click"], plain["click"])
    unknown = model.predict(change_column(one, "item_id", np.array(["never seen"], object)))
    assert unknown["click"] != plain["click"]


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported / "1", tmp_path / "1")


def damage_card(copy):
    path = copy / "assets.extra" / "model_card.json"
    card = json.loads(path.read_text())
    del card["spec"]
    path.write_text(json.dumps(card))


@pytest.mark.parametrize(
    "damage",
    [
        lambda copy: (copy / "assets.extra" / "model_card.json").unlink(),
        lambda copy: (copy / "assets.extra" / "model_card.json").write_text("{"),
        damage_card,
        lambda copy: (copy / "saved_model.pb").write_bytes(b"no model"),
        lambda copy: shutil.rmtree(copy / "variables"),
        lambda copy: shutil.rmtree(copy / "assets"),
    ],
    ids=["no card", "cut card", "card without spec", "no graph", "no variables", "no assets"],
)
def test_a_damaged_model_is_named(copy, damage):
    damage(copy)
    with pytest.raises(InputError, match=r"cannot load the model in .*/1: .*; export it again"):
        LoadedModel(str(copy))


def test_another_saved_model_is_rejected(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(InputError, match="cannot load the model in"):
        LoadedModel(str(tmp_path))
