"""Columns with several values in a row in the graph, with numbers worked out by hand."""

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.sequences import ValueSequence
from mptrec_tf.data.list_values import join_list
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.transform.list_graph import look_up, normalize, read_values, split_texts
from mptrec_tf.data.transform.sequence_graph import add_queries, take_last

TASKS = (BinaryTask("t", "label", ("1",)),)


def read(features, columns):
    spec = DatasetSpec("d", (*features, Categorical("item")), TASKS)
    sparse = {n: tf.ragged.constant(v, ragged_rank=1).to_sparse() for n, v in columns.items()}
    return read_values(spec, features, sparse)


def by_cell(values, of):
    cells = values.cells.numpy()
    return [
        [v.decode() if isinstance(v, bytes) else v for v in np.asarray(of)[cells == cell]]
        for cell in range(int(values.rows) * values.features)
    ]


def test_values_of_two_bags_are_one_tensor_in_the_order_of_rows_and_bags():
    values = read(
        [Bag("a", most=2), Bag("b")],
        {"a": [["x", "y", "z"], [], ["x"]], "b": [["1"], ["2", "3"], []]},
    )
    assert by_cell(values, values.texts) == [["x", "y"], ["1"], ["\t"], ["2", "3"], ["x"], ["\t"]]
    assert values.lengths().numpy().tolist() == [[2, 1], [1, 2], [1, 1]]
    [ids] = values.by_row([values.cells])
    assert ids.to_list() == [[0, 0, 1], [2, 3, 3], [4, 5]]


def test_values_are_canonical_and_missing_ones_are_left_out():
    values = read(
        [Bag("a"), Bag("b", exact=True)],
        {"a": [[" x ", "NA", "3.0", "", " "]], "b": [[" x", "NA"]]},
    )
    assert by_cell(values, values.texts) == [["x", "3"], [" x", "NA"]]


@pytest.mark.parametrize(
    ("pool", "factors", "weighted"),
    [
        ("mean", [1 / 3] * 3, [0.3, 0.6, 0.1]),
        ("sum", [1, 1, 1], [1.5, 3, 0.5]),
        ("sqrtn", [1 / np.sqrt(3)] * 3, np.array([1.5, 3, 0.5]) / np.sqrt(11.5)),
    ],
)
def test_pools(pool, factors, weighted):
    bags = [Bag("a", pool=pool), Bag("b", pool=pool, weights=True)]
    values = read(bags, {"a": [["x", "y", "z"]], "b": [["x:1.5", "y: 3.0 ", "u:v:5E-1"]]})
    factor = by_cell(values, normalize(values, [pool] * 2))
    np.testing.assert_allclose(factor[0], factors, rtol=1e-6)
    np.testing.assert_allclose(factor[1], weighted, rtol=1e-6)
    assert by_cell(values, values.texts)[1] == ["x", "y", "u:v"]


def test_weights_of_zero_and_of_an_empty_bag():
    bag = Bag("a", weights=True)
    values = read([bag], {"a": [["x:0", "y:0"], [], ["NA:2", "z:4"]]})
    assert by_cell(values, normalize(values, ["mean"])) == [[0, 0], [1], [1]]
    assert by_cell(values, values.texts) == [["x", "y"], ["\t"], ["z"]]


@pytest.mark.parametrize("value", ["x", "x:", "x:-1", "x:nan", "x:1e99", "x:1 2"])
def test_a_weight_that_does_not_parse_is_named(value):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"value:weight instead of {value}"):
        read([Bag("a", weights=True)], {"a": [[value]]})


def test_factors_of_a_row_have_the_same_bits_in_every_batch():
    random = np.random.default_rng(1)
    rows = [
        [f"v{i}:{w:.3f}" for i, w in enumerate(random.uniform(0, 9, random.integers(0, 30)))]
        for _ in range(53)
    ]
    bag = Bag("a", weights=True, pool="sqrtn")
    whole = read([bag], {"a": rows})
    factors = by_cell(whole, normalize(whole, ["sqrtn"]))
    for start, stop in ((0, 1), (1, 2), (3, 20), (20, 53)):
        some = read([bag], {"a": rows[start:stop]})
        assert by_cell(some, normalize(some, ["sqrtn"])) == factors[start:stop]


def test_hashed_bags_have_ids_of_their_own():
    bags = [Bag("a", hash_buckets=5), Bag("b", hash_buckets=7)]
    values = read(bags, {"a": [["x", "y"]], "b": [["x", "y"]]})
    ids = look_up("unused", bags, values).numpy()
    hashed = tf.strings.to_hash_bucket_fast(["x", "y"], 2**62).numpy()
    assert ids.tolist() == [*(hashed % 5), *(5 + hashed % 7)]


@pytest.mark.parametrize("separator", ["|", ";", "||", ".", " ", "a+b", "\\", "^", "-", "]"])
def test_texts_are_split_at_the_separator(separator):
    texts = [separator.join(["x", "y z" if separator != " " else "y", "w"]), "", "x"]
    split = tf.RaggedTensor.from_sparse(split_texts(tf.constant(texts), separator))
    values = [[v for v in row if v] for row in split.to_list()]
    assert values == [texts[0].encode().split(separator.encode()), [], [b"x"]]


def test_a_joined_list_is_split_into_the_same_values():
    lists = [["a|b", "c"], [], ["d"], ["", "e"]]
    texts = tf.constant([join_list(values) for values in lists])
    split = tf.RaggedTensor.from_sparse(split_texts(texts, "|"))
    assert [[v.decode() for v in row if v] for row in split.to_list()] == [
        [v for v in row if v] for row in lists
    ]


def sequences(features, columns, items=None):
    spec = DatasetSpec("d", (*features, Categorical("item")), TASKS)
    values = take_last(read(features, columns), [f.last for f in features])
    if items:
        values = add_queries(spec, features, values, {"item": tf.constant(items)})
    return by_cell(values, values.texts), values.lengths().numpy().tolist()


def test_the_last_values_of_a_sequence_are_padded_in_front():
    features = [ValueSequence("a", last=2), ValueSequence("b", last=3)]
    cells, lengths = sequences(features, {"a": [["x", "y", "z"], []], "b": [["u"], list("pqrs")]})
    assert cells == [["y", "z"], ["\t", "\t", "u"], ["\t", "\t"], ["q", "r", "s"]]
    assert lengths == [[2, 3], [2, 3]]


def test_a_sequence_follows_the_value_that_it_attends_to():
    features = [ValueSequence("a", attend_to="item", most=2), ValueSequence("b", last=1)]
    columns = {"a": [["x", "y", "z"], []], "b": [["u", "v"], []]}
    cells, lengths = sequences(features, columns, [" 7.0", "i"])
    assert cells == [["7", "y", "z"], ["v"], ["i", "\t"], ["\t"]]
    assert lengths == [[3, 1], [2, 1]]
