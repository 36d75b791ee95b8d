"""Warnings of preparation about its data."""

import re

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.prepared import PreparedData, save_description
from mptrec_tf.data.prepared_checks import DataChecks, _find_edges
from mptrec_tf.data.prepared_tables import make_feature_rows, make_label_rows
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.survey import survey_block
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.separation import _feature_auc

BUCKETS = 5000


@pytest.fixture
def checks(tmp_path):
    """Prepares data by hand: `rows` by split are ids `c`, numbers `x` and label values `y`."""

    def make(rows, task=None, both=False):
        task = task or BinaryTask("buy", "y", positive="1")
        features = [Categorical("c", hash_buckets=BUCKETS)]
        features += [Categorical("x", hash_buckets=BUCKETS)] if both else []
        spec = DatasetSpec("shop", (*features, Numeric("x")), (task,))
        surveys = {}
        for split in SPLITS:
            columns = rows[split]
            count = len(columns["y"])
            raw = {
                "c": np.array([f"v{i}" for i in columns["c"]], object),
                "x": np.asarray(columns["x"], np.float32),
                "y": np.array([str(value) for value in columns["y"]], object),
            }
            survey = survey_block(spec, Block(raw, split, np.arange(count)))
            surveys[split] = survey.to_dict(spec)
            with tf.io.TFRecordWriter(f"{tmp_path}/{split}-0-of-1.tfrecord") as writer:
                for id_, number, value in zip(columns["c"], raw["x"], raw["y"], strict=True):
                    label = float(value > "3") if task.above else float(value in task.positive)
                    ids = [id_, BUCKETS + id_] if both else [id_]
                    writer.write(example(ids, number, label))
        inputs = (
            InputShape("categorical", len(spec.categorical), BUCKETS * len(spec.categorical)),
            InputShape("numeric", 1),
        )
        save_description(str(tmp_path), spec, inputs, surveys)
        return DataChecks(PreparedData(str(tmp_path)))

    return make


def example(ids, number, label):
    made = tf.train.Example()
    made.features.feature["categorical"].int64_list.value.extend(ids)
    made.features.feature["numeric"].float_list.value.append(number)
    made.features.feature["labels"].float_list.value.append(label)
    return made.SerializeToString(deterministic=True)


def random_rows(seed, count=600, **columns):
    """Random rows."""
    rng = np.random.default_rng(seed)
    plain = {
        "c": rng.integers(0, 30, count),
        "x": rng.normal(size=count),
        "y": rng.integers(0, 2, count),
    }
    return plain | {k: make(plain, rng) for k, make in columns.items()}


def splits(**columns):
    return {
        s: random_rows(i, 1000 if s == "train" else 300, **columns) for i, s in enumerate(SPLITS)
    }


def test_noise_gives_no_warning(checks):
    assert checks(splits()).warnings() == []
    many = splits(c=lambda rows, rng: rng.integers(0, BUCKETS, len(rows["y"])))
    assert checks(many).warnings() == []


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"c": lambda rows, rng: rows["y"] + 2 * rng.integers(0, 40, len(rows["y"]))}, "c"),
        ({"c": lambda rows, _: 1 - rows["y"]}, "c"),
        ({"x": lambda rows, rng: rows["y"] * 10 + rng.random(len(rows["y"]))}, "x"),
        ({"x": lambda rows, rng: -rows["y"] * 10 + rng.random(len(rows["y"]))}, "x"),
        # Neither small nor large numbers, but those at both ends.
        (
            {
                "x": lambda rows, rng: (
                    np.where(rows["y"], 9, 1) * rng.choice([-1, 1], len(rows["y"]))
                    + rng.random(len(rows["y"]))
                )
            },
            "x",
        ),
    ],
)
def test_a_feature_that_reveals_the_label_is_named(checks, columns, name):
    [warning] = [w for w in checks(splits(**columns)).warnings() if "separates" in w]
    sentence = (
        rf"task 'buy': column {name!r} alone separates its labels \((AUC [01]\.\d+) on the va"
    )
    assert re.match(sentence, warning)[1] >= "AUC 0.9990"


