"""Rows in every form are converted to the arrays of a request; no server is needed."""

import csv
import datetime
import decimal
import enum
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mptrec_tf.errors import InputError
from mptrec_tf.serving.client.rows import to_request_arrays
from mptrec_tf.serving.client.values import LISTS_KIND, make_kind

# Columns like Census-Income's, and their names in the signature.
NAMES = {
    "workclass": "workclass",
    "native country": "native_country",
    "capital-gain": "capital_gain",
}
TYPES = {"workclass": "DT_STRING", "native_country": "DT_STRING", "capital_gain": "DT_FLOAT"}

FILE = """Unnamed: 0,workclass,native country,capital-gain,fnl wgt,label
0,Private,Cuba,2174.0,77516,<=50K
1,,,0,83311,
2,3,Cuba, 14.5 ,,>50K
"""


def arrays(rows, types=TYPES, names=NAMES):
    by_input, count = to_request_arrays(rows, types, names)
    return {name: array.tolist() for name, array in by_input.items()}, count


def text(values):
    """Returns the array of a text column."""
    return to_request_arrays({"a": values}, {"a": "DT_STRING"}, None)[0]["a"].tolist()


def number(values, kind="DT_FLOAT"):
    return to_request_arrays({"a": values}, {"a": kind}, None)[0]["a"].tolist()


EXPECTED = {
    "workclass": [b"Private", b"", b"3"],
    "native_country": [b"Cuba", b"", b"Cuba"],
    "capital_gain": [2174.0, 0.0, 14.5],
}


@pytest.mark.parametrize(
    "read",
    [
        lambda file: pd.read_csv(file),
        lambda file: pd.read_csv(file, index_col=0),
        lambda file: pd.read_csv(file, dtype=str),
        lambda file: pd.read_csv(file, dtype=str, keep_default_na=False),
        lambda file: pd.read_csv(file, dtype="string"),
        lambda file: pd.read_csv(file, dtype={"workclass": "category", "native country": "string"}),
        lambda file: pd.read_csv(file).convert_dtypes(),
        lambda file: pd.read_csv(file).astype(object),
        lambda file: pd.read_csv(file).astype({"workclass": pd.StringDtype("pyarrow")}),
        lambda file: pd.read_csv(file).to_dict("records"),
        lambda file: pd.read_csv(file).to_dict("list"),
        lambda file: dict(pd.read_csv(file).items()),
        lambda file: list(csv.DictReader(file)),
    ],
)
def test_a_file_with_other_columns_and_missing_text_is_accepted(read):
    assert arrays(read(io.StringIO(FILE))) == (EXPECTED, 3)


def test_other_columns_are_ignored_whatever_they_hold():
    frame = pd.DataFrame({"workclass": ["x"], "native country": ["y"], "capital-gain": [1]})
    frame[7] = [object()]
    frame[("a", "b")] = [[1, 2]]
    frame["native_country"] = ["another"]  # the spec's name counts
    expected = {"workclass": [b"x"], "native_country": [b"y"], "capital_gain": [1.0]}
    assert arrays(frame) == (expected, 1)
    assert arrays(frame.to_dict("records")) == (expected, 1)
    assert arrays({**frame.to_dict("list"), "ids": [], 3: range(9), None: None}) == (expected, 1)
    again = pd.concat([frame, frame[["native_country"]]], axis=1)
    assert arrays(again) == (expected, 1)
    assert arrays({"a": ["x"], "x y": [1], "x.y": [2]}, {"a": "DT_STRING"}, None)[1] == 1


@pytest.mark.parametrize("names", [NAMES, None])
@pytest.mark.parametrize(
    "spelling", [str, lambda n: NAMES[n], lambda n: f" {n}"], ids=["spec", "signature", "spaced"]
)
def test_columns_are_accepted_under_both_names(names, spelling):
    rows = [{spelling(name): 1 for name in NAMES}] * 2
    expected = {"workclass": [b"1"] * 2, "native_country": [b"1"] * 2, "capital_gain": [1.0] * 2}
    assert arrays(rows, names=names) == (expected, 2)
    assert arrays(pd.DataFrame(rows), names=names) == (expected, 2)


