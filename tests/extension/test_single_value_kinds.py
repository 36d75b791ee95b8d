"""Kinds with one value per row, from CSV and tf.Examples through a model to both clients.

One preparation of eight rows holds them all; the packed values are worked out by hand.
"""

import csv
import dataclasses
import json
import math
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from mptrec_tf.artifacts.backbones import load_backbone, save_backbone
from mptrec_tf.data.canonical import MISSING
from mptrec_tf.data.features.ages import Age
from mptrec_tf.data.features.buckets import Buckets
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.crosses import Cross
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.features.piecewise import Piecewise
from mptrec_tf.data.features.times import Time
from mptrec_tf.data.prepare import make_record_batch, prepare
from mptrec_tf.data.prepared_checks import DataChecks
from mptrec_tf.data.prepared_tables import make_feature_rows
from mptrec_tf.data.sources.tabular import Tabular, read_file
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.transform.graph import Preprocessing, get_id_ranges, open_transform
from mptrec_tf.errors import InputError
from mptrec_tf.export.serving_model import ServingModel, export
from mptrec_tf.inference.rejects import open_rejects
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.inference.scoring import predict_file
from mptrec_tf.keras import keras
from mptrec_tf.layers.statistics import IdWeights
from mptrec_tf.models.mptrec import MPTRec
from mptrec_tf.models.single import Single
from mptrec_tf.serving.testing.local_server import LocalServer
from mptrec_tf.training.configurations import PretrainingConfig

SPEC = DatasetSpec(
    name="values",
    features=(
        Categorical("city", oov_buckets=3, width=2),
        Categorical("price"),
        Categorical("sku", hash_buckets=7, hashes=2),
        Categorical("buyer", hash_buckets=11, table="people"),
        Categorical("seller", hash_buckets=11, table="people", hashes=2),
        Numeric("price", missing="mean"),
        Numeric("income", "log", missing="0"),
        Numeric("age", "standard", missing="mean"),
        Numeric("plain"),
        Buckets("price", 3),
        Buckets("plain", 2, width=5),
        Piecewise("price", 2),
        Piecewise("income", 4, "log"),
        Time("at", ("hour", "weekday", "month")),
        Age("at", "standard"),
        Cross("city_x_sku", ("city", "sku"), 50),
        Cross("city_x_price_x_sku", ("city", "price", "sku"), 20, width=3),
    ),
    tasks=(BinaryTask("buy", "bought", positive="1"), BinaryTask("like", "liked", positive="1")),
    missing_values=("", "NA", "-999"),
)
E2 = math.exp(2) - 1  # log(1 + E2) = 2
NEW, OLD = "2024-01-11T00:00:00", "2024-01-01T02:00:00+02:00"  # a Thursday, a Monday at 2
TRAIN = {
    "city": ["Bern", "Bern", "Bern", "Thun", "Thun", "NA", "Bern", "Chur"],
    "sku": list("abcdabcd"),
    "buyer": ["u", "v", "w", "x", "u", "v", "w", ""],
    "seller": ["u", "v", "w", "x", "u", "v", "w", ""],
    "price": ["10", "20", "30", "", "-999", "40", "50.0", " na "],  # mean 30
    "income": ["0", "0", str(E2), str(E2), "", "", "0", str(E2)],  # logs: mean 1, deviation 1
    "age": ["2", "4", "4", "4", "5", "5", "7", "9"],  # mean 5, deviation 2
    "plain": ["1", "2", "3", "4", "5", "6", "7", "9"],
    "at": [NEW, NEW, "1704931200", OLD, OLD, OLD, "", "NA"],  # days: mean 5, deviation 5
    "bought": list("10101010"),
    "liked": list("11001100"),
}
TEST = {
    "city": ["Bern ", "new", "other", "", "newer", "Bern"],
    "sku": ["a", "b", "c", "NA", "e", "f"],
    "buyer": list("uvwxyz"),
    "seller": list("uvwxyz"),
    "price": ["30", "", "60", "5", "-999.0", "40"],
    "income": ["0", "NA", str(E2), "0", "0", "0"],
    "age": ["5", "", "9", "1", "-999", "5"],
    "plain": ["1", "5", "5", "9", "0", "10"],
    "at": ["2024-01-06", "", NEW, OLD, "NA", "2024-07-01 23:59:59"],
    "bought": list("101010"),
    "liked": list("110011"),
}
NUMBERS = ("price", "income", "age", "plain")


