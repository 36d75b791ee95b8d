import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest

from mptrec_tf.data.sources.typed_columns import NoColumnError, NotUtf8Error, to_column, to_lists

NOON = datetime.datetime(2024, 1, 31, 12, 0, 1, 500_000, tzinfo=datetime.timezone.utc)
DAY = datetime.date(2024, 1, 31)


def decimals(*values):
    return pa.array([None if v is None else decimal.Decimal(v) for v in values])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, None, -3]), ["1", "", "-3"]),
        (pa.array([2**64 - 1, None], pa.uint64()), ["18446744073709551615", ""]),
        (pa.array([0.1, None, float("nan"), 3.0], pa.float32()), ["0.1", "", "", "3"]),
        (pa.array([0.1, None, 1e-05, 1e20]), ["0.1", "", "1e-05", "1e+20"]),
        (pa.array([True, None, False]), ["true", "", "false"]),
        (pa.nulls(2), ["", ""]),
        (pa.array(["a", None, "é"]), ["a", "", "é"]),
        (pa.array(["a", None], pa.large_string()), ["a", ""]),
        (pa.array([b"a", None, "é".encode()]), ["a", "", "é"]),
        (pa.array(["a", None, "b", "a"]).dictionary_encode(), ["a", "", "b", "a"]),
        (pa.array([7, None]).dictionary_encode(), ["7", ""]),
        (decimals("1.50", "0.00", None, "-12.00", "100"), ["1.5", "0", "", "-12", "100"]),
        (decimals("12345678901234567890123"), ["12345678901234567890123"]),
        (pa.array([DAY, None]), ["2024-01-31", ""]),
        (pa.array([DAY, None], pa.date64()), ["2024-01-31", ""]),
        (pa.array([datetime.time(12, 30), datetime.time(1, 2, 3, 50_000)], pa.time64("us")),
         ["12:30:00", "01:02:03.05"]),
        (pa.array([NOON, None], pa.timestamp("ms", "UTC")), ["2024-01-31T12:00:01.5", ""]),
        (pa.array([NOON], pa.timestamp("us", "Asia/Tokyo")), ["2024-01-31T12:00:01.5"]),
        (pa.array([-1, 0], pa.timestamp("s")), ["1969-12-31T23:59:59", "1970-01-01T00:00:00"]),
        (pa.array([-1, 10**9 + 1], pa.timestamp("ns")),
         ["1969-12-31T23:59:59.999999999", "1970-01-01T00:00:01.000000001"]),
        (pa.array([["a", "b"], None, [], ["c", None]]), [["a", "b"], [], [], ["c", ""]]),
        (pa.array([[0.1, None], None], pa.list_(pa.float32())), [["0.1", ""], []]),
        (pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int8(), 2)), [["1", "2"], [], ["3", "4"]]),
        (pa.array([[1], [2, 3], [4]]).slice(1), [["2", "3"], ["4"]]),
        (pa.array([[], []], pa.list_(pa.null())), [[], []]),
        (pa.array([["a"], ["b", "a"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
         [["a"], ["b", "a"]]),
        (pa.array([], pa.list_(pa.string())), []),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)  # fmt: skip
def test_text(array, expected):
    column = to_column(array)
    assert (column.dtype, column.tolist()) == (object, expected)


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float32(), pa.float64()])
def test_numbers_stay_numbers(kind):
    column = to_column(pa.array([1, 2], kind))
    assert (column.dtype, column.tolist()) == (kind.to_pandas_dtype(), [1, 2])
    half = to_column(pa.array(np.array([0.5, 2], np.float16)))
    assert (half.dtype, half.tolist()) == (np.float32, [0.5, 2])


def test_text_that_is_not_utf8():
    bad = pa.array([b"a", b"b\xff", None, b"\xff"])
    as_text = pa.Array.from_buffers(pa.string(), 4, bad.buffers())  # as files may hold it
    for array, rows in ((bad, [1, 3]), (as_text, [1, 3])):
        with pytest.raises(NotUtf8Error, match=r"not UTF-8 text \(invalid start byte\)") as error:
            to_column(array)
        assert list(error.value.rows) == rows
    with pytest.raises(NotUtf8Error) as error:
        to_lists(pa.array([[b"a"], [], [b"b", b"\xff"], [b"\xff"]]))
    assert list(error.value.rows) == [2, 3]


@pytest.mark.parametrize(
    "array", [pa.array([{"a": 1}]), pa.array([[[1]]]), pa.array([1], pa.duration("s"))]
)
def test_what_is_no_column(array):
    with pytest.raises(NoColumnError, match=r"its type is .*, which is no single value"):
        to_column(array)
