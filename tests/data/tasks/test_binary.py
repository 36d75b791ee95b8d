import numpy as np
import pytest

from mptrec_tf.data.canonical import MISSING_VALUES
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError


def block(*values):
    column = np.array(values, object if isinstance(values[0], str) else None)
    return Block({"c": column}, "rows.csv", np.arange(2, 2 + len(values)))


@pytest.mark.parametrize(
    ("task", "values", "labels"),
    [
        (BinaryTask("t", "c", positive="1"), ("1", "0", " 1.0", "2", "x"), [1, 0, 1, 0, 0]),
        (BinaryTask("t", "c", positive=("a", "b")), ("a", "b", "c", "A"), [1, 1, 0, 0]),
        (BinaryTask("t", "c", positive="1", negative="0"), ("1", "0", "0.0"), [1, 0, 0]),
        (BinaryTask("t", "c", positive="1", negative=("0", "")), ("1", "", "0"), [1, 0, 0]),
        (BinaryTask("t", "c", positive="1"), (1, 0, 1), [1, 0, 1]),
        (BinaryTask("t", "c", positive="1"), (1.0, 0.0, 3.5), [1, 0, 0]),
        (BinaryTask("t", "c", above=3), ("3", "3.01", "-7", "1e3"), [0, 1, 0, 1]),
        (BinaryTask("t", "c", above=-0.5), (-1, 0, 1), [0, 1, 1]),
        (BinaryTask("t", "c", positive="true"), ("True", "FALSE", "TRUE ", "t"), [1, 0, 1, 0]),
        (BinaryTask("t", "c", positive="TRUE", exact=True), ("TRUE", "True", " TRUE"), [1, 0, 0]),
        (BinaryTask("t", "c", positive="1", exact=True), ("1", "1.0", "01"), [1, 0, 0]),
        (BinaryTask("t", "c", positive="007"), ("007", "7", "007.0"), [1, 0, 1]),
        (
            BinaryTask("t", "c", positive="yes", negative=("no", "NA")),
            ("yes", "NA", "no"),
            [1, 0, 0],
        ),
        (BinaryTask("t", "c", positive=("?", "-")), ("?", "-", "x"), [1, 1, 0]),
    ],
)
def test_labels(task, values, labels):
    made = task.labels(block(*values), MISSING_VALUES)
    assert made.dtype == np.float32
    assert made.tolist() == labels


@pytest.mark.parametrize(
    ("task", "value", "expected"),
    [
        (BinaryTask("t", "c", positive="1", negative="0"), "2", "'1' or '0'"),
        (BinaryTask("t", "c", above=3), "many", r"a number \(above 3 is positive\)"),
        (BinaryTask("t", "c", positive="1", negative="0"), "-1", "'1' or '0'"),
        (
            BinaryTask("t", "c", positive="true", negative="false", exact=True),
            "True",
            "'true' or 'f.*'",
        ),
        (BinaryTask("t", "c", above=3), "inf", r"a number \(above 3 is positive\)"),
    ],
)
def test_a_value_that_is_neither(task, value, expected):
    message = (
        f"^rows.csv, line 4, column 'c': '{value}' is neither positive nor negative for task 't'; "
        f"expected {expected}\\.$"
    )
    with pytest.raises(InputError, match=message):
        task.labels(block(first(task), first(task), value), MISSING_VALUES)


def first(task):
    """A value that is positive, or negative for a threshold."""
    return task.positive[0] if task.positive else "1"


@pytest.mark.parametrize(
    "task", [BinaryTask("t", "c", positive="1"), BinaryTask("t", "c", above=0.5)]
)
@pytest.mark.parametrize("value", ["", " ", "NA", "nan", "NULL", "None", "?", "\\N", "-"])
def test_a_missing_label_is_not_negative(task, value):
    with pytest.raises(InputError) as caught:
        task.labels(block("1", "0", value), MISSING_VALUES)
    assert str(caught.value) == (
        f"rows.csv, line 4, column 'c': {value!r} is a missing value, and task 't' needs a label "
        "in every row; leave such rows out, give the task `missing: skip`, list the value under "
        "positive or negative, or "
        "change missing_values in the spec."
    )


def test_a_number_that_is_missing():
    """As a data frame has it, where others are floats."""
    with pytest.raises(InputError, match="line 3, column 'c': 'nan' is a missing value"):
        BinaryTask("t", "c", positive="1").labels(block(1.0, float("nan")), MISSING_VALUES)


def test_an_exact_label_that_is_missing():
    with pytest.raises(InputError, match="line 3, column 'c': ' na ' is a missing value"):
        BinaryTask("t", "c", positive="1", exact=True).labels(block("1", " na "), MISSING_VALUES)


def test_a_spec_decides_what_is_missing():
    task = BinaryTask("t", "c", positive="1")
    assert task.labels(block("1", "NA"), ("none",)).tolist() == [1, 0]
    for value in ("None", "", " "):
        with pytest.raises(InputError, match="is a missing value"):
            task.labels(block("1", value), ("none",))


@pytest.mark.parametrize(
    ("value", "label"), [("1.0", 1.0), ("0", 0.0), ("2", None), ("NA", None), ("", None)]
)
def test_label_of_a_single_value(value, label):
    result = BinaryTask("t", "c", positive="1", negative="0").label_of(value, MISSING_VALUES)
    assert np.isnan(result) if label is None else result == label


def test_a_number_that_is_neither_is_named_unchanged():
    with pytest.raises(InputError, match="line 3, column 'c': '2' is neither"):
        BinaryTask("t", "c", positive="1", negative="0").labels(block(1, 2), MISSING_VALUES)


def test_a_missing_label_column():
    with pytest.raises(InputError, match=r"rows.csv has no column 'd'; it has c"):
        BinaryTask("t", "d", positive="1").labels(block("1"), MISSING_VALUES)