def write(path, columns):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return [str(path)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("values")
    write(folder / "train.csv", TRAIN)
    write(folder / "test.csv", TEST)
    return folder


@pytest.fixture(scope="module")
def data(folder):
    test = [f"{folder}/test.csv"]
    files = {"train": [f"{folder}/train.csv"], "validation": test, "test": test}
    return prepare(Tabular(SPEC, files), f"{folder}/data")


@pytest.fixture(scope="module")
def packed(data):
    def read(split):
        [batch] = tf.data.TFRecordDataset(data.files(split)).batch(100).map(data.parse)
        return {name: column.numpy() for name, column in batch.items()}

    return {split: read(split) for split in ("train", "test")}


def test_numbers_and_indicators(packed):
    train, test = packed["train"]["numeric"].T, packed["test"]["numeric"].T
    assert len(train) == 4 + 3  # plain has no indicator
    np.testing.assert_allclose(train[0], [0, 0.25, 0.5, 0.5, 0.5, 0.75, 1, 0.5], rtol=1e-6)
    np.testing.assert_allclose(test[0], [0.5, 0.5, 1, 0, 0.5, 0.75], rtol=1e-6)
    # A missing income is 0, whose score is (0 - 1) / 1.
    np.testing.assert_allclose(train[1], [-1, -1, 1, 1, -1, -1, -1, 1], rtol=1e-5)
    np.testing.assert_allclose(train[2], [-1.5, -0.5, -0.5, -0.5, 0, 0, 1, 2], atol=1e-6)
    np.testing.assert_allclose(test[2], [0, 0, 2, -2, 0, 0], atol=1e-6)
    np.testing.assert_allclose(train[3], np.array([0, 1, 2, 3, 4, 5, 6, 8]) / 8, rtol=1e-6)
    assert train[4].tolist() == [0, 0, 0, 1, 1, 0, 0, 1]
    assert train[5].tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
    assert not train[6].any()
    assert test[4:].tolist() == [[0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 1, 0]]


def test_buckets(packed):
    # Edges 30 and 40 of 10, 20, 30, 40, 50; missing ones are 3. Then 4 and more of plain.
    assert packed["train"]["buckets"][:, 0].tolist() == [0, 0, 1, 3, 3, 2, 2, 3]
    assert packed["test"]["buckets"][:, 0].tolist() == [1, 3, 2, 0, 3, 2]
    assert packed["train"]["buckets"][:, 1].tolist() == [4, 4, 4, 4, 5, 5, 5, 5]
    assert packed["test"]["buckets"][:, 1].tolist() == [4, 5, 5, 5, 4, 5]


def test_piecewise(packed):
    # Knots 10, 40, 50 of price; 0 and E2 of income, halfway between which is e - 1 on a log scale.
    price, income = packed["train"]["piecewise"].T
    np.testing.assert_allclose(price, [1, 4 / 3, 5 / 3, 0, 0, 2, 3, 0], rtol=1e-6)
    np.testing.assert_allclose(income, [1, 1, 2, 2, 0, 0, 1, 2], rtol=1e-6)
    price, income = packed["test"]["piecewise"].T
    np.testing.assert_allclose(price, [5 / 3, 0, 3, 1, 0, 2], rtol=1e-6)
    np.testing.assert_allclose(income, [1, 0, 2, 1, 1, 1], rtol=1e-6)


def test_times_and_ages(packed):
    hour, weekday, month = packed["train"]["times"].T
    assert hour.tolist() == [0, 0, 0, 2, 2, 2, 24, 24]
    assert (weekday - 25).tolist() == [3, 3, 3, 0, 0, 0, 7, 7]
    assert (month - 33).tolist() == [0] * 6 + [12] * 2
    hour, weekday, month = packed["test"]["times"].T
    assert hour.tolist() == [0, 24, 0, 2, 24, 23]
    assert (weekday - 25).tolist() == [5, 7, 3, 0, 7, 0]
    assert (month - 33).tolist() == [0, 12, 0, 0, 12, 6]
    ages = packed["train"]["ages"]
    np.testing.assert_allclose(ages[:, 0], [-1, -1, -1, 1, 1, 1, 0, 0], atol=1e-6)
    assert ages[:, 1].tolist() == [0] * 6 + [1] * 2
    assert packed["test"]["ages"][0].tolist() == [0, 0]  # five days
    assert packed["test"]["ages"][5, 0] == pytest.approx((-173 + 1 / 86400 - 5) / 5, rel=1e-5)


def hashed(values, buckets, salt=None):
    if salt is None:
        return tf.strings.to_hash_bucket_fast(values, buckets).numpy()
    return tf.strings.to_hash_bucket_fast([salt + v for v in values], 2**62).numpy() % buckets


def test_several_hash_functions_and_a_shared_table(packed):
    city, price, sku, sku_2, buyer, seller, seller_2 = packed["train"]["categorical"].T
    del city, price
    assert sku.tolist() == hashed(TRAIN["sku"], 7, "\t0\t").tolist()
    assert sku_2.tolist() == hashed(TRAIN["sku"], 7, "\t1\t").tolist()
    people = [value or MISSING for value in TRAIN["buyer"]]
    assert buyer.tolist() == (7 + hashed(people, 11, "buyer\t0\t")).tolist()
    assert seller.tolist() == (7 + hashed(people, 11, "seller\t0\t")).tolist()
    assert seller_2.tolist() == (7 + hashed(people, 11, "seller\t1\t")).tolist()


def test_new_values_are_told_apart(packed):
    # After the 18 hashed ids: Bern, missing, Chur, Thun by count and name, and three for others.
    city = {"Bern": 18, "Thun": 19, MISSING: 20, "Chur": 21}
    values = [MISSING if v == "NA" else v for v in TRAIN["city"]]
    assert packed["train"]["categorical"][:, 0].tolist() == [city[v] for v in values]
    others = 22 + hashed(["new", "other", "newer"], 3, "")
    expected = [18, others[0], others[1], 20, others[2], 18]
    assert packed["test"]["categorical"][:, 0].tolist() == expected


def test_a_missing_number_is_a_category(packed):
    # Ids of price follow the 7 of city: missing first, then by text; 50.0 is 50.
    price = packed["train"]["categorical"][:, 1]
    assert price.tolist() == [26, 27, 28, 25, 25, 29, 30, 25]
    assert packed["test"]["categorical"][:, 1].tolist() == [28, 25, 31, 31, 25, 29]


def test_crosses(packed):
    forms = [MISSING if v == "NA" else v for v in TRAIN["city"]]
    numbers = ["10", "20", "30", MISSING, MISSING, "40", "50", MISSING]
    two = ["\0".join([a, b, ""]) for a, b in zip(forms, TRAIN["sku"], strict=True)]
    three = ["\0".join(v) for v in zip(forms, numbers, TRAIN["sku"], strict=True)]
    crosses = packed["train"]["crosses"]
    assert crosses[:, 0].tolist() == hashed(two, 50, "").tolist()
    assert crosses[:, 1].tolist() == (50 + hashed(three, 20, "")).tolist()


def read_test_columns(data):
    numbers = {n for n, f in data.spec.raw_columns.items() if f.raw_type(data.spec) == "number"}
    missing = ("", "NA", "-999", "-999.0")
    return {
        name: tf.constant([float("nan" if v in missing else v) for v in TEST[name]], tf.float32)
        if name in numbers
        else tf.constant(TEST[name])
        for name in data.spec.raw_columns
    }


@pytest.mark.parametrize("row", [0, 1])
def test_a_column_of_one_value_is_as_good_as_its_repetition(data, row):
    preprocessing = Preprocessing(data.transform_dir)
    assert preprocessing.takes_shared
    columns = read_test_columns(data)
    single = {name: column[row : row + 1] for name, column in columns.items()}
    for shared in ([], *([name] for name in columns), list(columns)[1:], list(columns)):
        given = columns | {name: single[name] for name in shared}
        repeated = columns | {name: tf.repeat(single[name], 6) for name in shared}
        if len(shared) == len(columns):
            repeated = single
        expected = preprocessing(repeated)
        for name, of in preprocessing(given).items():
            np.testing.assert_array_equal(of, expected[name], f"{name} with {shared}")


def test_a_request_with_columns_of_one_value(backbone, data):
    columns = {name: column[:3] for name, column in read_test_columns(data).items()}
    model = ServingModel(backbone)
    predict = model.signatures()["columns"]
    shared = columns | {name: columns[name][:1] for name in ("city", "age", "at")}
    repeated = {name: tf.repeat(of, 3) if len(of) == 1 else of for name, of in shared.items()}
    expected = predict(repeated)["buy"].numpy()
    np.testing.assert_array_equal(predict(shared)["buy"], expected)
    # Graphs of older versions take columns of all rows alone.
    model.preprocessing.takes_shared = False
    np.testing.assert_array_equal(model.signatures()["columns"](shared)["buy"], expected)
    with pytest.raises(tf.errors.InvalidArgumentError, match="a value per row, or one for all"):
        predict(columns | {"city": columns["city"][:2]})


def test_ids_have_ranges_and_tables(data, packed):
    shapes = {of.kind: of for of in data.inputs}
    assert {k: of.rows for k, of in shapes.items()} == {
        "categorical": 7 + 11 + 7 + 7,
        "numeric": 0,
        "buckets": 4 + 3,
        "piecewise": 0,
        "times": 25 + 8 + 13,
        "ages": 0,
        "crosses": 70,
    }
    ranges = get_id_ranges(SPEC, open_transform(data.transform_dir))
    assert [column for column, _, _ in ranges] == list(range(7 + 2 + 3 + 2))
    ids = np.concatenate(
        [packed["test"][k] for k in ("categorical", "buckets", "times", "crosses")], 1
    )
    for column, first, count in ranges:
        assert (ids[:, column] >= first).all()
        assert (ids[:, column] < first + count).all()
    assert IdWeights(ranges)(tf.constant(ids)).shape == (6,)
    for of in shapes.values():
        for table in of.tables:
            rows = packed["test"][of.kind][:, table.columns] + np.array(table.shifts)
            assert rows.min() >= 0
            assert rows.max() < table.rows


def test_checks_and_tables_for_people(data):
    checks = DataChecks(data)
    assert checks.unknown["test"]["city"] == pytest.approx(3 / 6)
    assert checks.missing_ids["buckets"] == 2
    table = {row["feature"]: row for row in make_feature_rows(data, checks)}
    assert table["price"]["kind"] == "category and number and buckets and pieces"
    assert table["price"]["missing"] == "37.5% / 33.3% / 33.3%"
    assert table["city_x_sku"]["missing"] == ""
    assert isinstance(checks.warnings(), list)


def make_config(**shape):
    shape = {"expert_units": (4, 4), "tower_units": (4,), **shape}
    return PretrainingConfig(("buy", "like"), shape=shape)


@pytest.fixture(scope="module")
def backbone(data, folder):
    keras.utils.set_random_seed(1)
    path = folder / "backbone"
    path.mkdir()
    model = MPTRec(make_config().make_shape(data))
    save_backbone(str(path), model, data.spec, data.transform_dir, {})
    return load_backbone(str(path))


def test_a_model_has_a_table_for_each_width(backbone, packed):
    model = backbone.model
    shapes = {n: tuple(w.shape) for n, w in model.named_weights().items() if n.endswith("/table")}
    assert shapes == {
        "embedding/table": (18 + 7, 4),
        "embedding_2/table": (7, 2),
        "buckets/table": (4, 4),
        "buckets_5/table": (3, 5),
        "times/table": (46, 4),
        "crosses/table": (50, 4),
        "crosses_3/table": (20, 3),
    }
    width = (6 * 4 + 2) + 7 + (4 + 5) + (2 + 4 + 2) + 3 * 4 + 2 + (4 + 3)
    assert model.input_width == width
    features = {of.kind: tf.constant(packed["test"][of.kind]) for of in backbone.shape.inputs}
    x, ids = model.embed(features)
    assert x.shape == (6, width)
    assert ids.shape == (6, 14)
    # The pieces of 30, none, 60, 5, -999 and 40, those of income, and both indicators.
    pieces = x[:, 42:50].numpy()
    np.testing.assert_allclose(pieces[:, 0], [2 / 3, 0, 1, 0, 0, 1], rtol=1e-6)
    assert pieces[:, 1].tolist() == [0, 0, 1, 0, 0, 0]
    np.testing.assert_allclose(pieces[:, 2], [0, 0, 1, 0, 0, 0], rtol=1e-6)
    assert not pieces[:, 3:6].any()
    assert pieces[:, 6:].T.tolist() == [[0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 0]]
    # The width's table is read at the feature's own rows.
    table = model.named_weights()["embedding_2/table"].numpy()
    city = packed["test"]["categorical"][:, 0] - 18
    np.testing.assert_array_equal(x[:, 24:26], table[city])
    compiled = tf.function(lambda f: model(f, training=True), jit_compile=True)
    np.testing.assert_allclose(compiled(features), model(features), rtol=1e-5, atol=1e-6)


def test_single_tasks_have_tables_of_each_width(data, packed):
    keras.utils.set_random_seed(1)
    model = Single(make_config().make_shape(data))
    features = {of.kind: tf.constant(packed["test"][of.kind]) for of in data.inputs}
    before = model(features).numpy()
    # Of each embedding the first half is the first task's: the second task does not read it.
    table = model.named_weights()["embedding_4/table"]
    assert table.shape == (7, 2 * 2)
    table.assign(table + tf.constant([[5.0, 5.0, 0.0, 0.0]]))
    after = model(features).numpy()
    assert (before[:, 0] != after[:, 0]).any()
    np.testing.assert_array_equal(before[:, 1], after[:, 1])


@pytest.fixture(scope="module")
def path(backbone, folder):
    return export(backbone, [], f"{folder}/model")[0]


@pytest.fixture(scope="module")
def expected(path, folder):
    [block] = read_file(f"{folder}/test.csv", SPEC.text_format)
    return LoadedModel(path).predict(block)


def test_the_model_card(path):
    card = LoadedModel(path).card
    domains = {(of["kind"], of["name"]): of["domain"] for of in card["features"]}
    assert domains["numeric", "price"]["missing"] == "the mean, 30"
    assert domains["numeric", "income"]["missing"] == "0"
    assert "missing" not in domains["numeric", "plain"]
    assert domains["buckets", "price"] == {"edges": [30.0, 40.0]}
    assert domains["piecewise", "price"] == {"scale": "linear", "knots": [10.0, 40.0, 50.0]}
    assert domains["ages", "at"]["newest"] == 1704931200
    text = Path(path, "assets.extra/model_card.md").read_text()
    for line in (
        "| price | price | number | 10 to 50; finite numbers beyond count as these; where it is "
        "missing: the mean, 30 |",
        "| price | price | number | any finite number or none; 3 buckets, from 30 to 40 |",
        "| price | price | number | any finite number or none; 2 pieces from 10 to 50, beyond "
        "which it counts as these |",
        "| city | city | text | any text, 4 values known, others hashed to 3 |",
        "| seller | seller | text | any text, hashed by 2 functions to 11 of table people |",
        "days before 2024-01-11 00:00 UTC |",
        "| at | at | text | a time, as ISO 8601 or since 1970; its hour, weekday, month |",
        "| city_x_sku |  | text | city and sku together, hashed to 50 |",
    ):
        assert line in text


def make_example(row, typed=False):
    """Returns a tf.Example of a test row, in which a missing number is absent, empty or NaN."""
    example = tf.train.Example()
    for name in SPEC.feature_names:
        feature, value = example.features.feature[name], TEST[name][row]
        if name not in NUMBERS or typed:
            feature.bytes_list.value.append(value.encode())
        elif value not in ("", "NA", "-999"):
            feature.float_list.value.append(float(value))
        elif name == "price":
            del example.features.feature[name]
        elif name == "age":
            feature.float_list.value.append(math.nan)
        else:
            feature.float_list.SetInParent()
    return example.SerializeToString()


def test_examples_may_lack_numbers(path, expected):
    model = tf.saved_model.load(path).signatures["serving_default"]
    outputs = model(examples=tf.constant([make_example(row) for row in range(6)]))
    for task, predictions in expected.items():
        np.testing.assert_array_equal(outputs[task], predictions)
    several = tf.train.Example.FromString(make_example(0))
    several.features.feature["price"].float_list.value.append(1.0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="at most one value of the feature"):
        model(examples=tf.constant([several.SerializeToString()]))
    del several.features.feature["plain"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="plain"):
        model(examples=tf.constant([several.SerializeToString()]))


def test_examples_of_any_type_may_lack_numbers(backbone, expected):
    spec = dataclasses.replace(backbone.spec, example_types={"price": "bytes"})
    model = ServingModel(dataclasses.replace(backbone, spec=spec))
    for typed in (False, True):
        examples = tf.constant([make_example(row, typed) for row in range(6)])
        outputs = model.predict(model.examples(examples))
        np.testing.assert_allclose(outputs["buy"], expected["buy"], rtol=1e-6)


def test_files_of_examples_may_lack_numbers(path, folder, expected):
    file = f"{folder}/test.tfrecord"
    with tf.io.TFRecordWriter(file) as writer:
        for row in range(6):
            writer.write(make_example(row))
    [block] = read_file(file, SPEC.text_format)
    predicted = LoadedModel(path).predict(block)
    np.testing.assert_array_equal(predicted["buy"], expected["buy"])
    needed = [name for name in SPEC.feature_names if name not in SPEC.optional_numbers]
    bad = []
    [block] = read_file(
        file, SPEC.text_format, bad.append, needed, optional=sorted(SPEC.optional_numbers)
    )
    assert not bad
    np.testing.assert_array_equal(LoadedModel(path).predict(block)["buy"], expected["buy"])
    two = LoadedModel(path).predict(block.rows(np.array([1, 4])))["buy"]
    np.testing.assert_allclose(two, expected["buy"][[1, 4]], rtol=1e-6)
    example = tf.train.Example()
    example.features.feature["city"].bytes_list.value.append(b"Bern")
    with tf.io.TFRecordWriter(file) as writer:
        writer.write(make_example(0))
        writer.write(example.SerializeToString())
    [block] = read_file(file, SPEC.text_format)
    with pytest.raises(InputError, match="record 2: feature 'plain' is missing; each record needs"):
        block.numbers("plain")
    assert np.isnan(block.numbers("price", SPEC.missing_values)).tolist() == [False, True]


def test_the_graph_takes_what_does_not_parse_as_missing(data):
    graph = Preprocessing(data.transform_dir)
    columns = {name: tf.constant(["x"]) for name in ("city", "sku", "buyer", "seller", "at")}
    out = graph(columns | {name: tf.constant([1.0]) for name in NUMBERS})
    assert out["times"].numpy().tolist() == [[24, 25 + 7, 33 + 12]]
    assert out["ages"].numpy().tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("at", "yesterday", "line 3, column 'at': 'yesterday' is not a time; write it as 2024-01"),
        ("at", "2024-02-30", "'2024-02-30' is not a time"),
        ("price", "cheap", "'cheap' is not a finite number, and not in `missing_values` of the"),
        ("price", "inf", "line 3, column 'price': 'inf' is not a finite number"),
        ("plain", "", "'' is not a finite number; every row needs one there; where some are "),
    ],
)
def test_what_is_rejected(folder, tmp_path, column, value, message):
    rows = {name: values[:2] for name, values in TEST.items()}
    rows[column] = [rows[column][0], value]
    [file] = write(tmp_path / "rows.csv", rows)
    [block] = read_file(file, SPEC.text_format)
    with pytest.raises(InputError, match=message):
        make_record_batch(SPEC, block)


