import numpy as np
import pytest

from mptrec_tf.data.sources.block import Block, Columns
from mptrec_tf.errors import InputError


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "1e39", "", "many", "1,5"])
def test_text_that_is_not_a_number(bad):
    block = Block({"n": np.array(["1", bad, "3"], object)}, "a.csv", np.array([2, 3, 4]))
    message = f"^a.csv, line 3, column 'n': '{bad}' is not a finite number; every row needs one"
    with pytest.raises(InputError, match=message):
        block.numbers("n")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite(bad):
    block = Block({"n": np.array([1, bad])}, "rows", np.array([1, 2]), "record")
    with pytest.raises(InputError, match=f"^rows, record 2, column 'n': '{bad}' is not a finite"):
        block.numbers("n")


def test_missing_column():
    block = Block({"a": np.array([1]), "b": np.array([2])}, "a.csv", np.array([2]))
    with pytest.raises(InputError, match=r"^a.csv has no column 'c'; it has a, b; add it to the"):
        block.text("c")


def test_a_near_miss_is_named():
    block = Block({"item price": np.array([1])}, "a.csv", np.array([2]))
    with pytest.raises(InputError, match=r"it has item price; did you mean 'item price'\?\.$"):
        block.text("item_price")


def test_columns_are_made_on_first_use():
    made = []

    def make(name):
        made.append(name)
        return np.array([name, "x"], object)

    block = Block(Columns(["a", "b", "c"], make), "a.csv", np.array([2, 3]))
    assert (len(block), list(block.columns), "d" in block.columns) == (2, ["a", "b", "c"], False)
    assert block.text("b").tolist() == block.text("b").tolist() == ["b", "x"]
    assert made == ["b"]
    some = block.rows([1])
    assert made == ["b"]
    assert some.text("c").tolist() == ["x"]
    assert made == ["b", "c"]
    with pytest.raises(KeyError):
        block.columns["d"]


def test_canonical_text():
    values = np.array([" x", "3.0", "NA", "TRUE", "3"], object)
    block = Block({"a": values, "b": np.array([1.0, 2.5, 3.0, 4.0, 5.0])}, "a.csv", np.arange(5))
    assert block.canonical_text("a").tolist() == ["x", "3", "NA", "true", "3"]
    assert block.canonical_text("b").tolist() == ["1", "2.5", "3", "4", "5"]
