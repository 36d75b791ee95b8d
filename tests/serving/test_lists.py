"""Bags, sequences and vectors, from CSV and tf.Examples to served predictions."""

import csv
import dataclasses
import json
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone, save_backbone
from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.features.sequences import ValueSequence
from mptrec_tf.data.features.vectors import Vector
from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.prepared_checks import DataChecks
from mptrec_tf.data.prepared_tables import make_feature_rows
from mptrec_tf.data.sources.tabular import Tabular, read_file
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.export.serving_model import export
from mptrec_tf.export.versions import CARD_TO_READ
from mptrec_tf.inference.rejects import open_rejects
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import predict_file
from mptrec_tf.keras import keras
from mptrec_tf.models.mptrec import MPTRec
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.serving.testing.local_server import LocalServer
from mptrec_tf.training.batches import load_rows, make_ordered_batches
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig
from mptrec_tf.training.pretraining import pretrain
from mptrec_tf.training.representations import encode_rows
from mptrec_tf.training.run_context import MEMORY_LIMIT, RunContext
from mptrec_tf.training.statistics import compute_statistics

SPEC = DatasetSpec(
    name="shop",
    features=(
        Categorical("item"),
        Bag("tags", most=3),
        Bag("own words", separator=";", weights=True, pool="sqrtn", hash_buckets=20),
        ValueSequence("viewed", attend_to="item", separator=" "),
        ValueSequence("bought", last=2, separator=" "),
        Vector("title", 4),
    ),
    tasks=(BinaryTask("click", "clicked", ("1",)), BinaryTask("buy", "paid", ("1",))),
)
LISTS = {"tags": "|", "own words": ";", "viewed": " ", "bought": " "}
SHAPE = {"expert_units": (6, 4), "tower_units": (4,)}


def make_rows(count, seed):
    random = np.random.default_rng(seed)

    def draw(most, prefix):
        return [f"{prefix}{i}" for i in random.integers(9, size=random.integers(0, most + 1))]

    for row in range(count):
        words = [f"{w}:{random.integers(1, 99) / 10}" for w in draw(3, "w")]
        yield {
            "item": f"i{random.integers(9)}",
            "tags": draw(4, "t"),
            "own words": words,
            "viewed": draw(5, "i"),
            "bought": draw(3, "i"),
            "title": random.normal(3, 2, 4).astype(np.float32).tolist(),
            "clicked": row % 3 % 2,
            "paid": row % 5 % 2,
        }


def to_text(row):
    lists = {name: separator.join(row[name]) for name, separator in LISTS.items()}
    return row | lists | {"title": " ".join(map(str, row["title"]))}