def test_rejected_predictions(path, folder, tmp_path):
    rows = {name: values[:3] for name, values in TEST.items()}
    rows |= {"price": ["", "cheap", "1"], "plain": ["1", "2", "NA"]}
    [file] = write(tmp_path / "rows.csv", rows)
    with open_rejects(f"{tmp_path}/rejects.csv") as rejects:
        blocks = read_file(file, SPEC.text_format, rejects.add)
        predict_file(LoadedModel(path), blocks, f"{tmp_path}/out.csv", rejects=rejects)
    assert rejects.counts.total() == 2
    assert len(Path(f"{tmp_path}/out.csv").read_text().splitlines()) == 2


@pytest.fixture(scope="module")
def server(path, tmp_path_factory):
    with LocalServer(Path(path).parent, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.mark.parametrize("protocol", ["gRPC", "REST"])
def test_both_clients(server, expected, protocol):
    columns = {name: TEST[name] for name in SPEC.feature_names}
    missing = ("", "NA", "-999", "-999.0")
    nan = columns | {
        name: [np.nan if v in missing else float(v) for v in TEST[name]] for name in NUMBERS
    }
    none = columns | {
        name: [None if v in missing else float(v) for v in TEST[name]] for name in NUMBERS
    }
    frame = pd.DataFrame(nan)
    frame["age"] = frame["age"].astype("Int64")
    records = [dict(zip(none, row, strict=True)) for row in zip(*none.values(), strict=True)]
    codes = columns | {
        name: [v if v in ("", "NA") else float(v) for v in TEST[name]] for name in NUMBERS
    }
    with server.make_client(protocol) as client:
        for rows in (columns, nan, none, codes, frame, records):
            predictions = client.predict(rows)
            for task, values in expected.items():
                np.testing.assert_allclose(predictions[task], values, rtol=1e-6)
        with pytest.raises(InputError, match="row 2, column 'plain': nan is not a finite number"):
            client.predict(nan | {"plain": [1, np.nan, 1, 1, 1, 1]})
        with pytest.raises(InputError, match="row 1, column 'price': 'cheap' is not a finite"):
            client.predict(nan | {"price": ["cheap", *[None] * 5]})
        with pytest.raises(InputError, match="row 1, column 'price': inf is not a finite number"):
            client.predict(nan | {"price": [np.inf] * 6})
        with pytest.raises(InputError, match="the request has no column 'price'"):
            client.predict({k: v for k, v in nan.items() if k != "price"})


@pytest.mark.parametrize("form", ["null", "NaN", "left out"])
def test_json(server, expected, form):
    row = {name: TEST[name][1] for name in SPEC.feature_names}
    row |= {"plain": float(row["plain"]), "city": 'NaN \\" NaN', "price": None, "income": None}
    row["age"] = None
    if form == "left out":
        del row["price"], row["age"]
    body = json.dumps({"signature_name": "columns", "instances": [row]})
    if form == "NaN":
        body = body.replace("null", "NaN")
    url = f"{server.url}/v1/models/m:predict"
    request = urllib.request.Request(url, body.encode())
    with urllib.request.urlopen(request) as response:
        [prediction] = json.load(response)["predictions"]
    # The city is a new one here, which is one of the first's three ids.
    assert prediction["buy"] == pytest.approx(expected["buy"][1], abs=0.1)
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(urllib.request.Request(url, body.replace("5.0", "null").encode()))
    assert "'plain' should be float32, received null" in json.load(error.value)["error"]
