"""Tasks that only some rows have a label of."""

import numpy as np
import pytest

from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.label_checks import check_any_label
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.data.survey import survey_block
from mptrec_tf.data.tasks.base import drop_unlabelled
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.tasks.registry import task_from_plain
from mptrec_tf.errors import InputError

MISSING = ("", "NA")
NAN = np.nan


def make_block(**columns):
    arrays = {name: np.array(values, object) for name, values in columns.items()}
    rows = len(next(iter(arrays.values())))
    return Block(arrays, "a.csv", np.arange(2, rows + 2))


CLICKS = ["1", "0", "1.0", "1", "0"]
BUYS = ["yes", "no", "no", "NA", "odd"]


@pytest.fixture
def block():
    return make_block(clicked=CLICKS, bought=BUYS, age=["1"] * 5)


def test_where_selects_rows_in_canonical_form(block):
    task = BinaryTask("buy", "bought", "yes", ("no", "NA"), where={"clicked": 1})
    np.testing.assert_array_equal(task.labels(block, MISSING), [1, NAN, 0, 0, NAN])
    assert task.is_partial


def test_several_conditions_must_all_hold(block):
    where = {"clicked": ("1", "0"), "bought_before": "true"}
    columns = {"bought_before": np.array(["True", "TRUE", "no", "1", "true"], object)}
    task = BinaryTask("buy", "bought", "yes", ("no", "odd"), where=where)
    rows = Block(block.columns | columns, "a.csv", block.lines)
    np.testing.assert_array_equal(task.labels(rows, MISSING), [1, 0, NAN, NAN, 0])


def test_a_missing_label_is_skipped_if_the_task_says_so(block):
    task = BinaryTask("buy", "bought", "yes", missing="skip")
    np.testing.assert_array_equal(task.labels(block, MISSING), [1, 0, 0, NAN, 0])


def test_a_value_that_is_listed_is_not_missing(block):
    task = BinaryTask("buy", "bought", "yes", ("no", "NA", "odd"), missing="skip")
    np.testing.assert_array_equal(task.labels(block, MISSING), [1, 0, 0, 0, 0])


def test_a_file_may_lack_the_column(block):
    task = BinaryTask("like", "liked", "1", missing="skip")
    np.testing.assert_array_equal(task.labels(block, MISSING), [NAN] * 5)
    with pytest.raises(InputError, match=r"a\.csv has no column 'liked'"):
        BinaryTask("like", "liked", "1").labels(block, MISSING)


def test_rows_that_should_have_a_label_are_checked(block):
    """A missing label is an error where the condition holds, with the row's own place."""
    task = BinaryTask("buy", "bought", "yes", where={"clicked": "1"})
    with pytest.raises(InputError, match=r"a\.csv, line 5, column 'bought': 'NA' is a missing"):
        task.labels(block, MISSING)
    task = BinaryTask("buy", "bought", "yes", "no", where={"clicked": "0"})
    with pytest.raises(InputError, match=r"a\.csv, line 6, .* 'odd' is neither positive nor"):
        task.labels(block, MISSING)


def test_a_column_of_where_that_is_not_there(block):
    task = BinaryTask("buy", "bought", "yes", where={"clickd": "1"})
    with pytest.raises(InputError, match=r"has no column 'clickd'; .* did you mean 'clicked'"):
        task.labels(block, MISSING)


def test_a_survey_counts_rows_with_a_label(block):
    where = BinaryTask("buy", "bought", "yes", ("no", "NA"), where={"clicked": "1"})
    whole = BinaryTask("click", "clicked", "1")
    spec = DatasetSpec("shop", (Numeric("age"),), (whole, where), missing_values=MISSING)
    survey = survey_block(spec, block)
    survey.add(survey_block(spec, block))
    plain = survey.to_dict(spec)
    assert plain["tasks"] == {"click": {"positives": 6}, "buy": {"rows": 6, "positives": 2}}
    assert (whole.count_labelled(plain), where.count_labelled(plain)) == (10, 6)
    assert {row["value"]: row["rows"] for row in plain["labels"]["buy"]} == {
        "yes": 2, "no": 2, "NA": 2,
    }  # fmt: skip
    assert [row["train"] for row in where.label_rows({"train": plain})] == [2, 2, 2]


def test_a_task_that_no_row_has_a_label_of_is_rejected_by_name(block):
    task = BinaryTask("buy", "bought", "yes", where={"clicked": ("2", "3")})
    spec = DatasetSpec("shop", (Numeric("age"),), (task,), missing_values=MISSING)
    survey = survey_block(spec, block).to_dict(spec)
    message = (
        r"no test row of data set 'shop' has a label for task 'buy' \(column 'bought'; rows "
        r"where clicked is 2 or 3\); give rows that have one"
    )
    with pytest.raises(InputError, match=message):
        check_any_label(spec, {"test": survey})


def test_a_round_trip_and_equal_tasks():
    task = BinaryTask("buy", "bought", "yes", where={"clicked": 1}, missing="skip")
    assert task_from_plain(task.to_plain()) == task
    assert hash(task_from_plain(task.to_plain())) == hash(task)
    assert not task.same_rule(BinaryTask("buy", "bought", "yes", missing="skip"))


SPEC = """\
name: shop
numeric: [age]
tasks:
  - {name: click, label: clicked, positive: 1}
  - name: buy
    label: bought
    positive: "yes"
    missing: MISSING
    where: WHERE
"""


def test_a_spec_says_which_rows_have_a_label():
    text = SPEC.replace("MISSING", "skip").replace("WHERE", "{clicked: 1, shop: [a, b]}")
    assert parse(text, "shop.yaml").tasks[1] == BinaryTask(
        "buy", "bought", "yes", where={"clicked": "1", "shop": ("a", "b")}, missing="skip"
    )


@pytest.mark.parametrize(
    ("missing", "where", "message"),
    [
        ("drop", "{clicked: 1}", "line 5: task 'buy': missing must be reject or skip, not 'drop'"),
        ("skip", "clicked", "line 9: where must be `column: value` lines"),
        ("skip", "{bought: 1}", "line 5: task 'buy': where names its own label column 'bought'"),
        ("skip", "{clicked: []}", "line 5: task 'buy': where gives no value of column 'clicked'"),
        ("skip", "{[clicked]: 1}", "line 9: where must be `column: value` lines"),
        ("skip", "{clicked: 1, clicked: 2}", "line 9: where names column 'clicked' twice"),
        ("skip", "{clicked: {a: 1}}", "line 9: where: clicked must be a single value"),
    ],
)
def test_what_is_wrong_with_it_is_named(missing, where, message):
    text = SPEC.replace("MISSING", missing).replace("WHERE", where)
    with pytest.raises(InputError, match=message):
        parse(text, "shop.yaml")


def test_rows_without_a_label_are_dropped():
    labels = np.array([1.0, NAN, 0.0])
    kept, predictions, weight = drop_unlabelled(labels, np.arange(3), None)
    assert (kept.tolist(), predictions.tolist(), weight) == ([1, 0], [0, 2], None)
    whole = np.array([1.0, 0.0])
    assert drop_unlabelled(whole, None)[0] is whole
