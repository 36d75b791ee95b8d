"""Raw columns out of tf.Examples whose features are int64, float or bytes."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.example_decoding import ExampleParser
from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.features.sequences import ValueSequence
from mptrec_tf.data.features.vectors import Vector
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask

NATURAL = DatasetSpec(
    "shop",
    (Categorical("city"), Categorical("both"), Numeric("price"), Numeric("both")),
    (BinaryTask("buy", "bought", positive="1"),),
)


def typed(types):
    return DatasetSpec(NATURAL.name, NATURAL.features, NATURAL.tasks, example_types=types)


ANY = typed({"city": "int64"})


def feature(*values):
    if values and isinstance(values[0], str | bytes):
        content = [v.encode() if isinstance(v, str) else v for v in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=content))
    if values and isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def example(**features):
    made = {
        name: value if isinstance(value, tf.train.Feature) else feature(value)
        for name, value in features.items()
    }
    features = tf.train.Features(feature=made)
    return tf.train.Example(features=features).SerializeToString()


def parse(spec, *examples):
    columns = ExampleParser(spec)(tf.constant(examples, tf.string))
    return {name: column.numpy().tolist() for name, column in columns.items()}


CITIES = {"Zürich": "Zürich".encode(), 7: b"7", -(2**62): str(-(2**62)).encode(), 3.0: b"3"}
CITIES |= {0.1: b"0.1", " 3.0": b" 3.0", b"\xff": b"\xff", "": b""}
PRICES = {
    2.5: 2.5,
    7: 7.0,
    "1.25": 1.25,
    " -3 ": -3.0,
    "1e3": 1000.0,
    0: 0.0,
    2**24 + 2: 16777218.0,
}


def test_any_types_in_one_batch():
    pairs = list(itertools.product(CITIES, PRICES))
    rows = [example(city=city, price=price, both=price) for city, price in pairs]
    columns = parse(ANY, *rows)
    assert columns["city"] == [CITIES[city] for city, _ in pairs]
    assert columns["price"] == columns["both"] == [PRICES[price] for _, price in pairs]


@pytest.mark.parametrize("city", CITIES)
@pytest.mark.parametrize("price", [2.5, 7, "1.25"])
def test_one_type_in_a_batch(city, price):
    columns = parse(ANY, *[example(city=city, price=price, both=1)] * 3)
    assert columns == {
        "city": [CITIES[city]] * 3,
        "price": [PRICES[price]] * 3,
        "both": [1.0] * 3,
    }


def test_both_parsers_read_the_features_own_types_alike():
    rows = [example(city=f"c{i}", price=i / 3, both=float(i)) for i in range(5)]
    assert parse(ANY, *rows) == parse(NATURAL, *rows)
    assert list(ExampleParser(ANY)(tf.constant(rows))) == ["city", "price", "both"]


def test_other_types_are_rejected_where_no_training_row_had_them():
    with pytest.raises(tf.errors.InvalidArgumentError, match="Data types don't match"):
        parse(NATURAL, example(city=7, price=1.0, both=1.0))


def test_unused_features_may_have_any_type():
    more = {"tags": feature("a", "b"), "none": feature(), "unset": tf.train.Feature(), "n": 1}
    rows = [
        example(city="a", price=1.0, both=2),
        example(city=1, price=2, both=3.0, **more),
        example(**more, city="c", price="3", both="4"),
    ]
    assert parse(ANY, *rows) == {
        "city": [b"a", b"1", b"c"],
        "price": [1.0, 2.0, 3.0],
        "both": [2.0, 3.0, 4.0],
    }


def test_no_rows():
    columns = ExampleParser(ANY)(tf.zeros([0], tf.string))
    assert {name: column.shape for name, column in columns.items()} == dict.fromkeys(columns, (0,))
    assert list(columns) == ["city", "price", "both"]


GOOD = {"city": 1, "price": 2, "both": 3}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize(
    "bad",
    [
        None,
        tf.train.Feature(),
        feature(),
        feature(1, 2),
        feature("a", "b"),
        feature(1.0, 2.0),
        tf.train.Feature(bytes_list=tf.train.BytesList()),
        tf.train.Feature(float_list=tf.train.FloatList()),
    ],
    ids=["missing", "unset", "empty", "two", "two texts", "two floats", "no text", "no float"],
)
def test_other_than_one_value_is_rejected_with_the_features_name(name, bad):
    features = {k: v for k, v in GOOD.items() if k != name} | (
        {name: bad} if bad is not None else {}
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"(?s)exactly one value.*{name}"):
        parse(ANY, example(**GOOD), example(**features))
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"(?s)exactly one value.*{name}"):
        parse(ANY, example(**features))


def test_text_that_is_not_a_number_is_rejected():
    with pytest.raises(tf.errors.InvalidArgumentError, match="cheap"):
        parse(ANY, example(city="a", price="cheap", both=1))


@pytest.mark.parametrize("content", [b"no example at all", b"\xff\xff"])
def test_what_is_not_an_example_is_rejected(content):
    with pytest.raises(tf.errors.OpError):
        parse(ANY, content)


def test_an_example_without_features_is_rejected():
    with pytest.raises(tf.errors.InvalidArgumentError, match="exactly one value"):
        parse(ANY, b"")


def test_a_saved_graph_gives_the_same(tmp_path):
    parser = ExampleParser(ANY)
    batch = tf.TensorSpec([None], tf.string, name="examples")
    graph = tf.function(parser, input_signature=[batch])
    tf.saved_model.save(parser, str(tmp_path), signatures={"serving_default": graph})
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    rows = [example(city=c, price=p, both=p) for c, p in itertools.product(CITIES, PRICES)]
    for some in (rows, rows[:1], []):
        batch = tf.constant(some, tf.string)
        columns, expected = served(examples=batch), parser(batch)
        assert columns.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(columns[name], expected[name])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"(?s)exactly one value.*price"):
        served(examples=tf.constant([rows[0], example(city="a", both=1)]))


LISTS = DatasetSpec(
    "lists",
    (Categorical("city"), Bag("tags"), ValueSequence("seen", last=2), Vector("place", 2)),
    NATURAL.tasks,
)


@pytest.mark.parametrize("types", [{}, {"tags": "int64"}])
def test_several_values_in_a_row(types):
    place = feature(0.5, 2.0)
    rows = [
        example(city="a", tags=feature("x", "y", "z"), seen=feature("u"), place=place),
        example(city="b", seen=feature("v", "w"), place=place),
        example(city="c", tags=tf.train.Feature(), place=feature(-1.5, 0.0)),
    ]
    spec = dataclasses.replace(LISTS, example_types=types)
    columns = ExampleParser(spec)(tf.constant(rows))
    assert columns["city"].numpy().tolist() == [b"a", b"b", b"c"]
    ragged = {n: tf.RaggedTensor.from_sparse(columns[n]).to_list() for n in ("tags", "seen")}
    assert ragged == {"tags": [[b"x", b"y", b"z"], [], []], "seen": [[b"u"], [b"v", b"w"], []]}
    assert columns["place"].numpy().tolist() == [[0.5, 2], [0.5, 2], [-1.5, 0]]


def test_several_values_of_any_type():
    spec = dataclasses.replace(LISTS, example_types={"tags": "int64"})
    values = {"city": 7, "seen": feature(0.25, 3.0), "place": feature(1, 2)}
    rows = [
        example(**values, tags=feature(3, -(2**62))),
        example(**values, tags=feature(0.1, 4.0)),
        example(**values | {"place": feature("1.5", "2")}, tags=feature("x")),
    ]
    columns = ExampleParser(spec)(tf.constant(rows))
    assert tf.RaggedTensor.from_sparse(columns["tags"]).to_list() == [
        [b"3", str(-(2**62)).encode()],
        [b"0.1", b"4"],
        [b"x"],
    ]
    assert columns["place"].numpy().tolist() == [[1, 2], [1, 2], [1.5, 2]]
    with pytest.raises(tf.errors.InvalidArgumentError, match="2 values of the feature place"):
        ExampleParser(spec)(tf.constant([example(**values | {"place": feature(1.0)})]))