def to_example(row):
    features = {}
    for name, value in row.items():
        values = value if isinstance(value, list) else [value]
        if name == "title":
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        else:
            encoded = [str(v).encode() for v in values]
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))
        if values or len(features) % 2:  # a row may lack what has no values
            features[name] = feature
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    for seed, (split, count) in enumerate((("train", 160), ("validation", 60), ("test", 60))):
        rows = list(make_rows(count, seed))
        with open(folder / f"{split}.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(map(to_text, rows))
        with tf.io.TFRecordWriter(str(folder / f"{split}.tfrecord")) as writer:
            for row in rows:
                writer.write(to_example(row))
    return folder


@pytest.fixture(scope="module")
def source(folder):
    return Tabular(SPEC, {s: [f"{folder}/{s}.csv"] for s in ("train", "validation", "test")})


@pytest.fixture(scope="module")
def data(source, tmp_path_factory):
    return prepare(source, str(tmp_path_factory.mktemp("prepared") / "data"))


@pytest.fixture(scope="module")
def backbone(data, tmp_path_factory):
    keras.utils.set_random_seed(1)
    model = MPTRec(PretrainingConfig(("click", "buy"), shape=SHAPE).make_shape(data))
    # Larger than at the start, so that each value shows in the predictions.
    for weight in model.parameters:
        weight.assign(2 * weight)
    model.set_statistics(compute_statistics(model, load_rows(data, "train", ("click", "buy"))))
    folder = tmp_path_factory.mktemp("backbone")
    save_backbone(str(folder), model, SPEC, data.transform_dir, {})
    return load_backbone(str(folder))


@pytest.fixture(scope="module")
def path(backbone, tmp_path_factory):
    return export(backbone, [], str(tmp_path_factory.mktemp("exported") / "m"))[0]


@pytest.fixture(scope="module")
def model(path):
    return LoadedModel(path)


@pytest.fixture(scope="module")
def block(source):
    [block] = source.read(source.shards("test")[0])
    return block


@pytest.fixture(scope="module")
def server(path, tmp_path_factory):
    with LocalServer(Path(path).parent, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(params=["gRPC", "REST"])
def client(server, request):
    with server.make_client(request.param) as client:
        yield client


def same_bits(a, b):
    assert a.keys() == b.keys() == {"click", "buy"}
    for task in a:
        np.testing.assert_array_equal(np.asarray(a[task]), np.asarray(b[task]), err_msg=task)


def test_the_rows_are_packed(data):
    assert [of.kind for of in data.inputs] == ["categorical", "bags", "sequences", "vectors"]
    by_kind = {of.kind: of for of in data.inputs}
    assert by_kind["bags"] == InputShape("bags", 2, 20 + 9 + 2)  # none, and unknown ones
    assert by_kind["sequences"].sizes == (0, 2)
    assert by_kind["vectors"] == InputShape("vectors", 4)
    rows = load_rows(data, "train", ["click"]).columns
    lengths = rows["bags_lengths"].numpy()
    assert lengths[:, 0].max() == 3
    assert lengths.min() == 1
    assert rows["bags"].row_lengths().numpy().tolist() == lengths.sum(axis=1).tolist()
    sequences = rows["sequences_lengths"].numpy()
    assert set(sequences[:, 1]) == {2}
    assert set(sequences[:, 0]) == {2, 3, 4, 5, 6}
    np.testing.assert_allclose(rows["vectors"].numpy().mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(rows["vectors"].numpy().std(axis=0), 1, rtol=1e-5)


def test_tables_and_warnings_of_preparation(data):
    checks = DataChecks(data)
    table = {row["feature"]: row for row in make_feature_rows(data, checks)}
    assert [table[name]["kind"] for name in ("tags", "own words", "viewed", "title")] == [
        *("bag", "hashed bag", "sequence", "vector")
    ]
    of = data.survey["train"]["columns"]["tags"]
    rows = list(make_rows(160, 0))
    assert of["values"] == sum(len(row["tags"]) for row in rows)
    assert of["missing"] == sum(not row["tags"] for row in rows)
    assert of["distinct"] == 9
    cut = sum(len(row["tags"]) > 3 for row in rows)
    [warning] = [w for w in checks.warnings() if "more than" in w]
    assert f"column 'tags': {cut} of 160 training rows have more than 3 values" in warning
    assert table["title"]["distinct"] == "160 / 60 / 60"


def test_tfrecords_with_repeated_values_are_the_same_rows(folder, source, data, tmp_path):
    [records] = read_file(f"{folder}/test.tfrecord", SPEC.text_format, lists=SPEC.list_columns)
    [lines] = source.read(source.shards("test")[0])
    for name, feature in SPEC.raw_columns.items():
        assert feature.read(SPEC, records).equals(feature.read(SPEC, lines)), name


def test_every_signature_predicts_the_same(folder, path, backbone, data, model, block):
    predictions = model.predict(block)
    rows = load_rows(data, "test", ["click", "buy"])
    expected = tf.sigmoid(backbone.model(rows.columns)).numpy()
    for i, task in enumerate(("click", "buy")):
        np.testing.assert_allclose(np.sort(predictions[task]), np.sort(expected[:, i]), rtol=1e-5)
        assert len(set(predictions[task].tolist())) > 50
    examples = list(tf.data.TFRecordDataset(f"{folder}/test.tfrecord").as_numpy_iterator())
    signatures = tf.saved_model.load(path).signatures
    same_bits(signatures["serving_default"](tf.constant(examples)), predictions)
    assert signatures["encode"](tf.constant(examples))["x"].shape == (60, 4 * (1 + 2 + 1 + 2) + 4)


def test_what_a_model_reads_of_a_row_does_not_depend_on_the_other_rows(folder, path):
    """Bit for bit; the dense layers' products then depend on the number of rows, as ever."""
    examples = list(tf.data.TFRecordDataset(f"{folder}/test.tfrecord").as_numpy_iterator())
    encode = tf.saved_model.load(path).signatures["encode"]
    whole = encode(tf.constant(examples))["x"].numpy()
    for rows in (slice(0, 1), slice(1, 2), slice(5, 9), slice(9, 60)):
        some = encode(tf.constant(examples[rows]))["x"].numpy()
        np.testing.assert_array_equal(some.view(np.int32), whole[rows].view(np.int32))


def test_order_matters_to_the_last_values_of_a_sequence_alone(model, block, change_column):
    def predict(name, values):
        return model.predict(change_column(block, name, np.array(values * 60, object)))["click"]

    np.testing.assert_allclose(predict("tags", ["t1|t2"]), predict("tags", ["t2|t1"]), rtol=1e-5)
    assert (predict("bought", ["i1 i2"]) != predict("bought", ["i2 i1"])).mean() > 0.8
    assert (predict("own words", ["w1:1;w2:9"]) != predict("own words", ["w1:9;w2:1"])).any()
    np.testing.assert_array_equal(predict("tags", ["t1||NA| t2 "]), predict("tags", ["t1|t2"]))
    np.testing.assert_array_equal(predict("tags", [""]), predict("tags", ["?| "]))


def test_clients_take_texts_and_lists(folder, client, model, block):
    expected = model.predict(block)
    rows = list(make_rows(60, 2))
    same_bits(client.predict(rows), expected)
    texts = [to_text(row) | {"title": row["title"]} for row in rows]
    same_bits(client.predict(texts), expected)
    frame = pd.DataFrame(rows)
    frame["tags"] = [np.array(tags) if len(tags) else None for tags in frame["tags"]]
    same_bits(client.predict(frame), expected)
    arrays = {name: [row[name] for row in rows] for name in model.column_types}
    same_bits(client.predict(arrays | {"title": np.array(arrays["title"])}), expected)
    shared = client.predict(rows[:3] and {**{k: v[:3] for k, v in arrays.items()}, "tags": "t1"})
    assert len(shared["click"]) == 3


def test_a_value_of_a_list_may_hold_the_separator(client, block):
    row = next(make_rows(1, 2))
    listed = client.predict([row | {"tags": ["t1|t2"]}])
    assert listed["click"] != client.predict([row | {"tags": ["t1", "t2"]}])["click"]
    same_bits(listed, client.predict([row | {"tags": ["unheard of"]}]))


def test_clients_name_what_does_not_fit(client):
    row = next(make_rows(1, 2))
    with pytest.raises(InputError, match="'item' holds lists; give one value for each row"):
        client.predict([row | {"item": ["i1", "i2"]}])
    with pytest.raises(InputError, match="row 1, column 'title' should hold 4 numbers, received 3"):
        client.predict([row | {"title": [1.0, 2.0, 3.0]}])
    with pytest.raises(InputError, match="row 1, column 'title': nan is not a finite number"):
        client.predict([row | {"title": [1.0, 2.0, 3.0, np.nan]}])
    with pytest.raises(InputError, match="value:weight instead of w1"):
        client.predict([row | {"own words": "w1"}])


@pytest.mark.parametrize("rows", [False, True])
def test_json_of_any_caller(server, model, block, rows):
    """Texts as in files, and vectors as lists, in both formats."""
    texts = [to_text(row) | {"title": row["title"]} for row in make_rows(60, 2)]
    columns = {name: [row[name] for row in texts] for name in model.column_types}
    named = {model.card["inputs"][name]: values for name, values in columns.items()}
    content = {"inputs": named}
    if rows:
        each = zip(*named.values(), strict=True)
        content = {"instances": [dict(zip(named, values, strict=True)) for values in each]}
    body = json.dumps({"signature_name": "columns", **content}).encode()
    url = f"{server.url}/v1/models/m:predict"
    with urllib.request.urlopen(urllib.request.Request(url, body)) as response:
        received = json.load(response)["predictions" if rows else "outputs"]
    if rows:
        received = {task: [row[task] for row in received] for task in received[0]}
    same_bits({k: np.array(v, np.float32) for k, v in received.items()}, model.predict(block))


def test_the_model_card_says_how_lists_are_read(path):
    text = (Path(path) / CARD_TO_READ).read_text()
    assert "any number of texts, separated by '\\|', of which the first 3 count; 10 values" in text
    assert "any number of texts with weights, separated by ';'" in text
    assert "of which the last 20 count" in text
    assert "4 finite numbers" in text


@pytest.mark.parametrize("memory_limit", [MEMORY_LIMIT, 0])
def test_both_stages_train_on_rows_of_several_lengths(data, tmp_path, memory_limit):
    context = RunContext(str(tmp_path), show_progress=False, memory_limit=memory_limit)
    config = PretrainingConfig(
        ("click",),
        shape=SHAPE,
        losses={"assignment": "online"},
        training=TrainingConfig(epochs=1, batch_size=50, seed=3),
    )
    model, _ = pretrain(data, config, context)
    rows = load_rows(data, "validation", ["buy"], memory_limit)
    assert (rows.columns is None) == (memory_limit == 0)
    prompted = PromptedMPTRec(model)
    encoded = encode_rows(prompted, rows, str(tmp_path / "encoded"), memory_limit)
    [batch] = make_ordered_batches(encoded, 60)
    assert batch["representations"].shape == (60, sum(model.layout.sizes))
    assert batch["ids"].shape == (60, 1)  # those of the categorical feature alone


def write(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


BAD = {
    "own words": (
        "w1;w2:1",
        r"line 3, column 'own words': 'w1' should be a value, a colon and its",
    ),
    "title": ("1 2 3", r"line 3, column 'title': a vector of 3 numbers, not 4"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_named_and_can_be_rejected(model, tmp_path, name):
    rows = [to_text(row) for row in make_rows(3, 5)]
    rows[1][name], message = BAD[name]
    path = write(tmp_path / "bad.csv", rows)
    with pytest.raises(InputError, match=f"{path}, {message}"):
        predict_file(model, read_file(path, SPEC.text_format), str(tmp_path / "out.csv"))
    with open_rejects(str(tmp_path / "rejects.csv")) as rejects:
        predict_file(
            model, read_file(path, SPEC.text_format), str(tmp_path / "out.csv"), rejects=rejects
        )
    [rejected] = pd.read_csv(tmp_path / "rejects.csv", dtype=str).to_dict("records")
    assert rejected["line"] == "3"
    assert name in rejected["reason"]
    assert len(pd.read_csv(tmp_path / "out.csv")) == 2


def test_several_values_where_one_was_promised(folder):
    spec = dataclasses.replace(SPEC, features=(Categorical("tags"),))
    [records] = read_file(f"{folder}/test.tfrecord", SPEC.text_format, lists=spec.list_columns)
    with pytest.raises(InputError, match=r"record \d+: feature 'tags' (has \d val|is missing)"):
        spec.raw_columns["tags"].read(spec, records)