def test_rows_may_differ_in_other_columns_and_in_names():
    rows = [
        {"workclass": "a", "native country": "b", "capital-gain": 1, "label": 1},
        {"native_country": None, "capital_gain": 2, "workclass": "c", None: ["rest"]},
    ]
    expected = {
        "workclass": [b"a", b"c"],
        "native_country": [b"b", b""],
        "capital_gain": [1.0, 2.0],
    }
    assert arrays(rows) == (expected, 2)


def test_names_that_differ_only_in_special_characters_are_distinguished():
    names = {"a b": "a_b_2", "a_b": "a_b", "a.b": "a_b_3"}
    types = dict.fromkeys(names.values(), "DT_FLOAT")
    rows = {"a b": [1], "a_b": [2], "a.b": [3]}
    assert arrays(rows, types, names)[0] == {"a_b_2": [1.0], "a_b": [2.0], "a_b_3": [3.0]}
    with pytest.raises(InputError, match=r"no column 'a b'; .*has a_b, a\.b\.$"):
        arrays({k: v for k, v in rows.items() if k != "a b"}, types, names)
    with pytest.raises(InputError, match=r"'a b' and 'a\.b' are both 'a_b' .*`inputs`"):
        arrays({"a b": [1], "a.b": [2]}, {"a_b": "DT_FLOAT"}, None)


def test_the_name_of_one_column_may_be_the_input_of_another():
    names = {"Age": "Age", "age": "age_2", "age_2": "age_2_2"}
    types = dict.fromkeys(names.values(), "DT_FLOAT")
    expected = {"Age": [1.0], "age_2": [2.0], "age_2_2": [3.0]}
    assert arrays({"Age": 1, "age": 2, "age_2": 3}, types, names)[0] == expected
    assert arrays({"Age": 1, "age_2": 2, "age_2_2": 3}, types, names)[0] == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capital-gain": None}, "'capital-gain'; .* has workclass, native country"),
        ({"capital-gain": "Capital Gain"}, "'capital-gain'; .* Rename 'Capital Gain' if that is"),
        ({"capital-gain": "capitalgains"}, "'capital-gain'; .* Rename 'capitalgains' if that is"),
        ({"native country": "country of birth"}, "'native country'; .* has workclass, country of"),
        ({"workclass": 5}, "'workclass'; .* has 5, native country"),
    ],
)
def test_a_column_that_is_missing_is_named_as_in_the_spec(change, message):
    row = {change.get(name, name): 1 for name in NAMES if change.get(name, name) is not None}
    for rows, where in ((row, "request"), (pd.DataFrame([row]), "request"), ([row], "row 1")):
        with pytest.raises(InputError, match=f"{where} has no column {message}"):
            arrays(rows)


def test_the_row_that_lacks_a_column_is_named():
    rows = [dict.fromkeys(NAMES, 1), {"workclass": 1, "capital-gain": 1}]
    with pytest.raises(InputError, match="row 2 has no column 'native country'"):
        arrays(rows)
    with pytest.raises(InputError, match="row 2 is a list; give a dict"):
        arrays([rows[0], [1]])


def test_a_column_that_occurs_twice_is_named():
    frame = pd.DataFrame([[1, 2, 3, 4]], columns=[*NAMES, "workclass"])
    with pytest.raises(InputError, match="has column 'workclass' twice"):
        arrays(frame)


@pytest.mark.parametrize(
    "rows", [[], {}, pd.DataFrame(columns=list(NAMES)), {n: [] for n in NAMES}]
)
def test_a_request_without_rows_is_named(rows):
    with pytest.raises(InputError, match="no rows; give at least one"):
        arrays(rows)


