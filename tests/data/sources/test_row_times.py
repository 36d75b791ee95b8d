import warnings

import numpy as np
import pytest

from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.row_times import DATES, NUMBERS, format_time, parse_times, read_times
from mptrec_tf.errors import InputError


def block(*values, dtype=object):
    return Block({"at": np.array(values, dtype)}, "a.csv", np.arange(2, 2 + len(values)))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400),
        ("1970-01", 0),
        ("1970-01-01 00:01", 60),
        ("1970-01-01T00:00:01.25", 1.25),
        ("1970-01-01T00:00:01,25Z", 1.25),
        ("1970-01-01 00:00:00 UTC", 0),
        ("1970-01-01T02:00:00+01:00", 3600),
        ("1970-01-01T02:00-0130", 12_600),
        ("1969-12-31T23:59:59", -1),
        ("2024-02-29T12:00:00.123456789", 1_709_208_000.123456),
    ],
)
def test_dates(text, seconds):
    """The fast way, which takes no zones, and the slow one give the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for column in (block(text), block(text, "1970-01-01T00:00:00Z"), block(f" {text}")):
            times, kind = read_times(column, "at")
            assert kind == DATES
            assert times[0] == seconds


def test_numbers_of_any_unit():
    times, kind = read_times(block("-0.0", " 1.7e18", "3"), "at")
    assert kind == NUMBERS
    assert times.tolist() == [0, 1.7e18, 3]
    assert not np.signbit(times[0])
    for dtype in (np.int64, np.float32):
        assert read_times(block(3, 1, dtype=dtype), "at")[0].tolist() == [3, 1]


def test_columns_of_times():
    times, kind = read_times(block("1970-01-02", "1970-01-01T00:00:00.5", dtype="M8[ns]"), "at")
    assert (times.tolist(), kind) == ([86_400, 0.5], DATES)
    with pytest.raises(InputError, match=r"a\.csv, line 3, column 'at': 'NaT' is not a time"):
        read_times(block("1970-01-02", "NaT", dtype="M8[ns]"), "at")


@pytest.mark.parametrize(
    "wrong",
    ["", "NA", "now", "31/12/2024", "2024-13-01", "2024-02-30", "2024-1-5", "12:30", "2024-01-01x"],
)
def test_what_is_no_date(wrong):
    message = (
        f"a.csv, line 3, column 'at': {wrong!r} is not a time; every row needs a date or time such "
        "as "
        "2024-01-31 or 2024-01-31T12:30 there."
    )
    with pytest.raises(InputError) as error:
        read_times(block("2024-01-31", wrong), "at")
    assert str(error.value) == message


@pytest.mark.parametrize("wrong", ["", "nan", "inf", "2024-01-31", "x"])
def test_what_is_no_number(wrong):
    for kind in (None, NUMBERS):
        with pytest.raises(InputError, match=r"line 3, column 'at': .* every row needs a number"):
            read_times(block("5", wrong), "at", kind)


def test_one_kind_in_all_rows():
    with pytest.raises(InputError, match="'5' is one of numbers, but rows before have dates"):
        read_times(block("5"), "at", DATES)
    with pytest.raises(InputError, match=r"'2024-01-31' is not a time; every row needs a number"):
        read_times(block("2024-01-31"), "at", NUMBERS)


def test_a_missing_column_is_named():
    with pytest.raises(InputError, match="has no column 'when'; it has at"):
        read_times(block("5"), "when")


def test_format():
    assert format_time(1_709_208_000.5, DATES) == "2024-02-29T12:00:00.500000Z"
    assert format_time(-1.0, DATES) == "1969-12-31T23:59:59Z"
    assert [format_time(n, NUMBERS) for n in (5.0, 0.1, 1e18)] == [
        "5",
        "0.10000000000000001",
        f"{10**18}",
    ]


def test_texts_that_may_be_no_times():
    times, kind = parse_times(["2024-01-31", "x"])
    assert (np.isfinite(times).tolist(), kind) == ([True, False], DATES)
    assert parse_times(["x", "7"])[1] == NUMBERS
