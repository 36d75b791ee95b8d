"""Specs of kinds with one value per row: YAML, JSON, what stays as it was, and every error."""

import json

import pytest

from mptrec_tf.data.features.ages import Age
from mptrec_tf.data.features.buckets import Buckets
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.crosses import Cross
from mptrec_tf.data.features.input_shape import InputShape, Table
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.features.times import Time
from mptrec_tf.data.features.widths import group_by_width
from mptrec_tf.data.spec import DatasetSpec, SpecError
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.storage.plain import from_plain, to_plain

TEXT = """\
name: shop
categorical:
  - {name: sku, hash_buckets: 100, hashes: 2, table: ids}
  - {name: user, hash_buckets: 100, table: ids}
  - {name: city, oov_buckets: 10, width: 8}
numeric: [{name: price, missing: mean}, {name: age, missing: 0}]
buckets: [age, {name: price, buckets: 5, width: 2}]
times: [{name: at, parts: [hour, month]}]
ages: [at]
crosses: [{name: city_x_device, of: [city, device], hash_buckets: 50}]
tasks: [{name: buy, label: bought, positive: 1}]
"""
FEATURES = (
    Categorical("sku", hash_buckets=100, hashes=2, table="ids"),
    Categorical("user", hash_buckets=100, table="ids"),
    Categorical("city", oov_buckets=10, width=8),
    Numeric("price", missing="mean"),
    Numeric("age", missing="0"),
    Buckets("age"),
    Buckets("price", 5, 2),
    Time("at", ("hour", "month")),
    Age("at"),
    Cross("city_x_device", ("city", "device"), 50),
)
TASKS = (BinaryTask("buy", "bought", positive="1"),)


def make(*features, **fields):
    return DatasetSpec("shop", features, TASKS, **fields)


def test_yaml_and_json():
    spec = make(*FEATURES)
    assert parse(TEXT, "shop.yaml") == spec
    assert DatasetSpec.from_json(spec.to_json()) == spec
    assert spec.feature_names == ("sku", "user", "city", "price", "age", "at", "device")
    types = {**dict.fromkeys(("sku", "user", "city", "at", "device"), "text")}
    assert spec.column_types == types | {"price": "number", "age": "number"}
    assert list(spec.raw_columns) == ["sku", "user", "city", "at", "device", "price", "age"]


def test_what_is_not_used_is_not_written():
    spec = make(Categorical("city"), Numeric("age"))
    sections = json.loads(spec.features_json())
    assert sections["categorical"] == [
        {"name": "city", "min_count": 1, "hash_buckets": None, "exact": False}
    ]
    assert sections["numeric"] == [{"name": "age", "scale": "min_max"}]
    assert set(sections) == {"categorical", "numeric", "missing_values"}
    assert to_plain(InputShape("categorical", 2, 5)) == {
        "kind": "categorical",
        "columns": 2,
        "rows": 5,
    }
    shape = InputShape(
        "categorical", 2, 5, tables=group_by_width([None, 8], [(0, 0, 3), (1, 3, 2)])
    )
    assert from_plain(InputShape, json.loads(json.dumps(to_plain(shape)))) == shape


def test_numbers_may_be_missing_where_all_features_take_that():
    spec = make(
        Numeric("a", missing="mean"),
        Numeric("b"),
        Buckets("b"),
        Buckets("c"),
        Categorical("d"),
        Buckets("d"),
        Categorical("e"),
    )
    assert spec.optional_numbers == {"a", "c", "d"}
    assert spec.missing_of("b") is None
    assert spec.missing_of("c") == spec.missing_values


def test_tables_of_widths():
    ranges = [(0, 0, 5), (1, 5, 10), (2, 5, 10), (3, 15, 3), (4, 18, 2)]
    assert group_by_width([None] * 5, ranges) == ()
    # Columns 1 and 2 share their ids.
    assert group_by_width([None, 8, 8, None, 2], ranges) == (
        Table(None, 8, (0, 3), (0, -10)),
        Table(2, 2, (4,), (-18,)),
        Table(8, 10, (1, 2), (-5, -5)),
    )
    shape = InputShape("k", 5, 20, tables=group_by_width([None, 8, 8, None, 2], ranges))
    assert Categorical.input_width(shape, 4) == 2 * 4 + 2 + 2 * 8
    assert Categorical.input_width(shape.widen(3), 3 * 4) == 3 * (2 * 4 + 2 + 2 * 8)


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (Numeric("x", missing="median"), "missing must be reject, mean or a number"),
        (Numeric("x", missing="inf"), "that is filled in, not 'inf'"),
        (Numeric("x", missing=""), "that is filled in, not ''"),
        (Categorical("x", width=0), "'x': width must be 1 or more, not 0"),
        (Categorical("x", oov_buckets=0), "oov_buckets must be 1 or more, not 0"),
        (Categorical("x", oov_buckets=2, hash_buckets=2), "give oov_buckets or hash_buckets"),
        (Categorical("x", hashes=2), "hashes and table need hash_buckets"),
        (Categorical("x", table="t"), "hashes and table need hash_buckets"),
        (Categorical("x", hash_buckets=2, hashes=0), "hashes must be 1 or more, not 0"),
        (Buckets("x", 1), "buckets must be 2 to 1024, not 1"),
        (Buckets("x", width=-1), "width must be 1 or more, not -1"),
        (Time("x", ("hour", "year")), "parts must be some of hour, weekday, day, month, each once"),
        (Time("x", ("hour", "hour")), "each once, not hour, hour"),
        (Time("x", ()), "each once, not none"),
        (Time("x", width=0), "width must be 1 or more"),
        (Age("x", "min_max"), "scale must be one of log, standard, not 'min_max'"),
        (Cross("x", ("a",)), "a cross is `of` two or more columns, each once, not a"),
        (Cross("x", ("a", "a")), "each once, not a, a"),
        (Cross("x"), "each once, not none"),
        (Cross("a", ("a", "b")), "cross 'a' needs a name that is not a column's"),
        (Cross("x", ("a", "b"), 0), "hash_buckets must be 1 or more, not 0"),
        (Cross("x", ("a", "b"), width=0), "width must be 1 or more"),
        (Cross("x", ("a", "bought")), "'bought' is the label of task 'buy'"),
    ],
)
def test_errors(feature, message):
    with pytest.raises(SpecError, match=message):
        make(feature, Categorical("y"))


@pytest.mark.parametrize("change", [{"hash_buckets": 5}, {"hash_buckets": 9, "width": 8}])
def test_a_table_has_one_size(change):
    with pytest.raises(SpecError, match=r"'b': (hash_buckets|width) of table 't' is . here and"):
        make(Categorical("a", hash_buckets=9, table="t"), Categorical("b", table="t", **change))


def test_a_time_is_no_number():
    with pytest.raises(SpecError, match="'x' is text for one of its features and a number for"):
        make(Time("x"), Numeric("x"))


def test_errors_name_lines():
    bad = TEXT.replace("of: [city, device], ", "").replace("missing: mean", "missing: yes")
    with pytest.raises(InputError) as error:
        parse(bad, "shop.yaml")
    message = str(error.value)
    assert "shop.yaml, line 6: 'price': missing must be reject, mean or a number" in message
    assert "shop.yaml, line 10: 'city_x_device': a cross is `of` two or more" in message
    text = TEXT.replace("{name: city_x_device, of: [city, device], hash_buckets: 50}", "a_x_b")
    with pytest.raises(InputError, match="line 10: 'a_x_b': a cross is `of` two or more columns"):
        parse(text, "shop.yaml")
