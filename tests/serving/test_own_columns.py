"""A user's own columns, with any names, from CSV to served predictions."""

import csv
import dataclasses
import json
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss, roc_auc_score
from tensorflow.python.saved_model import fingerprinting_utils

from mptrec_tf.artifacts.backbones import load_backbone, save_backbone
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.input_names import SPEC_COLUMNS
from mptrec_tf.data.packed import LABELS, WEIGHT
from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.sources.tabular import Tabular, read_file
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.export.serving_model import export
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import evaluate
from mptrec_tf.keras import keras
from mptrec_tf.models.mptrec import MPTRec
from mptrec_tf.serving.testing.local_server import LocalServer
from mptrec_tf.training.batches import load_rows
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.run_context import MEMORY_LIMIT, RunContext

SPEC = DatasetSpec(
    name="jobs",
    features=(
        Categorical("job title"),
        Categorical("Größe", hash_buckets=8),
        Numeric("hours per week", "standard"),
        Numeric("hours_per_week"),
        Numeric("self"),
    ),
    tasks=(
        BinaryTask("rich", "income", ("1",), ("0",)),
        BinaryTask("old", "age (years)", above=40),
    ),
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


@pytest.fixture(scope="module")
def backbone(data, tmp_path_factory):
    keras.utils.set_random_seed(1)
    config = PretrainingConfig(("rich", "old"), shape={"expert_units": (4, 4), "tower_units": (4,)})
    folder = tmp_path_factory.mktemp("backbone")
    model = MPTRec(config.make_shape(data))
    save_backbone(str(folder), model, SPEC, data.transform_dir, {})
    return load_backbone(str(folder))


@pytest.fixture(scope="module")
def path(backbone, tmp_path_factory):
    return export(backbone, [], str(tmp_path_factory.mktemp("exported") / "m"))[0]


@pytest.fixture(scope="module")
def server(path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with LocalServer(Path(path).parent, folder) as running:
        yield running


@pytest.fixture(params=["gRPC", "REST"])
def client(server, request):
    with server.make_client(request.param) as client:
        yield client


def test_any_column_names_are_served(source, data, backbone, path):
    model = LoadedModel(path)
    assert model.card["inputs"] == {
        "job title": "job_title",
        "Größe": "Gr__e",
        "hours per week": "hours_per_week_2",
        "hours_per_week": "hours_per_week",
        "self": "self_2",
    }
    [block] = read_file(source.shards("test")[0], SPEC.text_format)
    predictions = model.predict(block)
    rows = load_rows(data, "test", ["rich", "old"])
    expected = tf.sigmoid(backbone.model(rows.columns)).numpy()
    for i, task in enumerate(("rich", "old")):
        np.testing.assert_allclose(np.sort(predictions[task]), np.sort(expected[:, i]), rtol=1e-5)

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
    np.testing.assert_array_equal(served["rich"], predictions["rich"])

    values = evaluate(model, source, "test")
    assert values["rich"]["rows"] == 60
    assert "grouped_auc" in values["old"]


def check(predictions, expected):
    assert predictions.keys() == expected.keys() == {"rich", "old"}
    for task, values in expected.items():
        np.testing.assert_allclose(predictions[task], values, rtol=1e-5)


def test_a_file_with_labels_and_missing_text_is_predicted_as_it_is(source, path, client):
    frame = pd.read_csv(source.shards("test")[0])
    frame.loc[::2, "job title"] = np.nan
    frame["Größe"] = frame["Größe"].astype("category")
    frame["hours_per_week"] = frame["hours_per_week"].astype(str)
    [block] = read_file(source.shards("test")[0], SPEC.text_format)
    job = np.where(np.arange(len(block)) % 2, block.columns["job title"], "").astype(object)
    changed = dataclasses.replace(block, columns={**block.columns, "job title": job})
    expected = LoadedModel(path).predict(changed)
    check(client.predict(frame), expected)
    check(client.predict(frame.to_dict("records")), expected)


def test_both_names_of_a_column_are_accepted(source, path, client):
    frame = pd.read_csv(source.shards("test")[0])
    [block] = read_file(source.shards("test")[0], SPEC.text_format)
    model = LoadedModel(path)
    expected = model.predict(block)
    assert np.ptp(expected["rich"]) > 0
    renamed = frame.rename(columns=model.card["inputs"])
    assert set(model.card["inputs"].values()) <= set(renamed.columns)
    check(client.predict(renamed), expected)
    check(client.predict(frame.rename(columns={"hours per week": "hours_per_week_2"})), expected)


def test_a_message_names_columns_as_the_spec_does(source, client):
    frame = pd.read_csv(source.shards("test")[0])
    with pytest.raises(InputError, match=r"no column 'hours per week'; .* has job title, Größe"):
        client.predict(frame.drop(columns="hours per week"))
    with pytest.raises(InputError, match=r"'hours per week'; .* Rename 'Hours per Week' if that"):
        client.predict(frame.rename(columns={"hours per week": "Hours per Week"}))
    wrong = frame.rename(columns={"hours per week": "hours_per_week_2"})
    wrong["hours_per_week_2"] = np.where(np.arange(60) == 3, np.nan, 1.0)
    with pytest.raises(InputError, match="row 4, column 'hours per week': nan is not a finite"):
        client.predict(wrong)


@pytest.mark.parametrize("signature", ["columns", SPEC_COLUMNS])
@pytest.mark.parametrize("rows", [False, True])
def test_rest_takes_the_names_of_the_spec_from_any_caller(source, path, server, signature, rows):
    """TF Serving takes them by `spec_columns`: a signature's keys of inputs are any text."""
    [block] = read_file(source.shards("test")[0], SPEC.text_format)
    columns = {f.name: block.text(f.name).tolist() for f in SPEC.categorical}
    columns |= {f.name: block.numbers(f.name).tolist() for f in SPEC.numeric}
    if rows:
        each = zip(*columns.values(), strict=True)
        content = {"instances": [dict(zip(columns, row, strict=True)) for row in each]}
    else:
        content = {"inputs": columns}
    body = json.dumps({"signature_name": signature, **content}).encode()
    with urllib.request.urlopen(f"{server.url}/v1/models/m:predict", body) as response:
        content = json.load(response)
    if rows:
        content["outputs"] = pd.DataFrame(content["predictions"]).to_dict("list")
    check(content["outputs"], LoadedModel(path).predict(block))


def test_the_names_of_the_spec_do_not_change_what_tensorflow_loads(path):
    assert set(tf.saved_model.load(path).signatures) == {"serving_default", "columns", "encode"}
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        signatures = tf.compat.v1.saved_model.load(session, ["serve"], path).signature_def
    columns, spec = signatures["columns"], signatures[SPEC_COLUMNS]
    inputs = LoadedModel(path).card["inputs"]
    assert {k: i.name for k, i in spec.inputs.items()} == {
        column: columns.inputs[name].name for column, name in inputs.items()
    }
    assert (spec.outputs, spec.method_name) == (columns.outputs, columns.method_name)
    written = tf.saved_model.experimental.read_fingerprint(path)
    fingerprinting_utils.write_fingerprint(path)
    assert tf.saved_model.experimental.read_fingerprint(path) == written


@pytest.mark.parametrize("memory_limit", [0, MEMORY_LIMIT])
def test_weights_flow_from_the_file_into_losses_and_metrics(data, tmp_path, memory_limit):
    still = TrainingConfig(epochs=1, batch_size=120, learning_rate=0.0, calibrate=False)
    config = PretrainingConfig(
        ("rich",),
        shape={"expert_units": (4,), "tower_units": (4,)},
        losses={"assignment": "online", "adversarial_weight": 0.0},
        training=still,
    )
    context = RunContext(str(tmp_path), show_progress=False, memory_limit=memory_limit)
    backbone, result = pretrain(data, config, context)
    train, validation = (load_rows(data, split, ["rich"]).columns for split in SPLITS[:2])
    assert set(train[WEIGHT].numpy()) == {0, 2.5}
    labels, predictions = train[LABELS].numpy()[:, 0], tf.sigmoid(backbone(train)).numpy()[:, 0]
    expected = log_loss(labels, predictions.astype(float), sample_weight=train[WEIGHT])
    assert result.history[0]["loss/rich"] == pytest.approx(expected, rel=1e-5)
    assert log_loss(labels, predictions.astype(float)) != pytest.approx(expected, rel=1e-4)
    expected = roc_auc_score(
        validation[LABELS][:, 0], backbone(validation)[:, 0], sample_weight=validation[WEIGHT]
    )
    assert result.history[0]["val_auc/rich"] == pytest.approx(expected)
