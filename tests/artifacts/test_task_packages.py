import dataclasses
import json
import os

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone
from mptrec_tf.artifacts.task_packages import (
    check_addable,
    load_package,
    save_package,
    save_trained_package,
)
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.models.encoded import Encoded, HeadInputs, Layout
from mptrec_tf.models.heads.prompt import PromptHead
from mptrec_tf.models.heads.prompt_shape import ATTENTIONS, PromptConfig
from mptrec_tf.models.prompted import NewTask
from mptrec_tf.models.weights import count_parameters, named_weights
from mptrec_tf.training.loop import Training

TASK = BinaryTask("share", "share", ("1",), ("0",), known_probability="probability_share")


@pytest.fixture(scope="module")
def backbone(synthetic_backbone):
    return load_backbone(str(synthetic_backbone))


def make_head(backbone, **config):
    config = PromptConfig(**{"tower_units": (6, 5), **config})
    return PromptHead(config, backbone.model.layout, name=TASK.name)


@pytest.fixture
def saved(backbone, tmp_path):
    save_package(str(tmp_path), TASK, make_head(backbone), backbone.fingerprint, {"seed": 3})
    return tmp_path


def change_description(folder, change):
    path = folder / "task.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_loaded_package_is_the_saved_one_bit_for_bit(backbone, tmp_path, attention):
    head = make_head(backbone, attention=attention, tau=2.5, kl_weight=0.1, tower_dropout=0.2)
    save_package(str(tmp_path), TASK, head, backbone.fingerprint, {"seed": 3})
    loaded = load_package(f"{tmp_path}/", backbone)
    assert (loaded.task, loaded.head.config) == (TASK, head.config)
    assert (loaded.backbone, loaded.training) == (backbone.fingerprint, {"seed": 3})
    weights = named_weights(loaded.head)
    assert weights.keys() == named_weights(head).keys()
    for name, weight in named_weights(head).items():
        np.testing.assert_array_equal(weight, weights[name])
    layout = backbone.model.layout
    encoded = Encoded(
        tf.random.normal((5, layout.input_width)),
        None,
        tf.random.normal((1, 5, layout.width)),
        tf.random.normal((2, 5, layout.width)),
    )
    inputs = HeadInputs(encoded, backbone.model.prompts_of_tasks(), None, None)
    ours, theirs = head(inputs), loaded.head(inputs)
    np.testing.assert_array_equal(ours.logits, theirs.logits)
    np.testing.assert_array_equal(ours.report["gate"], theirs.report["gate"])


def test_a_package_has_the_size_of_what_was_trained(tmp_path):
    # Census-Income: 28 features of width 4 and 11 numbers, representations of width 128.
    head = PromptHead(PromptConfig(), Layout(28 * 4 + 11, 1, 2, 128, 2, 28), name=TASK.name)
    assert count_parameters(head.weights) == 27_063
    save_package(str(tmp_path), TASK, head, "0" * 64, {})
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert 4 * 27_063 < size < 115 * 1024


def test_another_backbone_is_rejected_with_both_fingerprints(backbone, saved):
    other = dataclasses.replace(backbone, fingerprint="f" * 64, directory="other/backbone")
    with pytest.raises(InputError) as rejection:
        load_package(str(saved), other)
    assert backbone.fingerprint in str(rejection.value)
    assert f"other/backbone has {'f' * 64}" in str(rejection.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("backbone"),
        lambda d: d.pop("head"),
        lambda d: d["task"].pop("label"),
        lambda d: d["head"].update(heads=2),
        lambda d: d["head"].update(attention="none"),
        lambda d: d.update(head=None),
    ],
)
def test_a_damaged_description_is_named(backbone, saved, change):
    change_description(saved, change)
    with pytest.raises(InputError, match=r"task\.json is damaged .*; use an untouched copy"):
        load_package(str(saved), backbone)


def test_weights_that_do_not_fit_are_rejected(backbone, saved):
    change_description(saved, lambda d: d["head"].update(tower_units=[6, 4]))
    with pytest.raises(InputError, match="do not fit their model"):
        load_package(str(saved), backbone)
    change_description(saved, lambda d: d["head"].update(attention="fixed"))
    with pytest.raises(InputError, match=r"'query/.*' is in one only"):
        load_package(str(saved), backbone)


def test_another_directory_is_rejected(backbone, tmp_path):
    with pytest.raises(InputError, match=r"holds no task \(task\.json is missing\)"):
        load_package(str(tmp_path), backbone)


def test_the_record_of_a_training_is_saved(backbone, prepared_synthetic, tmp_path):
    work = tmp_path / "out.training"
    # Representations that did not fit in memory stand in directories of their own.
    for folder in ("logs", "train", "validation"):
        (work / folder).mkdir(parents=True)
        (work / folder / "file").write_text(folder)
    result = Training(history=[{"val_auc/share": 0.5}], best_epoch=0, seconds=1.0, steps=1)
    head = make_head(backbone)
    data = PreparedData(str(prepared_synthetic))
    out = str(tmp_path / "out")
    new = NewTask(TASK, head)
    package = save_trained_package(out, new, backbone, data, {"seed": 1}, result, str(work))
    assert os.listdir(tmp_path) == ["out"]
    assert sorted(os.listdir(out)) == ["logs", "task.json", "weights.npz"]
    assert package.training["history"] == [{"val_auc/share": 0.5}]


def test_a_new_task_can_be_added(backbone):
    check_addable(backbone, TASK)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "click"}, r"task 'click' was pre-trained .*; a new task needs another name"),
        (
            {"label": "user_age"},
            r"column 'user_age' makes the label of task 'share' and is a feature of .*; pre-train",
        ),
        (
            {"known_probability": "item_price"},
            r"column 'item_price' is the known probability of task 'share' and is a feature of",
        ),
    ],
)
def test_a_task_whose_label_is_a_feature_or_whose_name_exists_is_rejected(
    backbone, change, message
):
    with pytest.raises(InputError, match=message):
        check_addable(backbone, dataclasses.replace(TASK, **change))
