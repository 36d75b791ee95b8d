"""Examples that are decoded at once are what they are one by one."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.list_values import read_lists
from mptrec_tf.data.sources import tfrecord_rows
from mptrec_tf.data.sources.block import BLOCK_ROWS
from mptrec_tf.data.sources.example_values import read_examples
from mptrec_tf.data.sources.tfrecord_rows import read_tfrecord
from mptrec_tf.errors import InputError

NAMES = ("whole", "decimal", "text", "numbers", "bag", "odd", "none")
LISTS = ("bag", "numbers", "absent")


def feature(values):
    if not values:
        return tf.train.Feature()
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def draw(random, may_lack=(), odd=0.0):
    """Returns a record: columns of one type, of lists, and with what a column cannot have.

    Args:
      random: Draws the values.
      may_lack: Features that have no value in some records, and are not there in others.
      odd: The share of records with bytes that are no text.
    """
    values = {
        "whole": [int(random.integers(-(2**60), 2**60))],
        "decimal": [float(random.normal())],
        "text": [random.choice(["a", "é", "", "3.0"]).encode()],
        "numbers": random.normal(size=random.integers(3)).tolist(),
        "bag": [b"x"] * random.integers(3),
        "odd": [b"\xff" if random.random() < odd else b"y"],
        "none": [],
    }
    for name in may_lack:
        values[name] = values[name] if random.random() < 0.8 else []
        if random.random() < 0.2:
            del values[name]
    features = tf.train.Features(feature={n: feature(v) for n, v in values.items()})
    return tf.train.Example(features=features).SerializeToString()


def write(path, records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    return str(path)


def outcome(use):
    """Returns what a use of a block gives, or its error."""
    try:
        found = use()
    except (InputError, KeyError) as error:
        return type(error), str(error)
    return repr(found.tolist() if isinstance(found, np.ndarray) else found)  # NaN is NaN


def compare(one, other, missing=("", "NA")):
    assert list(one.columns) == list(other.columns)
    assert one.lines.tolist() == other.lines.tolist()
    for name in (*one.columns, "never"):
        for use in (
            lambda b, name=name: b.column(name),
            lambda b, name=name: b.text(name),
            lambda b, name=name: b.numbers(name),
            lambda b, name=name: b.numbers(name, missing),
            lambda b, name=name: b.not_numbers(name, missing),
            lambda b, name=name: sorted(b.count_values(name)),
            lambda b, name=name: read_lists(b, name, "|").values,
            lambda b, name=name: read_lists(b, name, "|").lengths,
        ):
            assert outcome(lambda use=use: use(one)) == outcome(lambda use=use: use(other))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("may_lack", [(), NAMES])
@pytest.mark.parametrize("odd", [0, 0.1])
def test_both_ways_are_the_same(tmp_path, may_lack, odd, seed):
    random = np.random.default_rng(seed)
    records = [draw(random, may_lack, odd) for _ in range(12)]
    assert tfrecord_rows._decode(np.array(records, object)) is not None
    path = write(tmp_path / "rows", records)
    [at_once] = read_tfrecord(path, (), lists=LISTS)
    one_by_one = read_examples(list(enumerate(records, 1)), path, LISTS)
    compare(at_once, one_by_one)
    some = np.array([1, 4, 5])
    compare(at_once.rows(some), one_by_one.rows(some))


@pytest.mark.parametrize("odd", [0, 0.5])
def test_good_records_are_the_same(tmp_path, odd, monkeypatch):
    random = np.random.default_rng(0)
    records = [draw(random, ("decimal", "bag"), odd) for _ in range(12)]
    path = write(tmp_path / "rows", records)
    bad = []
    wanted = (path, (), bad.append, ["text", "odd", "bag"], ["bag"], ["decimal"])
    [at_once] = read_tfrecord(*wanted)
    assert ("text" in at_once.arrow, len(bad) > 0) == (not odd, odd > 0)
    assert {*at_once.lines, *(row.line for row in bad)} == {*range(1, 13)}
    monkeypatch.setattr(tfrecord_rows, "_decode", lambda records: None)
    [one_by_one] = read_tfrecord(*wanted)
    compare(at_once, one_by_one)


def test_a_column_whose_type_changes_is_read_one_by_one(tmp_path):
    records = [
        tf.train.Example(
            features=tf.train.Features(feature={"a": feature([value])})
        ).SerializeToString()
        for value in (1, b"1", 2.5)
    ]
    assert tfrecord_rows._decode(np.array(records, object)) is None
    [block] = read_tfrecord(write(tmp_path / "rows", records), ())
    assert block.text("a").tolist() == ["1", "1", "2.5"]
    assert block.numbers("a").tolist() == [1, 1, 2.5]


def test_blocks_of_records(tmp_path):
    record = tf.train.Example(
        features=tf.train.Features(feature={"a": feature([1])})
    ).SerializeToString()
    path = write(tmp_path / "rows", itertools.repeat(record, BLOCK_ROWS + 1))
    first, second = read_tfrecord(path, ())
    assert (len(first), len(second)) == (BLOCK_ROWS, 1)
    assert second.where(0) == f"{path}, record {BLOCK_ROWS + 1}"