@pytest.mark.parametrize(
    "missing",
    [None, np.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), decimal.Decimal("nan")],
)
def test_missing_text_is_an_empty_field(missing):
    assert text([missing, "x"]) == [b"", b"x"]
    assert text(np.array([missing, "x"], object)) == [b"", b"x"]
    assert text([missing]) == text(missing) == [b""]


ARROW = (
    (pa.string(), ["x", None], [b"x", b""]),
    (pa.int64(), [2**62 + 1, None], [b"4611686018427387905", b""]),
    (pa.int64(), [1, 2], [b"1", b"2"]),
    (pa.float32(), [0.1, None], [b"0.1", b""]),
    (pa.bool_(), [True, None], [b"True", b""]),
    (pa.dictionary(pa.int32(), pa.string()), ["x", None], [b"x", b""]),
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["é", b"\xff", np.str_("s"), np.bytes_(b"b")], ["é".encode(), b"\xff", b"s", b"b"]),
        ([3, 3.0, True, np.int8(-4), np.float32(0.1), np.True_], b"3 3.0 True -4 0.1 True".split()),
        ([3, "3", 10**30], [b"3", b"3", b"1" + b"0" * 30]),
        (np.array([1, 2**62]), [b"1", b"4611686018427387904"]),
        (np.array([0.1, np.nan, 2], np.float32), [b"0.1", b"", b"2.0"]),
        (np.array([True, False]), [b"True", b"False"]),
        (np.array(["a", "é"]), [b"a", "é".encode()]),
        (np.array([b"a", b"\xff"]), [b"a", b"\xff"]),
        (np.ma.array([1, 2], mask=[False, True]), [b"1", b""]),
        (np.array(["NaT"], "datetime64[s]"), [b""]),
        ([decimal.Decimal("1.50"), decimal.Decimal("1E+2")], [b"1.50", b"100"]),
        ([enum.IntEnum("Color", "RED").RED], [b"1"]),
        ([np.array(3), np.array("x")], [b"3", b"x"]),
        (pd.Series([1, None], dtype="Int64"), [b"1", b""]),
        (pd.Series([2**62 + 1, 5], dtype="Int64"), [b"4611686018427387905", b"5"]),
        (pd.Series([1.5, None], dtype="Float64"), [b"1.5", b""]),
        (pd.Series([0.1, None], dtype="Float32"), [b"0.1", b""]),
        (pd.Series([True, None], dtype="boolean"), [b"True", b""]),
        (pd.Series([3, None, 3], dtype="Int64").astype("category"), [b"3", b"", b"3"]),
        (pd.Series(["x", None, "y"], dtype="category"), [b"x", b"", b"y"]),
        (pd.Categorical([5, None, 4]), [b"5", b"", b"4"]),
        (pd.Index(["x", None]), [b"x", b""]),
        (pd.array(["x", None], dtype="string[pyarrow]"), [b"x", b""]),
        *((pd.Series(values, dtype=pd.ArrowDtype(kind)), texts) for kind, values, texts in ARROW),
        (pa.array(["x", None]), [b"x", b""]),
        (("x", None), [b"x", b""]),
    ],
)  # fmt: skip
def test_text_is_sent_unchanged(values, expected):
    assert text(values) == expected
    if not isinstance(values, list | tuple | pa.Array | np.ma.MaskedArray):
        assert text(pd.Series(values)) == expected


@pytest.mark.parametrize(
    "value",
    [
        1j,
        ["x"],
        {"x"},
        object(),
        datetime.date(2024, 1, 2),
        pd.Timestamp("2024-01-02"),
        np.datetime64("2024-01-02"),
        np.timedelta64(3, "s"),
        "\ud800",
    ],
)
def test_a_value_that_is_not_text_is_named_with_its_row(value):
    message = "column 'a' holds lists" if value == ["x"] else "row 2, column 'a': .* is not text"
    for values in ([None, value], ["x", value]):
        with pytest.raises(InputError, match=message if value != ["x"] else "not text"):
            text(values)


