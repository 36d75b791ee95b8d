"""The preprocessing graph on a few rows, against numbers worked out by hand.

The graph is fitted by `prepare`, on the eight training rows, and then run on the test rows too.
"""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from mptrec_tf.data.canonical import MISSING
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.sources.tabular import Tabular
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.transform.graph import Preprocessing, make_preprocessing_fn
from mptrec_tf.data.transform.statistics import read_fitted_values

SPEC = DatasetSpec(
    name="by hand",
    features=(
        Categorical("color"),
        Categorical("shop", hash_buckets=3),
        Categorical("size", min_count=2),
        Categorical("street (old)", hash_buckets=5),
        Numeric("price"),
        Numeric("age", "standard"),
        Numeric("income", "log"),
        Numeric("big", "standard"),
        Numeric("same"),
        Numeric("same_too", "standard"),
    ),
    tasks=(BinaryTask("buy", "bought", positive="1"),),
)
E2 = math.exp(2) - 1  # log(1 + E2) = 2
ROWS = {
    "train": {
        "color": ["red", "red", "red", "blue", "blue", "green", "", "amber"],
        "shop": ["a", "b", "c", "d", "a", "b", "c", "d"],
        "size": ["S", "S", "M", "M", "L", "XL", "XXL", "2\n3"],
        "street (old)": ["x", "x", "x", "x", "y", "y", "y", "y"],
        "price": [10, 20, 30, 40, 50, 60, 30, 30],
        "age": [2, 4, 4, 4, 5, 5, 7, 9],  # mean 5, deviation 2
        "income": [0, 0, 0, 0, E2, E2, E2, E2],  # logs: mean 1, deviation 1
        "big": [16777216, 16777218] * 4,  # mean 16777217, which float32 does not have
        "same": [0.1] * 8,
        "same_too": [0.1] * 8,
        "bought": [1, 0] * 4,
    },
    "test": {
        "color": ["red", "purple", "", "amber"],
        "shop": ["a", "new", "", "c"],
        "size": ["S", "XL", "", "M"],
        "street (old)": ["x", "y", "z", ""],
        "price": [35, 0, 100, 60],
        "age": [5, 9, 15, -1],
        "income": [E2, 0, -E2, math.exp(4) - 1],
        "big": [16777216, 16777220, 0, 16777218],
        "same": [0.1, 5, -5, 0],
        "same_too": [0.1, 5, -5, 0],
        "bought": [1, 0, 1, 0],
    },
}
# The hashed features come first: shop has ids 0 to 2, "street (old)" 3 to 7. Then color: red 8,
# blue 9, missing 10, amber 11 and green 12 (equal counts go by name), everything else 13. Then
# size: M 14, S 15, everything else 16: no training row lacks its size.
COLOR = {"red": 8, "blue": 9, "": 10, "amber": 11, "green": 12}
SIZE = {"M": 14, "S": 15}
# Other spellings of the same values.
SPELLINGS = {
    "color": [" red\t", "\u00a0amber", "NA", "None", "nan", "?", "Red", "red"],
    "shop": ["a ", " new", "NULL", "", "-", "\\N", " 3.0", "+3"],
    "size": ["M\n", " S", "", "na", "XL ", "m", "M", "S"],
    "street (old)": ["TRUE", "true", "1.0", "1", "01", "1.0E1", "10", "nil"],
}
CANONICAL = {
    "color": ["red", "amber", "\t", "\t", "\t", "\t", "Red", "red"],
    "shop": ["a", "new", "\t", "\t", "\t", "\t", "3", "3"],
    "size": ["M", "S", "\t", "\t", "XL", "m", "M", "S"],
    "street (old)": ["true", "true", "1", "1", "01", "10", "10", "\t"],
}


