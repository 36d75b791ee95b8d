import numpy as np
import pytest

from mptrec_tf.datasets.block import Block
from mptrec_tf.errors import InputError
from mptrec_tf.labels import make_labels
from mptrec_tf.spec import Task


def block(*values):
    column = np.array(values, object if isinstance(values[0], str) else None)
    return Block({"c": column}, "rows.csv", np.arange(2, 2 + len(values)))


@pytest.mark.parametrize(
    ("task", "values", "labels"),
    [
        (Task("t", "c", positive="1"), ("1", "0", " 1.0", "2", "x"), [1, 0, 1, 0, 0]),
        (Task("t", "c", positive=("a", "b")), ("a", "b", "c", "A"), [1, 1, 0, 0]),
        (Task("t", "c", positive="1", negative="0"), ("1", "0", "0.0"), [1, 0, 0]),
        (Task("t", "c", positive="1", negative=("0", "")), ("1", "", "0"), [1, 0, 0]),
        (Task("t", "c", positive="1"), (1, 0, 1), [1, 0, 1]),
        (Task("t", "c", positive="1"), (1.0, 0.0, 3.5), [1, 0, 0]),
        (Task("t", "c", above=3), ("3", "3.01", "-7", "1e3"), [0, 1, 0, 1]),
        (Task("t", "c", above=-0.5), (-1, 0, 1), [0, 1, 1]),
    ],
)
def test_labels(task, values, labels):
    made = make_labels(task, block(*values))
    assert made.dtype == np.float32
    assert made.tolist() == labels


@pytest.mark.parametrize(
    ("task", "value", "expected"),
    [
        (Task("t", "c", positive="1", negative="0"), "2", "'1' or '0'"),
        (Task("t", "c", positive="1"), "", "a value that is not empty"),
        (Task("t", "c", above=3), "many", r"a number \(above 3 is positive\)"),
        (Task("t", "c", above=3), "", r"a number \(above 3 is positive\)"),
        (Task("t", "c", above=3), "nan", r"a number \(above 3 is positive\)"),
        (Task("t", "c", above=3), "inf", r"a number \(above 3 is positive\)"),
    ],
)
def test_a_value_that_is_neither(task, value, expected):
    message = (
        f"^rows.csv, line 4, column 'c': '{value}' is neither positive nor negative for task 't'; "
        f"expected {expected}\\.$"
    )
    with pytest.raises(InputError, match=message):
        make_labels(task, block("1", "0" if task.negative else "1", value))


def test_a_number_that_is_neither_is_shown_as_it_is():
    with pytest.raises(InputError, match="line 3, column 'c': '2' is neither"):
        make_labels(Task("t", "c", positive="1", negative="0"), block(1, 2))


def test_a_missing_label_column():
    with pytest.raises(InputError, match=r"rows.csv has no column 'd'; it has c"):
        make_labels(Task("t", "d", positive="1"), block("1"))
