"""Times in graphs, against Python's calendar."""

import datetime as dt
import random

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.transform.times import parse_times

START = dt.datetime(1970, 1, 1)


def parse(values):
    times, missing = tf.function(parse_times)(tf.constant(values), ("", "NA"))
    return {k: v.numpy() for k, v in times._asdict().items()} | {"missing": missing.numpy()}


@pytest.mark.parametrize(
    ("text", "seconds", "hour"),
    [
        ("2024-01-05", 1704412800, 0),
        (" 2024/1/5 ", 1704412800, 0),
        ("20240105", 1704412800, 0),
        ("2024-01-05T17:03", 1704474180, 17),
        ("2024-01-05 7:03:20", 1704438200, 7),
        ("2024-01-05T17:03:20.5", 1704474200.5, 17),
        ("2024-01-05T17:03:20,25Z", 1704474200.25, 17),
        ("2024-01-05T17:03:20.123456789123", 1704474200.123456789, 17),
        ("2024-01-05t17:03:20z", 1704474200, 17),
        ("2024-01-05T17:03:20 UTC", 1704474200, 17),
        ("2024-01-05T17:03:20+01:00", 1704470600, 17),  # the hour that was written
        ("2024-01-05T17:03:20-0530", 1704494000, 17),
        ("2024-01-05T17:03+02", 1704466980, 17),
        ("1704474200", 1704474200, 17),
        ("1704474200.75", 1704474200.75, 17),
        ("1.7044742E9", 1704474200, 17),
        ("1704474200500", 1704474200.5, 17),
        ("1704474200500000", 1704474200.5, 17),
        ("1704474200500000000", 1704474200.5, 17),
        ("0", 0, 0),
        ("-1", -1, 23),
        ("1969-12-31T23:59:59", -1, 23),
    ],
)
def test_forms(text, seconds, hour):
    [parsed] = [{k: v[0] for k, v in parse([text]).items()}]
    assert (parsed["valid"], parsed["missing"]) == (True, False)
    assert parsed["seconds"] == pytest.approx(seconds, abs=1e-6)
    assert parsed["hour"] == hour
    assert parsed["day"] == (START + dt.timedelta(seconds=seconds)).day - 1


NO_TIMES = """x|2024-02-30|2023-02-29|1900-02-29|2024-13-01|2024-00-01|2024-01-00|2024-01-05T24:00
2024-01-05T10:60|2024-01-05T10:00:61|2024-01-05T10|2024-01-05T10:00+19:00|2024-01-05T10:00+01:60
2024-01-05+01:00|05.01.2024|20241301|12345678901234567890|2024-01-05,1|1e400|1.5.2"""


def test_what_is_no_time():
    texts = NO_TIMES.replace("\n", "|").split("|")
    parsed = parse([*texts, "2024-02-29"])
    assert parsed["valid"].tolist() == [False] * len(texts) + [True]
    assert not parsed["missing"].any()


def test_missing_ones_are_no_times():
    parsed = parse(["", "na", " NA ", "1970-01-01"])
    assert parsed["missing"].tolist() == [True, True, True, False]
    assert parsed["valid"].tolist() == [False, False, False, True]


def test_the_calendar_of_800_years():
    draw = random.Random(1)
    seconds = [draw.randrange(-(10**10), 14 * 10**9) for _ in range(5000)]
    moments = [START + dt.timedelta(seconds=s) for s in seconds]
    written = parse([m.isoformat() for m in moments])
    assert written["valid"].all()
    np.testing.assert_array_equal(written["seconds"], seconds)
    for name, expected in (
        ("hour", [m.hour for m in moments]),
        ("weekday", [m.weekday() for m in moments]),
        ("day", [m.day - 1 for m in moments]),
        ("month", [m.month - 1 for m in moments]),
    ):
        np.testing.assert_array_equal(written[name], expected)
    numbers = parse([f"{s}.0" for s in seconds])
    for name in ("seconds", "hour", "weekday"):
        kept = [len(str(abs(s))) != 8 for s in seconds]
        np.testing.assert_array_equal(numbers[name][kept], written[name][kept])


def test_any_shape():
    times, missing = parse_times(tf.constant([["2024-01-05"], [""]]), ())
    assert times.month.shape == missing.shape == (2, 1)
    assert parse_times(tf.zeros([0, 3], tf.string), ())[0].seconds.shape == (0, 3)
