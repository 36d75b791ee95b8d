"""Options of tasks that weigh, sample and calibrate: in specs, in rows and in plain data."""

import dataclasses

import numpy as np
import pytest

from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.labels import has_task_weights, make_task_weights, weights_of_task
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.data.survey import survey_block
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.registry import task_from_plain
from mptrec_tf.data.tasks.regression import RegressionTask
from mptrec_tf.errors import InputError

NAN = np.nan
CLICK = BinaryTask("click", "clicked", "1", sample_negatives=0.25)
BUY = BinaryTask("buy", "bought", "1", where={"clicked": 1}, weight="price")
SPEC = DatasetSpec("shop", (Numeric("age"),), (CLICK, BUY), weight="w")


def make_block(**columns):
    arrays = {name: np.array(values, object) for name, values in columns.items()}
    return Block(arrays, "a.csv", np.arange(2, len(arrays["age"]) + 2))


@pytest.fixture
def block():
    return make_block(
        age=["1"] * 4,
        clicked=["1", "0", "1", "0"],
        bought=["1", "0", "0", "1"],
        price=["3", "", "5", "none"],  # rows without a label need no weight
        w=["1", "2", "0.5", "1"],
    )


def labels_of(spec, block):
    return np.stack([task.labels(block, spec.missing_values) for task in spec.tasks], axis=1)


def test_all_weights_of_a_row_are_multiplied(block):
    labels = labels_of(SPEC, block)
    np.testing.assert_array_equal(labels, [[1, 1], [0, NAN], [1, 0], [0, NAN]])
    actual = make_task_weights(SPEC, block, labels, sampled=False)
    np.testing.assert_array_equal(actual, [[1, 3], [2, 0], [0.5, 2.5], [1, 0]])


def test_rows_that_stand_for_others_count_as_those(block):
    """Of negatives of click a quarter is kept: for all other tasks each counts four times."""
    spec = dataclasses.replace(SPEC, tasks=(CLICK, BinaryTask("b", "bought", "1")), weight=None)
    labels = labels_of(spec, block)
    actual = make_task_weights(spec, block, labels, sampled=True)
    np.testing.assert_array_equal(actual, [[1, 1], [1, 4], [1, 1], [1, 4]])
    actual = make_task_weights(spec, block, labels, sampled=False)
    np.testing.assert_array_equal(actual, np.ones([4, 2]))


def test_only_such_tasks_have_weights_of_their_own(block):
    plain = dataclasses.replace(SPEC, tasks=(BinaryTask("b", "bought", "1"),))
    assert not has_task_weights(plain)
    assert all(has_task_weights(dataclasses.replace(SPEC, tasks=(task,))) for task in (CLICK, BUY))
    assert weights_of_task(None, 1) is None
    of_all, by_task = np.ones(3), np.eye(3)
    assert weights_of_task(of_all, 1) is of_all
    np.testing.assert_array_equal(weights_of_task(by_task, 1), [0, 1, 0])


@pytest.mark.parametrize(
    ("price", "message"),
    [
        (["3", "", "-5", ""], r"a\.csv, line 4, column 'price': the weight -5 is negative"),
        (["3", "", "five", ""], r"a\.csv, line 4, column 'price': 'five' is not a finite number"),
    ],
)
def test_a_wrong_weight_has_its_place(block, price, message):
    block = dataclasses.replace(block, columns=block.columns | {"price": np.array(price, object)})
    with pytest.raises(InputError, match=message):
        make_task_weights(SPEC, block, labels_of(SPEC, block), sampled=True)


def test_a_survey_sums_weights(block):
    survey = survey_block(SPEC, block)
    survey.add(survey_block(SPEC, block))
    assert survey.to_dict(SPEC)["tasks"] == {
        "click": {"positives": 4},
        "buy": {"rows": 4, "positives": 2, "weight": 16.0},
    }


def test_plain_data_of_tasks_without_these_options_are_as_before():
    plain = BinaryTask("click", "clicked", "1").to_plain()
    assert list(plain) == [
        *("kind", "name", "label", "where", "missing"),
        *("positive", "negative", "above", "known_probability", "exact"),
    ]
    assert "knots" not in RegressionTask("watch", "seconds").to_plain()


def test_a_round_trip():
    task = dataclasses.replace(
        CLICK, weight="w", positive_weight=5.0, calibrate="isotonic", knots=((0.0, 0.0), (1.0, 1.0))
    )
    plain = task.to_plain()
    assert plain["knots"] == [[0, 0], [1, 1]]
    assert task_from_plain(plain) == task
    assert hash(task_from_plain(plain)) == hash(task)


def test_the_way_it_is_trained_does_not_make_another_task():
    plain = BinaryTask("click", "clicked", "1")
    assert plain.same_rule(
        dataclasses.replace(CLICK, positive_weight=2.0, calibrate="none", knots=((0, 0), (1, 1)))
    )
    assert not plain.same_rule(dataclasses.replace(plain, weight="w"))


def test_corrections_of_the_logit():
    assert BinaryTask("click", "clicked", "1").logit_correction == 0
    assert CLICK.logit_correction == pytest.approx(-np.log(4))
    both = dataclasses.replace(CLICK, positive_weight=5.0)
    assert both.logit_correction == pytest.approx(-np.log(20))
    assert RegressionTask("watch", "seconds").logit_correction == 0


SPEC_TEXT = """\
name: shop
numeric: [age, price]
weight: w
tasks:
  - {name: view, label: viewed, positive: 1, sample_negatives: 0.5}
  - {name: buy, label: bought, positive: 1, KEYS}
"""


def test_a_spec_has_these_keys():
    keys = "weight: v, positive_weight: 5, calibrate: isotonic"
    assert parse(SPEC_TEXT.replace("KEYS", keys), "a").tasks[1] == BinaryTask(
        "buy", "bought", "1", weight="v", positive_weight=5.0, calibrate="isotonic"
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            "calibrate: beta",
            "line 6: task 'buy': calibrate must be platt, isotonic or none, not 'beta'",
        ),
        ("positive_weight: 0", "line 6: task 'buy': positive_weight must be a number above 0"),
        ("positive_weight: .inf", "line 6: positive_weight must be a number"),
        ("positive_weight: heavy", "line 6: positive_weight must be a number, not 'heavy'"),
        (
            "sample_negatives: 10",
            "line 6: task 'buy': sample_negatives must be a share above 0 and up to 1, not 10",
        ),
        ("sample_negatives: few", "line 6: sample_negatives must be a number, not 'few'"),
        (
            "sample_negatives: 0.1",
            "line 6: task 'buy': only one task may leave out training rows, and 'view' does",
        ),
        ("weight: w", "line 6: task 'buy': column 'w' weighs the rows of all tasks already; leave"),
        ("weight: bought", "line 6: task 'buy': weight names its own label column 'bought'"),
        ("weight: price", "line 2: column 'price' is a weight, not a feature"),
        ("weight: [a, b]", "line 6: weight must be text"),
    ],
)
def test_what_is_wrong_with_them_is_named(keys, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        parse(SPEC_TEXT.replace("KEYS", keys), "shop.yaml")


def test_a_kind_without_such_a_map_rejects_it():
    class Plain(BinaryTask):
        calibrations = ("platt", "none")

    [sentence] = Plain("click", "clicked", "1", calibrate="isotonic").problems(())
    assert sentence == "task 'click': calibrate must be platt or none, not 'isotonic'"