def test_a_good_feature_is_not_a_leak(checks):
    def hints(rows, rng):
        return np.where(rng.random(len(rows["y"])) < 0.9, rows["y"], 1 - rows["y"])

    assert checks(splits(c=hints)).warnings() == []


def test_a_leak_of_twenty_rows_is_named(checks):
    few = splits(c=lambda rows, _: rows["y"])
    few["validation"] = random_rows(
        5, 20, y=lambda *_: np.arange(20) % 2, c=lambda *_: np.arange(20) % 2
    )
    assert len([w for w in checks(few).warnings() if "separates" in w]) == 1


def test_few_rows_give_no_warning(checks):
    """Ten rows with five positives have 252 orders: one of them is perfect by chance."""
    few = splits(c=lambda rows, _: rows["y"])
    few["validation"] = random_rows(
        5, 10, y=lambda *_: np.arange(10) % 2, c=lambda *_: np.arange(10) % 2
    )
    assert not [w for w in checks(few).warnings() if "separates" in w]


def test_bins_of_numbers_end_midway():
    """A new value beside a training value counts as that one, whatever is on the other side."""
    assert _find_edges(np.float32([1, 1, 1, 11, 11, 12])).tolist() == [6, 11.5]
    assert _find_edges(np.float32([5, 5])).tolist() == []
    many = _find_edges(np.arange(100_000, dtype=np.float32))
    assert len(many) == 255
    assert np.ptp(np.diff(many)) <= 1


def test_auc_of_a_single_feature():
    # Values 0 and 1 have shares (0 + .5) / 3 and (2 + .5) / 3 in the fitted rows. The one positive
    # is of value 1; of the three negatives two are of value 0 and one ties.
    fitted, labels = np.array([0, 0, 1, 1]), np.array([0.0, 0, 1, 1])
    values, positive = np.array([0, 1, 1, 0]), np.array([False, True, False, False])
    assert _feature_auc(fitted, labels, values, positive) == pytest.approx(2.5 / 3)
    # A value that no fitted row has gets the prior, which is between the others.
    values, positive = np.array([0, 1, 7, 7]), np.array([False, True, False, True])
    # Pairs: (1, 0) 1, (1, 7) 1, (7, 0) 1, (7, 7) 1/2.
    assert _feature_auc(fitted, labels, values, positive) == pytest.approx(3.5 / 4)


def taken(rows, order):
    return {name: np.asarray(values)[order] for name, values in rows.items()}


@pytest.mark.parametrize(
    "order",
    [np.arange(1000), np.random.default_rng(3).permutation(1000), np.arange(100, 400)],
    ids=["copied", "shuffled", "a part"],
)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_training_rows_in_another_split_are_named(checks, order, split):
    rows = splits()
    rows[split] = taken(rows["train"], order)
    assert checks(rows).warnings() == [
        f"all of the {split} rows are training rows, too; metrics on them do not hold for new "
        f"rows: give other rows by --{split}_files."
    ]


def test_nearly_all_rows_are_named_and_a_few_are_not(checks):
    rows = splits()
    train = rows["train"]
    for new, expected in ((15, ["95% of the test rows are training rows, too"]), (150, [])):
        rows["test"] = {
            k: np.concatenate([v[:new], train[k][: 300 - new]]) for k, v in random_rows(9).items()
        }
        assert [w.partition(";")[0] for w in checks(rows).warnings()] == expected


def test_duplicates_by_nature_are_not_suspected(checks):
    """Four categories and two classes: each validation row is like some training rows."""
    few = {"c": lambda rows, _: rows["c"] % 4, "x": lambda rows, _: rows["c"] % 2}
    rows = splits(**few)
    assert checks(rows).warnings() == []
    rows["validation"] = taken(rows["train"], np.arange(1000)[::-1])
    [warning] = checks(rows).warnings()
    assert warning.startswith("all of the validation rows are training rows, too")


@pytest.mark.parametrize(
    ("split", "share", "sentence"),
    [
        ("test", 0.86, "column 'c': 86% of the test rows have values that the training rows do no"),
        ("train", 0.7, "column 'c': 70% of the training rows have values that are too rare for an"),
    ],
)
def test_values_that_are_mostly_unknown(checks, split, share, sentence):
    checked = checks(splits())
    checked.unknown = {"train": {"c": 0.0}, "validation": {"c": 0.5}, split: {"c": share}}
    [warning] = checked.warnings()
    assert warning.startswith(sentence)


