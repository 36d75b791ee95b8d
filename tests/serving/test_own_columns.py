"""A user's own columns, whatever they are called, from CSV to served answers."""

import csv

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss, roc_auc_score

from mptrec_tf.datasets.block import SPLITS
from mptrec_tf.datasets.tabular import Tabular, read_file
from mptrec_tf.export.backbones import load_backbone, save_backbone
from mptrec_tf.export.serving_model import export
from mptrec_tf.keras import keras
from mptrec_tf.models.backbone import Backbone
from mptrec_tf.models.mptrec import PretrainingConfig
from mptrec_tf.packed import LABELS, WEIGHT
from mptrec_tf.preparation import prepare
from mptrec_tf.serving.saved_model import LoadedModel
from mptrec_tf.serving.scoring import evaluate
from mptrec_tf.spec import Categorical, DatasetSpec, Numeric, Task
from mptrec_tf.training.batches import load_rows
from mptrec_tf.training.loop import TrainingConfig
from mptrec_tf.training.pretraining import backbone_config, pretrain

SPEC = DatasetSpec(
    name="jobs",
    categorical=(Categorical("job title"), Categorical("Größe", hash_buckets=8)),
    numeric=(Numeric("hours per week", "standard"), Numeric("hours_per_week"), Numeric("self")),
    tasks=(Task("rich", "income", ("1",), ("0",)), Task("old", "age (years)", above=40)),
    user_id="user id",
    weight="fnl-wgt",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs")
    random = np.random.default_rng(0)
    for split, count in (("train", 120), ("validation", 60), ("test", 60)):
        with open(folder / f"{split}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            features = [f.name for f in (*SPEC.categorical, *SPEC.numeric)]
            writer.writerow([*features, "income", "age (years)", "user id", "fnl-wgt"])
            for row in range(count):
                job, size = random.choice(["cook", "smith"]), random.choice(["klein", "groß"])
                numbers = random.integers(80, size=3)
                weight = 0 if row % 2 else 2.5
                writer.writerow([job, size, *numbers, row % 3 % 2, 20 + row, row % 5, weight])
    return Tabular(SPEC, {s: [str(folder / f"{s}.csv")] for s in ("train", "validation", "test")})


@pytest.fixture(scope="module")
def data(source, tmp_path_factory):
    return prepare(source, str(tmp_path_factory.mktemp("prepared") / "data"))


def test_any_column_names_are_served(source, data, tmp_path):
    keras.utils.set_random_seed(1)
    shape = backbone_config(data, ["rich", "old"], expert_units=(4, 4), tower_units=(4,))
    folder = tmp_path / "backbone"
    folder.mkdir()
    save_backbone(str(folder), Backbone(shape), SPEC, data.transform_dir, {})
    backbone = load_backbone(str(folder))
    path, _ = export(backbone, [], str(tmp_path / "model"))

    model = LoadedModel(path)
    assert model.card["inputs"] == {
        "job title": "job_title",
        "Größe": "Gr__e",
        "hours per week": "hours_per_week_2",
        "hours_per_week": "hours_per_week",
        "self": "self_2",
    }
    [block] = read_file(source.shards("test")[0], SPEC.text_format)
    answers = model.predict(block)
    rows = load_rows(data, "test", ["rich", "old"])
    expected = backbone.backbone(rows.columns).numpy()
    for i, task in enumerate(("rich", "old")):
        np.testing.assert_allclose(np.sort(answers[task]), np.sort(expected[:, i]), rtol=1e-5)

    examples = [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    f.name: tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[block.text(f.name)[row].encode()])
                    )
                    for f in SPEC.categorical
                }
                | {
                    f.name: tf.train.Feature(
                        float_list=tf.train.FloatList(value=[block.numbers(f.name)[row]])
                    )
                    for f in SPEC.numeric
                }
            )
        ).SerializeToString()
        for row in range(len(block))
    ]
    served = tf.saved_model.load(path).signatures["serving_default"](tf.constant(examples))
    np.testing.assert_array_equal(served["rich"], answers["rich"])

    values = evaluate(model, source, "test")
    assert values["rich"]["rows"] == 60
    assert "grouped_auc" in values["old"]


@pytest.mark.parametrize("memory_limit", [0, 1 << 30])
def test_weights_flow_from_the_file_into_losses_and_metrics(data, tmp_path, memory_limit):
    still = TrainingConfig(epochs=1, batch_size=120, learning_rate=0.0)
    backbone, result = pretrain(
        data,
        backbone_config(data, ["rich"], expert_units=(4,), tower_units=(4,)),
        PretrainingConfig(assignment="online", adversarial_weight=0.0),
        still,
        directory=str(tmp_path),
        show_progress=False,
        memory_limit=memory_limit,
    )
    train, validation = (load_rows(data, split, ["rich"]).columns for split in SPLITS[:2])
    assert set(train[WEIGHT].numpy()) == {0, 2.5}
    labels, answers = train[LABELS].numpy()[:, 0], backbone(train).numpy()[:, 0]
    expected = log_loss(labels, answers.astype(float), sample_weight=train[WEIGHT])
    assert result.history[0]["loss/rich"] == pytest.approx(expected, rel=1e-5)
    assert log_loss(labels, answers.astype(float)) != pytest.approx(expected, rel=1e-4)
    expected = roc_auc_score(
        validation[LABELS][:, 0], backbone(validation)[:, 0], sample_weight=validation[WEIGHT]
    )
    assert result.history[0]["val_auc/rich"] == pytest.approx(expected)
