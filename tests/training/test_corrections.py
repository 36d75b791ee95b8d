"""What is done to predictions after training, from the training to the served model."""

import copy
import dataclasses
import json
import shutil

import numpy as np
import pytest

from mptrec_tf.artifacts.backbones import load_backbone, save_trained_backbone
from mptrec_tf.artifacts.task_packages import save_trained_package
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.metrics import auc, calibration_ratio
from mptrec_tf.export.serving_model import export
from mptrec_tf.export.version_parts import load_parts
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.models.heads.prompt_shape import PromptConfig
from mptrec_tf.models.prompted import NewTask
from mptrec_tf.models.trainer import Trainer
from mptrec_tf.training.batches import evaluate_rows, load_rows
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.prompt_tuning import tune
from mptrec_tf.training.run_context import RunContext

OLD = ("click", "like")
TRAINING = TrainingConfig(epochs=2, batch_size=64, learning_rate=5e-3, seed=4)
CONFIG = PretrainingConfig(
    OLD, shape={"expert_units": (12, 8), "tower_units": (4,)}, training=TRAINING
)


def change_tasks(data, **changes):
    """The same prepared rows, with other options of their tasks."""
    other = copy.copy(data)
    tasks = [dataclasses.replace(t, **changes.get(t.name, {})) for t in data.spec.tasks]
    other.spec = dataclasses.replace(data.spec, tasks=tuple(tasks))
    return other


@pytest.fixture(scope="module")
def data(prepared_synthetic):
    """Click is calibrated by a map, like not at all, and its positives count five times."""
    return change_tasks(
        PreparedData(str(prepared_synthetic)),
        click={"calibrate": "isotonic"},
        like={"calibrate": "none", "positive_weight": 5.0},
        share={"calibrate": "isotonic", "positive_weight": 2.0},
    )


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corrections")
    context = RunContext(str(folder / "state"), show_progress=False)
    model, result = pretrain(data, CONFIG, context)
    stored = save_trained_backbone(
        str(folder / "backbone"), model, data, CONFIG.record(), result, context.directory
    )
    return stored, result


@pytest.fixture(scope="module")
def uncorrected(data, tmp_path_factory):
    """The same training, with nothing done afterwards."""
    folder = tmp_path_factory.mktemp("uncorrected")
    plain = dataclasses.replace(TRAINING, calibrate=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BinaryTask, "logit_correction", 0.0)
        context = RunContext(str(folder), show_progress=False)
        return pretrain(data, dataclasses.replace(CONFIG, training=plain), context)[0]


@pytest.fixture(scope="module")
def rows(data):
    return load_rows(data, "validation", OLD)


def logits_of(model, rows):
    return model(rows.columns).numpy().astype(np.float64)


def test_weighted_positives_are_corrected_for(trained, uncorrected, rows):
    """Also where they are not calibrated."""
    stored, result = trained
    assert set(result.calibration) == {"click"}
    before, after = logits_of(uncorrected, rows)[:, 1], logits_of(stored.model, rows)[:, 1]
    np.testing.assert_allclose(after, before - np.log(5), atol=1e-5)
    labels = rows.columns["labels"].numpy()[:, 1]
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    assert calibration_ratio(labels, sigmoid(before)) > 2
    # Two epochs leave it half too high; the exact shift is compared above.
    assert calibration_ratio(labels, sigmoid(after)) < 1.6


def test_a_map_is_fitted_to_the_validation_rows(trained, data, rows):
    stored, result = trained
    assert set(result.knots) == {"click"}
    plain, mapped = data.spec.select_tasks(OLD), stored.spec.select_tasks(OLD)
    assert mapped == (dataclasses.replace(plain[0], knots=result.knots["click"]), plain[1])
    before, labels, _ = evaluate_rows(Trainer(stored.model, plain), rows)
    after, *_ = evaluate_rows(Trainer(stored.model, mapped), rows)
    before, after = before["prediction"], after["prediction"]
    expected = np.interp(before[:, 0], *np.array(result.knots["click"]).T)
    np.testing.assert_allclose(after[:, 0], expected, rtol=1e-5)
    assert calibration_ratio(labels[:, 0], after[:, 0]) == pytest.approx(1, abs=0.02)
    assert auc(labels[:, 0], after[:, 0]) == pytest.approx(
        auc(labels[:, 0], before[:, 0]), abs=1e-4
    )
    np.testing.assert_array_equal(after[:, 1], before[:, 1])


def test_the_map_is_a_part_of_the_backbone(trained, tmp_path):
    """It is in the fingerprint, and a map that was changed is found."""
    stored, _ = trained
    again = load_backbone(stored.directory)
    assert again.spec == stored.spec
    folder = tmp_path / "backbone"
    shutil.copytree(stored.directory, folder)
    description = json.loads((folder / "backbone.json").read_text())
    description["spec"]["tasks"][0]["knots"][1][1] /= 2
    (folder / "backbone.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="was changed since it was written"):
        load_backbone(str(folder))


@pytest.fixture(scope="module")
def package(trained, data, tmp_path_factory):
    """Share, calibrated by a map, too."""
    stored, _ = trained
    folder = tmp_path_factory.mktemp("package")
    context = RunContext(str(folder / "state"), show_progress=False, fingerprint=stored.fingerprint)
    heads = {"prompt": PromptConfig(tower_units=(4,))}
    trained_heads = tune(stored.model, data, "share", heads, TRAINING, context)
    head, result = trained_heads["prompt"]
    [task] = data.spec.select_tasks(["share"])
    return save_trained_package(
        f"{folder}/package", NewTask(task, head), stored, data, {}, result, context.directory
    )


def test_a_new_task_has_its_map_in_its_package(package):
    assert package.task.name == "share"
    assert len(package.task.knots) > 2
    assert package.task.knots[0] == (0, 0)


def test_a_served_model_has_the_maps(trained, package, block, tmp_path):
    """Through versions of which each is made of the one before."""
    stored, _ = trained
    base = str(tmp_path / "model")
    without = dataclasses.replace(
        stored,
        spec=dataclasses.replace(
            stored.spec, tasks=tuple(dataclasses.replace(t, knots=()) for t in stored.spec.tasks)
        ),
    )
    export(without, [_without_knots(package)], base)
    export(stored, [package], base)
    backbone, packages = load_parts(base)
    assert backbone.spec == stored.spec
    assert packages[0].task == package.task
    export(backbone, packages, base)
    export(backbone, [], base)
    plain, first, again, alone = (LoadedModel(f"{base}/{v}").predict(block) for v in (1, 2, 3, 4))
    assert LoadedModel(base).spec.select_tasks(OLD) == stored.spec.select_tasks(OLD)
    for task in (stored.spec.select_tasks(OLD)[0], package.task):
        expected = np.interp(plain[task.name], *np.array(task.knots).T)
        np.testing.assert_allclose(first[task.name], expected, rtol=1e-5)
        assert (first[task.name] != plain[task.name]).mean() > 0.9
    np.testing.assert_array_equal(first["like"], plain["like"])
    for task in ("click", "like", "share"):
        np.testing.assert_array_equal(again[task], first[task])
        if task != "share":
            np.testing.assert_array_equal(alone[task], first[task])


def _without_knots(package):
    return dataclasses.replace(package, task=dataclasses.replace(package.task, knots=()))