@pytest.mark.parametrize(
    ("positive", "other", "similar"),
    [
        ("shipped", "Shipped", True),
        ("shipped", "SHIPPED", True),
        ("shipped", "shiped", True),
        ("not shipped", "not_shipped", True),
        ("shipped", "returned", False),
        ("1", "2", False),
        ("class 1", "class 2", False),
        ("class 1", "Class-1", True),
        ("a", "b", False),
        ("yes", "yes?", True),
    ],
)
def test_values_that_are_similar_to_a_positive_one(checks, positive, other, similar):
    def labels(rows, rng):
        values = np.array([positive, "another thing", other], object)
        return values[rng.integers(0, 3, len(rows["c"]))]

    task = BinaryTask("buy", "y", positive=positive)
    warnings = checks(splits(y=labels), task).warnings()
    sentence = f"task 'buy': label {other!r} ("
    assert [w.startswith(sentence) for w in warnings] == ([True] if similar else [])
    listed = BinaryTask("buy", "y", positive=positive, negative=(other, "another thing"))
    assert checks(splits(y=labels), listed).warnings() == []


@pytest.mark.parametrize(("value", "what"), [("0", "none"), ("1", "each")])
def test_labels_of_one_side(checks, value, what):
    rows = splits()
    rows["test"]["y"] = [value] * 300
    assert checks(rows).warnings() == [
        f"task 'buy': {what} of the 300 test rows is positive; check what column 'y' holds and "
        "what counts as positive."
    ]


def spiky(rows, rng):
    return np.where(rng.random(len(rows["y"])) < 0.65, 0, np.round(rows["x"], 2))


def test_spiky_numbers_may_be_categories_too(checks):
    [warning] = checks(splits(x=spiky)).warnings()
    assert "have one value in these numeric features: x (6" in warning
    assert "% are 0); list them under categorical, too" in warning
    assert checks(splits(x=spiky), both=True).warnings() == []
    flags = splits(x=lambda rows, rng: 1.0 * (rng.random(len(rows["y"])) < 0.1))
    assert checks(flags).warnings() == []


def table(rows):
    return [tuple(row.values()) for row in rows]


def test_the_table_of_labels(checks):
    rows = splits()
    rows["test"]["y"] = ["1"] * 100 + ["no"] * 200
    data = checks(rows)._data
    ones = [int(np.sum(rows[split]["y"])) for split in SPLITS[:2]]
    assert table(make_label_rows(data)) == [
        ("buy", "y", "'1'", "positive", *ones, 100),
        ("buy", "y", "'0'", "negative", 1000 - ones[0], 300 - ones[1]),
        ("buy", "y", "'no'", "negative", 200),
    ]


def test_the_table_of_many_labels_and_of_thresholds(checks):
    rows = splits(y=lambda rows, _: rows["c"])
    table_rows = make_label_rows(checks(rows)._data)
    assert len(table_rows) == 20 + 1 + ("'1'" not in {row["value"] for row in table_rows})
    assert table_rows[-1]["value"] == "others"
    assert sum(row["train"] for row in table_rows) == 1000
    data = checks(splits(y=lambda rows, _: rows["c"] % 6), BinaryTask("long", "y", above=3))._data
    assert [row[:4] for row in table(make_label_rows(data))] == [
        ("long", "y", "up to 3", "negative"),
        ("long", "y", "above 3", "positive"),
    ]


def test_the_table_of_features(checks):
    rows = {
        split: random_rows(1, 4, c=lambda *_: [1, 1, 2, 3], x=lambda *_: [1, 1, 1, 2])
        for split in SPLITS
    }
    checked = checks(rows, both=True)
    checked.unknown = {split: {"c": 0.25 * i} for i, split in enumerate(SPLITS)}
    missing = "0.0% / 0.0% / 0.0%"
    assert table(make_feature_rows(checked._data, checked)) == [
        ("c", "hashed", "0.0% / 25.0% / 50.0%", missing, "3 / 3 / 3"),
        ("x", "hashed and number", "", missing, "2 / 2 / 2"),
    ]