def test_times_are_not_text():
    with pytest.raises(
        InputError, match=r"row 2, column 'a': .*2024-01-02.* is not text; give it as"
    ):
        text(pd.to_datetime(pd.Series([None, "2024-01-02"])))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2.5, "3", " 4.5 ", "-1e3", decimal.Decimal("0.5")], [1, 2.5, 3, 4.5, -1000, 0.5]),
        (np.array(["1", " 2.5"]), [1, 2.5]),
        (np.array([1, 2], np.uint8), [1, 2]),
        (np.array([0.5], np.float16), [0.5]),
        ([np.float64(0.5), np.int8(3), np.array(4)], [0.5, 3, 4]),
        (pd.Series(["1", "2"], dtype="string"), [1, 2]),
        (pd.Series([1, 2], dtype="Int64"), [1, 2]),
        (pd.Series([1.5, 2], dtype="Float64"), [1.5, 2]),
        (pd.Series([1.5, 2], dtype="category"), [1.5, 2]),
        (pd.Series(["1.5", "2"], dtype="category"), [1.5, 2]),
        (2.5, [2.5]),
        ("2.5", [2.5]),
    ],
)
def test_numbers_are_accepted_in_every_form(values, expected):
    assert number(values) == number(values, "DT_DOUBLE") == expected


@pytest.mark.parametrize(
    "value",
    [
        *(None, np.nan, pd.NA, pd.NaT, decimal.Decimal("nan"), decimal.Decimal("sNaN"), np.inf),
        *("", "?", "nan", "inf", "-inf", "x", b"1", True, np.True_, 1j, {}),
        *(np.timedelta64(3, "s"), np.datetime64("2024-01-02"), datetime.timedelta(1)),
    ],
)
def test_a_value_that_is_not_a_number_is_named_with_its_row(value):
    for values in ([1, value], ["1", value], np.array([1.0, value], object)):
        with pytest.raises(InputError, match=r"row 2, column 'a': .* is not a finite"):
            number(values)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, None], dtype="Int64"),
        pd.Series([1, None], dtype="Float64"),
        pd.Series([1, None], dtype="category"),
        pd.Series([1, None]),
        np.ma.array([1, 2], mask=[False, True]),
    ],
)
def test_a_missing_number_is_named_in_every_form(values):
    with pytest.raises(InputError, match=r"row 2, column 'a': (nan|None|<NA>) is not a finite"):
        number(values)


def test_numbers_of_other_types_are_named():
    for values in (pd.Series([True]), pd.Series([True], dtype="boolean"), pd.to_datetime(["2024"])):
        with pytest.raises(InputError, match=r"row 1, column 'a': .* is not a finite number"):
            number(values)


@pytest.mark.parametrize(
    "value", [1e39, 10**400, "1e60", np.float64(-1e39), decimal.Decimal("1e60")]
)
def test_a_number_that_is_too_large_is_named(value):
    for values in ([1, value], np.array([1, value], object)):
        with pytest.raises(InputError, match="row 2, column 'a': the number is too large"):
            number(values)


def test_whole_numbers():
    assert number([1, 2**62 + 1], "DT_INT64") == [1, 2**62 + 1]
    assert number(["3", 4.0], "DT_INT64") == [3, 4]
    assert number(np.array([3.0]), "DT_INT32") == [3]
    assert number(np.array([2**31 - 1], np.uint64), "DT_INT32") == [2**31 - 1]
    for value, message in ((1.5, "no.* a whole"), (2**31, "too large"), ("x", "not a finite")):
        for values in ([1, value], np.array([1, value], object)):
            with pytest.raises(InputError, match=f"row 2, column 'a': .*{message}"):
                number(values, "DT_INT32")
    with pytest.raises(InputError, match="row 1, column 'a': the number is too large"):
        number(np.array([2**63], np.uint64), "DT_INT64")


