"""Versions that are made from the version before them, and the model card of a version."""

import json
import os
import shutil

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.artifacts.task_packages import load_package, save_package
from mptrec_tf.data.packed import request_specs
from mptrec_tf.data.transform.graph import Preprocessing, get_id_ranges, open_transform
from mptrec_tf.errors import InputError
from mptrec_tf.export.serving_model import export
from mptrec_tf.export.version_parts import apply_changes, load_parts
from mptrec_tf.export.warmup import LARGEST_BATCH
from mptrec_tf.keras import keras
from mptrec_tf.models.heads.registry import HEADS, make_head
from mptrec_tf.models.prompted import NewTask, PromptedMPTRec


@pytest.fixture(scope="module")
def backbone(synthetic_backbone):
    return load_backbone(str(synthetic_backbone))


def make_package(backbone, folder, name, kind="fixed", seed=1, training=None):
    """A task package on disk with fresh weights."""
    keras.utils.set_random_seed(seed)
    [task] = backbone.spec.select_tasks(["share"])
    task = type(task)(**{**vars(task), "name": name})
    ranges = tuple(get_id_ranges(backbone.spec, open_transform(backbone.transform_dir)))
    head = make_head(HEADS.get(kind).make_shape(ranges), backbone.model.layout, name)
    for weight in head.trainable_weights:  # some are 0 at first
        weight.assign_add(tf.random.normal(weight.shape, stddev=0.1))
    folder = folder / f"{name}-{seed}"
    folder.mkdir()
    save_package(str(folder), task, head, backbone.fingerprint, training or {"seed": seed})
    return load_package(str(folder), backbone)