def write_csv(path, columns):
    def quoted(value):
        return f'"{value}"' if isinstance(value, str) else repr(value)

    rows = [",".join(columns)]
    rows += [",".join(map(quoted, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(rows) + "\n")
    return [str(path)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("by_hand")
    files = {split: write_csv(folder / f"{split}.csv", rows) for split, rows in ROWS.items()}
    return prepare(Tabular(SPEC, {**files, "validation": files["test"]}), f"{folder}/data")


def packed(data, split):
    [batch] = tf.data.TFRecordDataset(data.files(split)).batch(100).map(data.parse)
    return {name: column.numpy() for name, column in batch.items()}


def bucket(values, buckets):
    values = [value or MISSING for value in values]
    return tf.strings.to_hash_bucket_fast(values, buckets).numpy()


@pytest.mark.parametrize("split", ["train", "test"])
def test_packed_ids(data, split):
    rows = ROWS[split]
    ids = packed(data, split)["categorical"]
    assert ids.dtype == np.int64
    color, shop, size, street = ids.T
    assert color.tolist() == [COLOR.get(value, 13) for value in rows["color"]]
    assert shop.tolist() == bucket(rows["shop"], 3).tolist()
    assert size.tolist() == [SIZE.get(value, 16) for value in rows["size"]]
    assert street.tolist() == (3 + bucket(rows["street (old)"], 5)).tolist()


def test_ids_of_the_table(data):
    rows = {of.kind: of.rows for of in data.inputs}
    assert rows["categorical"] == 3 + 5 + 6 + 3


def test_the_vocabulary_file(data):
    vocabulary = tft.TFTransformOutput(data.transform_dir).vocabulary_by_name("vocabulary")
    assert vocabulary == [
        b"color\tred",
        b"color\tblue",
        b"color\t\t",
        b"color\tamber",
        b"color\tgreen",
        b"color\t",
        b"size\tM",
        b"size\tS",
        b"size\t",
    ]


def test_min_max_scale(data):
    # Smallest 10, largest 60, in the training rows; others are clipped.
    by_split = {s: packed(data, s)["numeric"][:, 0] for s in ("train", "test")}
    np.testing.assert_allclose(by_split["train"], [0, 0.2, 0.4, 0.6, 0.8, 1, 0.4, 0.4], rtol=1e-6)
    np.testing.assert_allclose(by_split["test"], [0.5, 0, 1, 1], rtol=1e-6)


def test_standard_scale(data):
    by_split = {s: packed(data, s)["numeric"][:, 1] for s in ("train", "test")}
    expected = [-1.5, -0.5, -0.5, -0.5, 0, 0, 1, 2]
    np.testing.assert_allclose(by_split["train"], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(by_split["test"], [0, 2, 5, -3], rtol=1e-6, atol=1e-6)


def test_log_scale(data):
    by_split = {s: packed(data, s)["numeric"][:, 2] for s in ("train", "test")}
    np.testing.assert_allclose(by_split["train"], [-1] * 4 + [1] * 4, rtol=1e-5)
    # Logs 2, 0, -2 and 4.
    np.testing.assert_allclose(by_split["test"], [1, -1, -3, 3], rtol=1e-5)


def test_large_numbers_that_differ_little(data):
    by_split = {s: packed(data, s)["numeric"][:, 3] for s in ("train", "test")}
    np.testing.assert_allclose(by_split["train"], [-1, 1] * 4, rtol=1e-6)
    np.testing.assert_allclose(by_split["test"], [-1, 3, -16777217, 1], rtol=1e-6)


def test_constant_features_become_0(data):
    for split in ("train", "test"):
        assert not packed(data, split)["numeric"][:, 4:].any()


def domains_of(data):
    numeric = data.spec.numeric
    domains = Numeric.domains(data.spec, numeric, tft.TFTransformOutput(data.transform_dir))
    return {feature.name: of for feature, of in zip(numeric, domains, strict=True)}


def test_domains_of_numbers(data):
    domains = domains_of(data)
    names = [feature.name for feature in SPEC.numeric]
    assert list(domains) == names
    values = np.array(ROWS["train"][names[1]])
    for name, expected in zip(
        names,
        (
            {"low": 10.0, "high": 60.0},
            {"mean": values.mean(), "deviation": values.std()},
            {"mean": 1.0, "deviation": 1.0},  # of logs
            {"mean": 16777217.0, "deviation": 1.0},
            {"constant": True},
            {"constant": True},
        ),
        strict=True,
    ):
        known = {k: v for k, v in domains[name].items() if k not in ("finite", "scale")}
        assert known == pytest.approx(expected, rel=1e-6)


# Two values of a column each: the smallest and the largest.
ENDS = [(0, 90), (0, 99999), (-5, 0), (-1e6, 52), (0.25, 0.75), (94, 95), (-3, -1), (19.99, 1e30)]


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """Data with a column for each of `ENDS`, scaled in two ways."""
    spec = DatasetSpec(
        "ends",
        tuple(
            Numeric(f"{scale}{i}", scale)
            for i in range(len(ENDS))
            for scale in ("min_max", "standard")
        ),
        (BinaryTask("buy", "bought", positive="1"),),
    )
    folder = tmp_path_factory.mktemp("ends")
    lines = [",".join([*spec.feature_names, "bought"])]
    lines += [
        ",".join([repr(of[end]) for of in ENDS for _ in range(2)] + [str(end)]) for end in (0, 1)
    ]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    files = {split: [str(folder / "rows.csv")] for split in ("train", "validation", "test")}
    return prepare(Tabular(spec, files), str(folder / "data"))


def test_ends_of_a_range_are_those_of_the_training_rows(ends):
    domains = domains_of(ends)
    for i, (low, high) in enumerate(ENDS):
        assert (domains[f"min_max{i}"]["low"], domains[f"min_max{i}"]["high"]) == (low, high)


def test_means_and_deviations_of_all_sizes_are_those_of_the_training_rows(ends):
    domains = domains_of(ends)
    for i, values in enumerate(ENDS):
        of = domains[f"standard{i}"]
        assert of["mean"] == pytest.approx(np.mean(values), rel=1e-6)
        assert of["deviation"] == pytest.approx(np.std(values), rel=1e-6)


def test_a_graph_without_names_has_no_domain(ends):
    transform = tft.TFTransformOutput(ends.transform_dir)
    assert read_fitted_values(transform, ["numeric_shift", "other"]).keys() == {"numeric_shift"}
    assert Numeric.describe_domain({"finite": True, "scale": "log"}) == "any finite number"


def test_the_graph_gives_the_same(data):
    """As in an exported model."""
    layer = tft.TFTransformOutput(data.transform_dir).transform_features_layer()
    raw = {
        name: tf.constant(ROWS["test"][name], field.dtype)
        for name, field in raw_feature_spec(SPEC).items()
    }
    prepared = packed(data, "test")
    for rows in (slice(None), slice(0, 1), slice(0, 0)):
        packed_again = layer({name: column[rows] for name, column in raw.items()})
        assert packed_again.keys() == {"categorical", "numeric"}
        for name in packed_again:
            np.testing.assert_array_equal(packed_again[name], prepared[name][rows])


def test_spellings_of_one_value_have_one_id(data):
    graph = Preprocessing(data.transform_dir)
    numbers = {feature.name: tf.zeros([8]) for feature in SPEC.numeric}
    spelled, same = (
        graph({**numbers, **{name: tf.constant(v) for name, v in columns.items()}})["categorical"]
        for columns in (SPELLINGS, CANONICAL)
    )
    np.testing.assert_array_equal(spelled, same)
    color, shop, size, _ = spelled.numpy().T
    assert color.tolist() == [8, 11, 10, 10, 10, 10, 13, 8]
    assert shop.tolist() == bucket(CANONICAL["shop"], 3).tolist()
    assert size.tolist() == [14, 15, 16, 16, 16, 16, 14, 15]


def test_raw_feature_spec_has_features_only():
    features = raw_feature_spec(SPEC)
    assert list(features) == list(SPEC.feature_names)
    assert features["color"] == tf.io.FixedLenFeature([], tf.string)
    assert features["age"] == tf.io.FixedLenFeature([], tf.float32)


def test_only_hashed_features_need_no_fitting():
    spec = DatasetSpec("h", (Categorical("a", hash_buckets=4),), SPEC.tasks)
    outputs = make_preprocessing_fn(spec)({"a": tf.constant(["x", "y"])})
    assert outputs["categorical"].numpy().tolist() == [[i] for i in bucket(["x", "y"], 4)]


def test_exact_text_is_another_value():
    features = (
        Categorical("a", hash_buckets=1000),
        Categorical("b", hash_buckets=1000, exact=True),
    )
    spec = DatasetSpec("h", features, SPEC.tasks)
    values = tf.constant(["x", " x", "1.0", "1", "NA", ""])
    ids = make_preprocessing_fn(spec)({"a": values, "b": values})["categorical"].numpy()
    assert ids[:, 0].tolist() == bucket(["x", "x", "1", "1", "", ""], 1000).tolist()
    exact = tf.strings.to_hash_bucket_fast(values, 1000).numpy() + 1000
    assert ids[:, 1].tolist() == exact.tolist()
