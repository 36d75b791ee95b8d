import itertools
import json

import numpy as np
import pytest

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.survey import Survey, survey_block
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.label_survey import MOST_VALUES

SPEC = DatasetSpec(
    "shop",
    (
        Categorical("city"),
        Categorical("code", exact=True),
        Categorical("price", min_count=2),
        Numeric("price"),
    ),
    (BinaryTask("buy", "bought", positive="yes"), BinaryTask("stay", "seconds", above=30)),
)
ROWS = {
    "city": ["Bern", " Bern", "3.0", "3", "NA", "", "TRUE", "true", "Thun"],
    "code": ["1", "1.0", "", "NA", " 1", "1", "1", "1", "1"],
    "price": ["1", "1.0", "0", "0", "0", "-0.0", "2.5", "0", "7"],
    "bought": ["yes", " yes", "no", "No", "no", "7", "7.0", "yes", "no"],
    "seconds": ["31", "30", "0", "1e3", "30.5", "12", "29", "4", "5"],
}


def block(rows=slice(None), is_examples=False, **changes):
    columns = {
        name: values[rows] if isinstance(values, np.ndarray) else np.array(values, object)[rows]
        for name, values in (ROWS | changes).items()
    }
    count = len(columns["city"])
    return Block(columns, "shop.csv", np.arange(count) + 2, is_examples=is_examples)


def merged(*surveys):
    whole = Survey()
    for survey in surveys:
        whole.add(survey)
    return whole.to_dict(SPEC)


def test_a_survey_of_rows():
    assert survey_block(SPEC, block()).to_dict(SPEC) == {
        "rows": 9,
        "tasks": {"buy": {"positives": 3}, "stay": {"positives": 3}},
        "labels": {
            "buy": [
                {"value": "yes", "label": 1, "rows": 3},
                {"value": "no", "label": 0, "rows": 3},
                {"value": "7", "label": 0, "rows": 2},
                {"value": "No", "label": 0, "rows": 1},
            ],
            "stay": [
                {"value": "0 to 30", "label": 0, "rows": 6},
                {"value": "30.5 to 1000", "label": 1, "rows": 3},
            ],
        },
        "columns": {
            # Bern, 3, true, Thun
            "city": {"missing": 2, "distinct": 4, "most_frequent": None, "types": []},
            # "1", "1.0", "NA", " 1": exact
            "code": {"missing": 1, "distinct": 4, "most_frequent": None, "types": []},
            # 0, 1, 2.5, 7
            "price": {
                "missing": 0,
                "distinct": 4,
                "most_frequent": {"value": 0.0, "rows": 5},
                "types": [],
            },
        },
    }


def test_merging_in_any_way_gives_the_same():
    whole = survey_block(SPEC, block()).to_dict(SPEC)
    parts = [slice(0, 2), slice(2, 3), slice(3, 7), slice(7, 9)]

    def by_value(survey):
        return survey | {
            "labels": {
                task: sorted(values, key=lambda f: (f["value"], f["label"]))
                for task, values in survey["labels"].items()
            }
        }

    for order in itertools.permutations(parts):
        a, b, c, d = (survey_block(SPEC, block(rows)) for rows in order)
        left, right = Survey(), Survey()
        for survey, of in ((left, (a, b)), (right, (c, d))):
            for part in of:
                survey.add(part)
        left.add(right)
        assert by_value(left.to_dict(SPEC)) == by_value(whole)
    assert by_value(merged(*(survey_block(SPEC, block(rows)) for rows in parts))) == by_value(whole)


def test_merging_leaves_the_parts_as_they_were():
    first, second = survey_block(SPEC, block(slice(0, 4))), survey_block(SPEC, block(slice(4, 9)))
    before = first.to_dict(SPEC), second.to_dict(SPEC)
    merged(first, second)
    merged(second, first, first)
    assert (first.to_dict(SPEC), second.to_dict(SPEC)) == before


def test_no_rows():
    empty = survey_block(SPEC, block(slice(0, 0)))
    assert empty.to_dict(SPEC)["rows"] == 0
    whole = survey_block(SPEC, block())
    assert merged(empty, whole) == merged(whole) == merged(whole, empty)


def test_plain_data():
    survey = survey_block(SPEC, block()).to_dict(SPEC)
    assert json.loads(json.dumps(survey)) == survey


def of_values(values, numbers):
    count = len(values)
    columns = {
        "city": np.array(values, object),
        "code": np.full(count, "1", object),
        "price": np.asarray(numbers, np.float32),
        "bought": np.array(values, object),
        "seconds": np.full(count, 1.0),
    }
    return survey_block(SPEC, Block(columns, "rows", np.arange(count)))


def survey_values(count, repeat=2):
    """So many distinct values, each met several times, in blocks."""
    numbers = np.tile(np.arange(count), repeat)
    np.random.default_rng(0).shuffle(numbers)
    return merged(
        *(of_values([f"v{n}" for n in part], part) for part in np.array_split(numbers, 20))
    )["columns"]


@pytest.mark.parametrize("count", [1, 1000, 4095])
def test_few_distinct_values_are_counted(count):
    survey = survey_values(count)
    assert survey["city"]["distinct"] == survey["price"]["distinct"] == count


@pytest.mark.parametrize("count", [5000, 100_000])
def test_many_distinct_values_are_estimated(count):
    survey = survey_values(count)
    assert survey["city"]["distinct"] == pytest.approx(count, rel=0.05)
    assert survey["price"]["distinct"] == pytest.approx(count, rel=0.05)


def test_a_surveys_size_does_not_grow_with_the_rows():
    whole = Survey()
    for start in range(0, 40_000, 2000):
        numbers = np.arange(start, start + 2000)
        numbers[::3] = 5  # a value with a third of all rows
        whole.add(of_values([f"v{n}" for n in numbers], numbers))
    assert len(whole.columns["city"].hashes) == 4096
    assert len(whole.columns["price"].counts) <= 2 * MOST_VALUES
    assert len(whole.labels["buy"].values) <= 2 * MOST_VALUES
    survey = whole.to_dict(SPEC)
    # 667 of each 2000 rows; 5 itself stands in the first block once more.
    assert survey["columns"]["price"]["most_frequent"] == {"value": 5.0, "rows": 20 * 667 + 1}
    assert survey["labels"]["buy"][0] == {"value": "v5", "label": 0, "rows": 20 * 667 + 1}


def test_types_of_examples_that_are_not_the_features_own():
    natural = block(is_examples=True, price=np.arange(9, dtype=np.float32))
    types = {k: v["types"] for k, v in survey_block(SPEC, natural).to_dict(SPEC)["columns"].items()}
    assert types == {"city": [], "code": [], "price": []}
    other = block(
        is_examples=True,
        city=np.arange(9),
        code=np.arange(9, dtype=np.float32),
        price=np.arange(9),
    )
    survey = merged(survey_block(SPEC, natural), survey_block(SPEC, other))["columns"]
    assert {k: v["types"] for k, v in survey.items()} == {
        "city": ["int64"],
        "code": ["float"],
        "price": ["int64"],
    }
    assert survey["city"]["distinct"] == 4 + 9 - 1  # 3 is in both
    mixed = block(is_examples=True, city=np.array([*"abcd", 5, 6, 7, 8.5, 9], object))
    types = survey_block(SPEC, mixed).columns["city"].types
    assert types == {"int64", "float"}