@pytest.fixture(scope="module")
def packages(backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packages")
    return {
        "one": make_package(backbone, folder, "one", "lora"),
        "two": make_package(backbone, folder, "two", "prompt"),
        "three": make_package(backbone, folder, "three", "own_embedding"),
        "newer two": make_package(backbone, folder, "two", "prompt", seed=2),
    }


@pytest.fixture(scope="module")
def base(backbone, packages, tmp_path_factory):
    """Versions 1 to 4: two tasks, one more, another one replaced, one less."""
    base = str(tmp_path_factory.mktemp("served") / "mptrec")
    export(backbone, [packages["one"], packages["two"]], base)
    for change in (
        {"add": [packages["three"]]},
        {"replace": [packages["newer two"]]},
        {"remove": ["one"]},
    ):
        stored, there = load_parts(base)
        export(stored, apply_changes(there, **change), base)
    return base


@pytest.fixture(scope="module")
def columns(backbone):
    """Some rows."""
    rng = np.random.default_rng(3)
    return {
        name: tf.constant(
            [str(v) for v in rng.integers(30, size=50)]
            if spec.dtype == tf.string
            else rng.random(50),
            spec.dtype,
        )
        for name, spec in request_specs(backbone.spec).items()
    }


@pytest.fixture(scope="module")
def predictions(base, columns):
    """Each version's predictions of some rows, by task."""
    actual = {}
    for version in (1, 2, 3, 4):
        signature = tf.saved_model.load(f"{base}/{version}").signatures["columns"]
        actual[version] = {task: value.numpy() for task, value in signature(**columns).items()}
    return actual


def test_heads_predict_the_same_when_they_are_served(predictions, columns, packages, backbone):
    features = Preprocessing(backbone.transform_dir)(columns)
    heads = {name: NewTask(packages[name].task, packages[name].head) for name in packages}
    del heads["newer two"]
    for name, expected in PromptedMPTRec(backbone.model, heads)(features).items():
        np.testing.assert_allclose(predictions[2][name], expected, rtol=1e-4, atol=2e-6)
        assert np.std(expected) > 1e-3


def test_tasks_come_and_go_and_change_no_bit_of_the_others(predictions):
    old = {"click", "like"}
    assert [set(predictions[v]) - old for v in (1, 2, 3, 4)] == [
        {"one", "two"},
        {"one", "two", "three"},
        {"one", "two", "three"},
        {"two", "three"},
    ]
    for version, unchanged in ((2, {"one", "two"}), (3, {"one", "three"}), (4, {"two", "three"})):
        for task in old | unchanged:
            np.testing.assert_array_equal(
                predictions[version][task], predictions[version - 1][task]
            )
    assert not np.array_equal(predictions[3]["two"], predictions[2]["two"])


def test_a_version_needs_nothing_but_itself(base, backbone, packages, tmp_path, predictions):
    """Not the backbone's directory, not the packages', not the other versions, nor its name."""
    moved = str(tmp_path / "moved")
    shutil.copytree(f"{base}/4", f"{moved}/0000004")
    stored, there = load_parts(moved, 4)
    assert [package.task.name for package in load_parts(moved)[1]] == ["three", "two"]
    assert stored.fingerprint == backbone.fingerprint
    assert [package.task.name for package in there] == ["three", "two"]
    for name, weight in backbone.model.named_weights().items():
        np.testing.assert_array_equal(stored.model.named_weights()[name], weight)


def test_an_older_version_can_be_changed(base):
    _, there = load_parts(base, 1)
    assert [package.task.name for package in there] == ["one", "two"]
    with pytest.raises(InputError, match=r"no version 9: there are 1, 2, 3, 4\."):
        load_parts(base, 9)


def test_a_version_is_not_a_base_path(base, backbone):
    for change in (load_parts, lambda path: export(backbone, [], path)):
        with pytest.raises(InputError, match=f"give the directory that holds it: {base}"):
            change(f"{base}/1")


def test_a_place_without_versions_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no version: there is none"):
        load_parts(str(tmp_path))


def test_a_version_without_its_parts_or_with_other_weights(base, tmp_path):
    shutil.copytree(f"{base}/1", tmp_path / "1")
    shutil.copytree(f"{base}/1", tmp_path / "2")
    shutil.rmtree(tmp_path / "1" / "assets.extra" / "parts")
    with pytest.raises(InputError, match=r"does not hold the parts.*export with --backbone"):
        load_parts(str(tmp_path), 1)
    (tmp_path / "2" / "variables" / "variables.index").unlink()
    with pytest.raises(InputError, match=r"weights in .*variables are missing or damaged"):
        load_parts(str(tmp_path), 2)


def test_changes_that_do_not_fit_are_rejected(packages):
    there = [packages["one"], packages["two"]]
    with pytest.raises(InputError, match=r"'one' of .* is in the version already; replace it"):
        apply_changes(there, add=[packages["one"]])
    with pytest.raises(InputError, match=r"no added task 'three' to replace; .* are: one, two"):
        apply_changes(there, replace=[packages["three"]])
    with pytest.raises(InputError, match="no added task 'click' to remove"):
        apply_changes(there, remove=["click"])


def test_warm_up_requests_of_every_signature_and_size(base):
    path = f"{base}/4/assets.extra/tf_serving_warmup_requests"
    sizes_by_signature = {}
    for record in tf.data.TFRecordDataset(path):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        shapes = {p.tensor_shape.dim[0].size for p in request.inputs.values()}
        sizes_by_signature.setdefault(request.model_spec.signature_name, []).append(shapes)
    sizes = [{2**k} for k in range(10)]
    assert LARGEST_BATCH == 512
    assert sizes_by_signature == {"serving_default": sizes, "columns": sizes, "encode": sizes}


def test_columns_of_the_user_may_come_once(base, backbone):
    signature = tf.saved_model.load(f"{base}/4").signatures["columns"]
    inputs = signature.structured_input_signature[1]
    rng = np.random.default_rng(4)
    rows = {
        name: [str(v) for v in rng.integers(30, size=7)]
        if spec.dtype == tf.string
        else rng.random(7)
        for name, spec in inputs.items()
    }
    once = {
        name: values[:1] if name.startswith("user") else values for name, values in rows.items()
    }
    repeated = {name: list(v) * 7 if len(v) == 1 else v for name, v in once.items()}
    assert any(len(values) == 1 for values in once.values())

    def predict(columns):
        return signature(**{n: tf.constant(v, inputs[n].dtype) for n, v in columns.items()})

    short, long = predict(once), predict(repeated)
    for task in long:
        assert short[task].shape == (7,)
        np.testing.assert_array_equal(short[task], long[task])
    name = next(iter(rows))
    with pytest.raises(tf.errors.InvalidArgumentError, match="a value per row, or one for all"):
        predict({**rows, name: rows[name][:3]})


def test_the_card_lists_features_with_type_and_domain(base, backbone):
    with open(os.path.join(base, "4", "assets.extra", "model_card.json")) as file:
        card = json.load(file)
    features = {feature["name"]: feature for feature in card["features"]}
    assert set(features) == set(backbone.spec.feature_names)
    for feature in backbone.spec.numeric:
        assert features[feature.name]["type"] == "number"
        domain = features[feature.name]["domain"]
        assert domain["finite"]
        assert domain["scale"] == feature.scale
        known = {"mean", "deviation"} if feature.scale == "log" else {"low", "high"}
        assert domain.keys() - {"finite", "scale"} == known
    hour = features["hour"]
    assert hour["type"] == "text"
    assert set(hour["domain"]["values"]) <= {str(h) for h in range(24)}
    assert hour["domain"]["known_values"] == len(hour["domain"]["values"])
    added = {task["name"]: task for task in card["tasks"] if task["kind"] == "added"}
    assert added["three"]["head"]["type"] == "own_embedding"
    assert added["three"]["training"] == {"seed": 1}
    assert added["three"]["parameters"] > 0


def test_the_card_to_read_names_tasks_and_features(base, backbone):
    with open(os.path.join(base, "4", "assets.extra", "model_card.md")) as file:
        text = file.read()
    for name in ("click", "like", "two", "three", *backbone.spec.feature_names):
        assert f"| {name} |" in text
    assert backbone.fingerprint in text


def test_metrics_of_the_best_epoch_are_in_the_card(backbone, packages, tmp_path):
    from mptrec_tf.export.model_card import format_markdown, make_model_card

    training = {
        "best_epoch": 1,
        "history": [{"val_auc/four": 0.5}, {"val_auc/four": 0.75, "loss/four": 0.1, "x/three": 1}],
        "data": {"splits": {"train": {"rows": 1234, "tasks": {"four": {"positives": 56}}}}},
    }
    package = make_package(backbone, tmp_path, "four", training=training)
    card = make_model_card(backbone, [package])
    assert card["tasks"][-1]["metrics"] == {"val_auc": 0.75, "loss": 0.1}
    assert "| four | added | shares is 1 | 0.7500 | none | 1,234 | 56 |" in format_markdown(
        card
    ).replace(f"{package.task.label} is", "shares is")
