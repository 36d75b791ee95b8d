import json

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.arrow import serialize_rows
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.raw_examples import (
    label_column,
    list_split_files,
    make_record_batch,
    read_description,
    read_serialized_examples,
    save_description,
)
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError

SPEC = DatasetSpec(
    "shop",
    (Categorical("color"), Numeric("price")),
    (
        BinaryTask("buy", "bought", ("yes",), ("no",), known_probability="truth"),
        BinaryTask("stay", "seconds", above=30),
    ),
    user_id="user",
    weight="importance",
)
ROWS = {
    "color": ["red", "blue"],
    "price": ["1.5", "2"],
    "bought": ["yes", "no"],
    "truth": ["0.75", "0.25"],
    "seconds": ["30.5", "30"],
    "user": ["ann", "bob"],
    "importance": ["1", "0.5"],
    "unused": ["a", "b"],
}


def block(**changes):
    columns = {name: np.array(values, object) for name, values in (ROWS | changes).items()}
    return Block(columns, "shop.csv", np.array([2, 3]))


def serialized(**changes):
    return serialize_rows(make_record_batch(SPEC, block(**changes)))


def test_a_row_holds_features_and_labels_and_what_metrics_need():
    rows = []
    for row in serialized():
        features = tf.train.Example.FromString(row).features.feature
        rows.append({k: list(getattr(v, v.WhichOneof("kind")).value) for k, v in features.items()})
    assert rows == [
        {
            "color": [b"red"],
            "price": [1.5],
            "label/buy": [1.0],
            "truth": [0.75],
            "label/stay": [1.0],
            "importance": [1.0],
            "user": [b"ann"],
        },
        {
            "color": [b"blue"],
            "price": [2.0],
            "label/buy": [0.0],
            "truth": [0.25],
            "label/stay": [0.0],
            "importance": [0.5],
            "user": [b"bob"],
        },
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("color", "Red"),
        ("price", "1.5000001"),
        ("bought", "no"),
        ("truth", "0.7500001"),
        ("seconds", "29"),
        ("user", "eve"),
        ("importance", "1.0000001"),
    ],
)
def test_every_value_changes_the_bytes_of_its_row_alone(column, value):
    before = serialized()
    after = serialized(**{column: [value, ROWS[column][1]]})
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_an_unused_column_is_left_out():
    assert serialized(unused=["y", "z"]) == serialized()


def test_the_user_may_be_a_feature():
    spec = DatasetSpec(
        "shop", (Categorical("user"),), (BinaryTask("buy", "bought", ("yes",)),), user_id="user"
    )
    assert make_record_batch(spec, block()).schema.names == ["user", "label/buy"]


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("price", r"shop\.csv, line 3, column 'price': 'cheap' is not a finite number"),
        ("truth", r"shop\.csv, line 3, column 'truth': 'cheap' is not a finite number"),
        ("importance", r"shop\.csv, line 3, column 'importance': 'cheap' is not a finite number"),
        ("bought", r"shop\.csv, line 3, column 'bought': 'cheap' is neither positive nor"),
    ],
)
def test_a_value_that_the_spec_does_not_allow_is_named(column, message):
    with pytest.raises(InputError, match=message):
        make_record_batch(SPEC, block(**{column: [ROWS[column][0], "cheap"]}))


def test_a_missing_column_is_named():
    columns = {name: values for name, values in block().columns.items() if name != "user"}
    with pytest.raises(InputError, match=r"shop\.csv has no column 'user'; it has color, price"):
        make_record_batch(SPEC, Block(columns, "shop.csv", np.array([2, 3])))


def test_a_feature_is_not_mistaken_for_a_label():
    spec = DatasetSpec(
        "shop", (Numeric(label_column("buy")),), (BinaryTask("buy", "bought", ("yes",)),)
    )
    with pytest.raises(InputError, match="column 'label/buy' is named like the label of a task"):
        make_record_batch(spec, block(**{"label/buy": ["1", "2"]}))


def test_a_description_is_read_back(tmp_path):
    splits = {"train": {"rows": 2, "tasks": {"buy": {"positives": 1}, "stay": {"positives": 1}}}}
    save_description(str(tmp_path), SPEC, splits, "abc")
    assert read_description(str(tmp_path)) == {
        "spec": SPEC,
        "splits": splits,
        "fingerprint": "abc",
    }


def test_what_is_not_a_description_is_rejected(tmp_path):
    with pytest.raises(InputError, match=r"holds no raw examples \(examples\.json is missing\)"):
        read_description(str(tmp_path))
    save_description(str(tmp_path), SPEC, {}, "abc")
    path = tmp_path / "examples.json"
    description = json.loads(path.read_text())
    for damaged in (
        "{",
        "[]",
        json.dumps({k: v for k, v in description.items() if k != "fingerprint"}),
    ):
        path.write_text(damaged)
        with pytest.raises(InputError, match=r"examples\.json is damaged .*; make the examples"):
            read_description(str(tmp_path))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_rows_are_read_in_their_stored_order(tmp_path, ending):
    folder = tmp_path / "Split-test"
    folder.mkdir()
    for shard, rows in enumerate(([b"a", b"b"], [b"c"])):
        options = "GZIP" if ending else None
        with tf.io.TFRecordWriter(f"{folder}/data-{shard}-of-2{ending}", options) as writer:
            for row in rows:
                writer.write(row)
    batches = [
        batch.numpy().tolist() for batch in read_serialized_examples(str(tmp_path), "test", 2)
    ]
    assert batches == [[b"a", b"b"], [b"c"]]
    with pytest.raises(InputError, match="holds no train examples; make them again"):
        list_split_files(str(tmp_path), "train")
