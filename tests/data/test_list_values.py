import numpy as np
import pyarrow as pa
import pytest

from mptrec_tf.data.list_values import join_list, read_lists
from mptrec_tf.data.sources.block import Block
from mptrec_tf.errors import InputError


def read(column, separator="|"):
    if isinstance(column, list):
        column = np.fromiter(column, object, len(column))
    lists = read_lists(Block({"a": column}, "f", np.arange(len(column)) + 2), "a", separator)
    assert lists.to_arrow().to_pylist() == [
        [v.encode() for v in row] for row in np.split(lists.values, np.cumsum(lists.lengths)[:-1])
    ]
    return [[v.decode() for v in row] for row in lists.to_arrow().to_pylist()]


def test_texts_are_split_and_blank_values_dropped():
    assert read(["a|b", "", "a", " | ", "|a||b |"]) == [["a", "b"], [], ["a"], [], ["a", "b "]]
    assert read(["", ""]) == [[], []]
    assert read(["a, b|c"], ", ") == [["a", "b|c"]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a", "b|c"], ["a", "b|c"]),
        ([], []),
        (None, []),
        (float("nan"), []),
        (["a", None, ""], ["a"]),
        ([1, 20], ["1", "20"]),
        ([1.0, 0.1], ["1", "0.1"]),
        (np.array([3, 4]), ["3", "4"]),
        (np.array([0.1, 2], np.float32), ["0.1", "2"]),
        (np.array(["x", "y"]), ["x", "y"]),
        (("x", b"y"), ["x", "y"]),
        (7, ["7"]),
        ("x|y", ["x", "y"]),
    ],
)
def test_lists_of_other_sources(value, expected):
    assert read([value, "z"]) == [expected, ["z"]]


def test_a_column_of_numbers_has_one_value_in_each_row():
    assert read(np.array([3, 4])) == [["3"], ["4"]]
    assert read(pa.array([0.5, 2.0]).to_numpy()) == [["0.5"], ["2"]]


def test_what_is_no_value_is_named():
    with pytest.raises(InputError, match=r"f, line 3, column 'a': \['x'\] is not a single value"):
        read(["x", ["a", ["x"]]])
    with pytest.raises(InputError, match=r"f, line 2, column 'a': not UTF-8 text"):
        read([[b"\xff"]])


def test_rows_join_to_one_text():
    lists = read_lists(
        Block({"a": np.array(["x|y", "", "z"], object)}, "f", np.arange(3)), "a", "|"
    )
    assert lists.join().tolist() == ["\x1fx\x1fy", "", "\x1fz"]
    assert [lists.row_of(value) for value in range(3)] == [0, 0, 2]
    assert join_list([]) == ""
