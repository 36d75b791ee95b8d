"""A task that is given another one, from prepared rows to the SavedModel."""

import dataclasses

import numpy as np
import pytest

from mptrec_tf.artifacts.backbones import load_backbone, save_backbone
from mptrec_tf.artifacts.manifests import check_addable
from mptrec_tf.artifacts.task_packages import TaskPackage
from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.sets.synthetic.rows import Synthetic
from mptrec_tf.errors import InputError
from mptrec_tf.export.model_card import format_markdown
from mptrec_tf.export.serving_model import export
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import evaluate
from mptrec_tf.models.heads.tower_shape import TowerConfig
from mptrec_tf.models.trainer import Trainer
from mptrec_tf.training.batches import evaluate_rows, load_rows
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.prompt_tuning import tune
from mptrec_tf.training.run_context import RunContext

SMALL = {"expert_units": (16, 8), "tower_units": (4,)}
TRAINING = TrainingConfig(epochs=2, batch_size=100, seed=1)


@pytest.fixture(scope="module")
def source():
    """Impressions of which those that were clicked may be bought, and then shared."""
    source = Synthetic({"train": 3000, "validation": 1500, "test": 600})
    given = {"purchase": "click", "share": "purchase"}
    tasks = [dataclasses.replace(t, given=given.get(t.name)) for t in source.spec.tasks]
    source.spec = dataclasses.replace(source.spec, tasks=tuple(tasks))
    return source


@pytest.fixture(scope="module")
def data(source, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("given") / "data")
    prepare(source, folder)
    return PreparedData(folder)


@pytest.fixture(scope="module")
def backbone(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    config = PretrainingConfig(("purchase", "click"), "shared_bottom", SMALL, training=TRAINING)
    model, result = pretrain(data, config, RunContext(str(folder / "state")))
    assert set(result.calibration) == {"click", "purchase"}
    path = str(folder / "backbone")
    (folder / "backbone").mkdir()
    save_backbone(path, model, data.spec, data.transform_dir, {"history": []})
    return load_backbone(path)


def test_the_product_is_calibrated(data, backbone):
    tasks = data.spec.select_tasks(backbone.shape.tasks)
    trainer = Trainer(backbone.model, tasks)
    report, labels, _ = evaluate_rows(trainer, load_rows(data, "validation", backbone.shape.tasks))
    means = report["prediction"].mean(axis=0)
    np.testing.assert_allclose(means, labels.mean(axis=0), rtol=0.02)


def test_the_served_outputs(source, data, backbone, tmp_path):
    task, context = "share", RunContext(str(tmp_path / "state"), fingerprint=backbone.fingerprint)
    trained = tune(backbone.model, data, task, {"tower": TowerConfig()}, TRAINING, context)
    head, result = trained["tower"]
    assert set(result.calibration) == {"share"}
    [share] = data.spec.select_tasks([task])
    path, _ = export(
        backbone,
        [TaskPackage("tasks/share", share, head, backbone.fingerprint, {})],
        str(tmp_path / "model"),
    )
    model = LoadedModel(path)
    block = next(source.read(source.shards("test")[0]))
    outputs = model.predict(block)
    conditional = {"purchase_given_click", "share_given_purchase"}
    assert outputs.keys() == {"click", "purchase", "share", *conditional}
    for name, given in (("purchase", "click"), ("share", "purchase")):
        np.testing.assert_array_equal(
            outputs[name], outputs[given] * outputs[f"{name}_given_{given}"]
        )
        assert (outputs[name] <= outputs[given]).all()
    alone, _ = export(backbone, [], str(tmp_path / "alone"))
    before = LoadedModel(alone).predict(block)
    for name in before:
        np.testing.assert_array_equal(before[name], outputs[name])
    metrics = evaluate(model, source, "test")
    assert metrics["purchase"]["auc"] > 0.5
    assert metrics["share"]["rows"] == 600
    assert "share is 1, given purchase" in format_markdown(model.card)


def test_what_a_task_is_given_must_be_there(data, backbone):
    with pytest.raises(
        InputError,
        match=r"task 'purchase' is given 'click', so both have to be pre-trained: "
        r"--tasks=click,like,purchase\.",
    ):
        PretrainingConfig(("like", "purchase")).make_shape(data)
    [share] = data.spec.select_tasks(["share"])
    check_addable(backbone, share)
    with pytest.raises(
        InputError, match=r"task 'share' is given 'like', which backbone .* does not"
    ):
        check_addable(backbone, dataclasses.replace(share, given="like"))