def test_columns_of_other_lengths_are_named():
    types, names = {"a": "DT_STRING", "b_": "DT_FLOAT"}, {"a": "a", "b-": "b_"}
    assert arrays({"a": ["x"] * 3, "b-": 1}, types, names)[1] == 3
    with pytest.raises(InputError, match="column 'b-' has 2 values, others have 3"):
        arrays({"a": ["x"] * 3, "b-": [1, 2]}, types, names)
    with pytest.raises(InputError, match="column 'b-' holds lists"):
        arrays({"a": ["x"], "b-": [[1]]}, types, names)
    with pytest.raises(InputError, match="column 'b-' holds lists"):
        arrays({"a": ["x"], "b-": np.ones((1, 1))}, types, names)


def test_rows_of_another_kind_are_named():
    for rows in ("x", 3, None, pd.Series([1]), {1, 2}):
        with pytest.raises(InputError, match="rows should be a list of dicts, a DataFrame or"):
            arrays(rows)


def lists(values, kind=LISTS_KIND):
    return to_request_arrays({"a": values}, {"a": kind}, None)[0]["a"].tolist()


@pytest.mark.parametrize(
    "values",
    [
        [["x", "y|z"], "x|y", [], None, [1, 2.5, True, None]],
        (("x", "y|z"), "x|y", (), np.nan, (1, 2.5, True, None)),
        pd.Series([np.array(["x", "y|z"]), "x|y", [], pd.NA, [1, 2.5, True, pd.NA]]),
        np.fromiter([["x", b"y|z"], "x|y", [], None, [1, 2.5, True, None]], object, 5),
    ],
)
def test_lists_become_texts(values):
    assert lists(values) == [b"\x1fx\x1fy|z", b"x|y", b"", b"", b"\x1f1\x1f2.5\x1fTrue\x1f"]


def test_a_list_of_one_list_is_for_all_rows():
    types = {"a": LISTS_KIND, "b": "DT_FLOAT"}
    by_input, count = to_request_arrays({"a": [["x", "y"]], "b": [1, 2, 3]}, types, None)
    assert (by_input["a"].tolist(), count) == ([b"\x1fx\x1fy"], 3)
    by_input, _ = to_request_arrays({"a": "x|y", "b": [1, 2, 3]}, types, None)
    assert by_input["a"].tolist() == [b"x|y"]


def test_what_lists_cannot_hold():
    with pytest.raises(InputError, match=r"row 2, column 'a': \['x'\] is not text"):
        lists(["x", ["y", ["x"]]])
    with pytest.raises(InputError, match="column 'a' holds lists; give one value for each row"):
        text([["x", "y"], ["z"]])


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2.5], ("3", 4)],
        np.array([[1, 2.5], [3, 4]]),
        pd.Series([np.array([1, 2.5]), [3, 4]]),
        ["1 2.5", "[3, 4]"],
    ],
)
def test_vectors(values):
    assert lists(values, "DT_FLOAT[2]") == [[1, 2.5], [3, 4]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0], "should hold 2 numbers, received 1"),
        ([1.0, 2.0, 3.0], "should hold 2 numbers, received 3"),
        (1.0, "should hold 2 numbers, received 1.0"),
        (None, "should hold 2 numbers, received None"),
        ("1 2 3", "should hold 2 numbers, received 3"),
        ([1.0, np.nan], ": nan is not a finite number"),
        ([1.0, 1e99], ": the number is too large"),
        (["x", 1], ": 'x' is not a finite number"),
    ],
)
def test_a_vector_that_does_not_fit(value, message):
    with pytest.raises(InputError, match=f"row 2, column 'a'.*{message}"):
        lists([[1.0, 2.0], value], "DT_FLOAT[2]")


def test_kinds_of_inputs():
    assert make_kind("DT_STRING", [(-1, "")]) == "DT_STRING"
    assert make_kind("DT_STRING", [(-1, "lists")]) == LISTS_KIND
    assert make_kind("DT_FLOAT", [(-1, ""), (64, "")]) == "DT_FLOAT[64]"
    assert make_kind("DT_FLOAT", []) == "DT_FLOAT"
