import json
import os

import pytest
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.artifacts.task_packages import TaskPackage
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.export import serving_model
from mptrec_tf.export.serving_model import ServingModel, export, make_input_names
from mptrec_tf.models.heads.prompt_shape import PromptConfig
from mptrec_tf.models.heads.registry import make_head


@pytest.fixture(scope="module")
def backbone(synthetic_backbone):
    return load_backbone(str(synthetic_backbone))


def package(backbone, name="share", label=None):
    head = make_head(PromptConfig(tower_units=(4,)), backbone.model.layout, name)
    task = BinaryTask(name, label or name, ("1",), ("0",))
    return TaskPackage(f"tasks/{name}", task, head, backbone.fingerprint, {"seed": 5})


@pytest.fixture
def quick_save(monkeypatch):
    """Writes a file instead of a SavedModel, which takes seconds."""

    def save(_, path, signatures):
        assert set(signatures) == {"serving_default", "columns", "encode"}
        tf.io.gfile.GFile(os.path.join(path, "saved_model.pb"), "w").write("model")

    monkeypatch.setattr(tf.saved_model, "save", save)
    # There is no graph to add a signature to.
    monkeypatch.setattr(serving_model, "add_request_ids", lambda directory, inputs: None)


def test_the_next_version_is_one_above_the_highest(backbone, tmp_path, quick_save):
    base = tmp_path / "models" / "mptrec"
    assert export(backbone, [], f"{base}/") == (f"{base}/1", 1)
    assert export(backbone, [], str(base)) == (f"{base}/2", 2)
    for name in ("9", "10", "config", "11.incomplete-1a2b3c4d"):
        (base / name).mkdir()
    assert export(backbone, [], str(base)) == (f"{base}/11", 11)
    assert (base / "11" / "saved_model.pb").exists()


def test_a_failed_export_leaves_nothing(backbone, tmp_path, monkeypatch):
    def save(_, path, signatures):
        tf.io.gfile.GFile(os.path.join(path, "saved_model.pb"), "w").write("half")
        raise OSError("disk is full")

    monkeypatch.setattr(tf.saved_model, "save", save)
    (tmp_path / "1").mkdir()
    with pytest.raises(OSError, match="disk is full"):
        export(backbone, [], str(tmp_path))
    assert os.listdir(tmp_path) == ["1"]


def test_a_base_path_that_is_a_file_is_rejected(backbone, tmp_path, quick_save):
    path = tmp_path / "model"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"cannot write .*model"):
        export(backbone, [], str(path))
    assert path.read_text() == "mine"


def test_two_packages_of_one_name_are_rejected(backbone, tmp_path, quick_save):
    packages = [package(backbone), package(backbone, label="purchase")]
    with pytest.raises(InputError, match="two task packages are named 'share'; give one of them"):
        export(backbone, packages, str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_packages_that_do_not_go_with_the_backbone_are_rejected(backbone):
    with pytest.raises(InputError, match="needs another name"):
        ServingModel(backbone, [package(backbone, "click")])
    with pytest.raises(InputError, match="is a feature of"):
        ServingModel(backbone, [package(backbone, "young", label="user_age")])


def test_the_card_describes_the_parts_of_the_model(backbone, tmp_path, quick_save):
    path, _ = export(backbone, [package(backbone, "purchase")], str(tmp_path))
    with open(os.path.join(path, "assets.extra", "model_card.json")) as file:
        card = json.load(file)
    assert card["backbone"] == backbone.fingerprint
    assert card["tensorflow"] == tf.__version__
    assert [(task["name"], task["kind"]) for task in card["tasks"]] == [
        ("click", "pre-trained"),
        ("like", "pre-trained"),
        ("purchase", "added"),
    ]
    assert card["tasks"][2]["training"] == {"seed": 5}
    assert [task["name"] for task in card["spec"]["tasks"]] == ["click", "like", "purchase"]
    assert card["inputs"] == {name: name for name in backbone.spec.feature_names}


def test_columns_keep_their_names_where_tensorflow_takes_them():
    assert make_input_names(["age", "Hours_2", "class"]) == {
        "age": "age",
        "Hours_2": "Hours_2",
        "class": "class",
    }


def test_columns_that_tensorflow_does_not_take_get_distinct_names():
    columns = ["a b", "a_b", "a.b", "1st", "_x", "é", "", "self", "Age", "age"]
    names = make_input_names(columns)
    assert list(names) == columns
    assert names["a_b"] == "a_b"
    assert (names["a b"], names["a.b"]) == ("a_b_2", "a_b_3")
    assert names["1st"] == "column_1st"
    assert names["self"] == "self_2"
    assert (names["Age"], names["age"]) == ("Age", "age_2")
    assert len({name.lower() for name in names.values()}) == len(columns)


def test_any_column_names_can_be_served(tmp_path):
    """The names come from TensorFlow itself."""
    names = make_input_names(["hours per week", "hours_per_week", "Age", "age", "self", "_x", "é"])

    @tf.function(input_signature=[{n: tf.TensorSpec([None], name=n) for n in names.values()}])
    def columns(columns):
        return {"sum": tf.add_n([i * columns[n] for i, n in enumerate(names.values())])}

    tf.saved_model.save(tf.Module(), str(tmp_path), signatures={"columns": columns})
    served = tf.saved_model.load(str(tmp_path)).signatures["columns"]
    prediction = served(**{name: tf.constant([10.0**i]) for i, name in enumerate(names.values())})
    assert prediction["sum"].numpy() == [6_543_210.0]
