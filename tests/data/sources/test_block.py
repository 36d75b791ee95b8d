import numpy as np
import pyarrow as pa
import pytest

from mptrec_tf.data.sources import text_columns
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.columns import Columns
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
    with pytest.raises(InputError, match=r"it has item price; did you mean 'item price'\?$"):
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


def both(values):
    """A block of text as objects, and the same in Arrow."""
    lines = np.arange(2, len(values) + 2)
    objects = Block({"a": np.array(values, object)}, "a.csv", lines)
    return objects, Block.from_arrow({"a": pa.array(values, pa.string())}, "a.csv", lines)


TEXTS = {
    "numbers": ["1", "-2.5", "1e-3", "0.1", "16777217", "3.4028235e38", "7.", ".5", "-0"],
    "python's spellings": ["1", " 2 ", "+3", "1_000", "٣"],
    "missing ones": ["1", "", "NA", "na", " ? ", "nan", "-999", "2"],
    "nan": ["1", "nan"],
    "only arrow's": ["1", "nan(2)"],
    "infinite": ["1", "inf", "1e39", "1e999"],
    "text": ["b", "a", "café", "a", " a", "b", "b", "b"],
    "no row": [],
}


@pytest.mark.parametrize("values", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("missing", [None, (), ("NA", "?", "NaN", "-999"), ("inf",)])
def test_text_in_arrow_is_read_as_objects_are(values, missing):
    objects, arrow = both(values)
    results = []
    for block in (objects, arrow):
        try:
            results.append(block.numbers("a", missing).tobytes())
        except InputError as error:
            results.append(str(error))
        results.append(block.not_numbers("a", missing).tolist())
    assert results[:2] == results[2:]


@pytest.mark.parametrize("values", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("selected", [slice(None), slice(1, None, 2)])
def test_texts_in_arrow(values, selected):
    objects, arrow = (block.rows(np.arange(len(values))[selected]) for block in both(values))
    assert arrow.text("a").tolist() == objects.text("a").tolist() == values[selected]
    assert arrow.canonical_text("a").tolist() == objects.canonical_text("a").tolist()
    assert arrow.encoded("a").equals(objects.encoded("a"))
    assert arrow.encoded("a").type == pa.large_binary()
    assert arrow.count_values("a") == objects.count_values("a")
    assert arrow.lines.tolist() == objects.lines.tolist()
    for block in (arrow, objects):
        texts, codes = block.distinct("a")
        assert texts[codes].tolist() == values[selected]
        assert len(set(texts)) == len(texts)


def test_random_numbers_in_arrow_have_pythons_bits():
    rng = np.random.default_rng(5)
    bits = rng.integers(0, 2**64, 4000, np.uint64).view(np.float64)
    values = [repr(v) for v in bits[np.abs(bits) < 1e38].tolist()]
    values += [f"{v:.9g}" for v in rng.normal(size=2000)]
    objects, arrow = both(values)
    assert text_columns.to_numbers(arrow.arrow["a"]) is not None
    assert objects.numbers("a").tobytes() == arrow.numbers("a").tobytes()


def test_a_column_in_arrow_that_is_not_there():
    _, block = both(["x"])
    for read in (block.numbers, block.encoded, block.distinct, block.count_values):
        with pytest.raises(InputError, match=r"a\.csv has no column 'b'"):
            read("b")


@pytest.mark.parametrize("value", [["x", "y"], np.array([1.0, 2.0])])
def test_a_list_where_each_row_needs_one_value(value):
    values = np.array(["a", None, "b"], object)
    values[1] = value
    block = Block({"a": values}, "rows.jsonl", np.array([1, 2, 4]))
    for read in (block.encoded, block.distinct, block.count_values, block.canonical_text):
        with pytest.raises(InputError) as error:
            read("a")
        place = f"rows.jsonl, line 2, column 'a': {value!r} is a list, where each row needs one"
        assert str(error.value).startswith(place)
    assert block.rows([0, 2]).count_values("a") == [("a", 1), ("b", 1)]
