"""Each rule, on a column that it is for and on a neighbour that it is not for."""

import pytest

from mptrec_tf.data.describing.columns import Column, are_one_to_one
from mptrec_tf.data.describing.guesses import guess_feature, tokens


def spread(values, rows=1000):
    values = list(map(str, values))
    return [values[n * 7919 % len(values)] for n in range(rows)]


def number(name, scale="standard", pieces=16, missing=False):
    """Returns the lines of a number: as it is, and in pieces."""
    first = f"{{name: {name}, scale: {scale}{', missing: mean' if missing else ''}}}"
    keys = (f", pieces: {pieces}" if pieces < 16 else "") + (
        ", scale: log" if scale == "log" else ""
    )
    return [first, f"{{name: {name}{keys}}}" if keys else name]


CASES = [
    # name, values, what it seems to be, its active lines
    ("x", ["", "NA"] * 50, "empty", []),
    ("shop", ["main"] * 100, "constant", []),
    ("shop", ["main", ""] * 50, "category", ["shop"]),
    ("city", spread(["Bern", "Thun", "Basel"]), "category", ["city"]),
    ("query", spread(range(150), 3000), "id", ["{name: query, min_count: 10}"]),
    ("name", spread(f"n{i}" for i in range(300)), "category", ["{name: name, min_count: 2}"]),
    ("comment", [f"a text of words {i}" for i in range(300)], "text", []),
    ("code", [f"c{i}" for i in range(300)], "row id", []),
    ("n", range(300), "row number", []),
    ("price", spread(i / 4 for i in range(1000)), "number", number("price")),
    (
        "price",
        spread([1.5, 2.5, 3.5, 900.25] * 50 + [0.5]),
        "number",
        number("price", scale="log", pieces=4),
    ),
    ("delta", [*spread([-1.5, 0, 2.25]), "99999"], "number", number("delta", pieces=3)),
    ("age", spread(range(18, 90)), "number", number("age")),
    ("level", spread(range(5)), "number or code", [*number("level", pieces=4), "level"]),
    ("zipcode", spread(range(8000, 8050)), "category", ["zipcode"]),
    ("plz", spread(["01234", "80331"]), "category", ["plz"]),
    ("flag", spread([0, 1]), "category", ["flag"]),
    ("gain", [*["0"] * 60, *map(str, range(1, 41))], "number", [*number("gain"), "gain"]),
    (
        "gain",
        [*["0"] * 90, *map(str, range(1, 41)), *map(str, range(1, 41))],
        "number",
        ["{name: gain, scale: standard}", "gain"],
    ),
    ("hash", spread(10**15 + i * 7 for i in range(90)), "id", ["hash"]),
    ("user_id", spread(f"u{i}" for i in range(50)), "user id", ["user_id"]),
    ("userId", [f"u{i}" for i in range(400)], "user id", ["{name: userId, hash_buckets: 100000}"]),
    ("movieid", spread(range(900), 2000), "item id", ["{name: movieid, min_count: 2}"]),
    ("request_id", [f"r{i // 1.2:.0f}" for i in range(900)], "row id", []),
    (
        "at",
        [f"2024-01-{i % 28 + 1:02}" for i in range(300)],
        "time",
        ["{name: at, parts: [weekday]}"],
    ),
    ("at", ["2024-01-05 12:30"] * 5 + ["2024-01-05"], "time", ["at"]),
    ("at", [f"{i % 28 + 1}.01.2024" for i in range(300)], "time", []),
    ("ts", [1_700_000_000 + 97 * i for i in range(300)], "time", ["ts"]),
    ("ts", [1_700_000_000_000 + 97 * i for i in range(300)], "time", ["ts"]),
    (
        "day",
        [f"202401{i % 28 + 1:02}" for i in range(300)],
        "time",
        ["{name: day, parts: [weekday]}"],
    ),
    ("age", [*["", "30"] * 50, "31", "32"], "number", number("age", pieces=2, missing=True)),
    (
        "sum",
        ["", *(f"{i}.5" for i in range(2000))],
        "number",
        number("sum", missing=True),
    ),
    ("preis", [f"{i % 30},5" for i in range(300)], "number", []),
    ("price", [f"${i % 30}.50" for i in range(300)], "number", []),
    ("n", [*map(str, range(200)), "many"] * 5, "category", ["{name: n, min_count: 2}"]),
    ("tags", spread(["a|b", "b|c", "a", "c|a|b", "b|a"]), "bag", ['{name: tags, separator: "|"}']),
    (
        "tags",
        ["a:0.5|b:1", "b:.25", "b:1|c:2", "c:3|a:1"] * 9,
        "bag",
        ['{name: tags, separator: "|", weights: true}'],
    ),
    (
        "history",
        [f"{i % 9} {i % 7} 3" for i in range(63)] * 3,
        "bag",
        ['{name: history, separator: " "}'],
    ),
    ("street", spread(f"{a} {b} street" for a in "abcdef" for b in "xyz"), "category", ["street"]),
    ("sample_weight", [f"0.{i}" for i in range(1, 100)], "weight", []),
    ("weight", spread(f"{i}.5" for i in range(50, 99)), "number", number("weight")),
]


def items(lines):
    return [line.write().strip().removeprefix("- ") for line in lines]


@pytest.mark.parametrize(("name", "values", "what", "lines"), CASES)
def test_rules(name, values, what, lines):
    guess = guess_feature(Column(name, list(map(str, values))), [])
    assert (guess.what, items(guess.active)) == (what, lines)
    assert guess.reason


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("tags", ["a|b", "b|c", "a", "c|a|b"] * 9, "'|' between values: 2.0 of 3 per row"),
        ("tags", ["a:0.5|b:1", "b:.25", "b:1|c:2", "c:3|a:1"] * 9, ", with weights"),
        ("age", ["", "30.5", "31", "?", "32", ""] * 25, "30.5 to 32, 50.0% missing"),
        ("at", ["2024-01-05 12:30"] * 5 + ["2024-01-05"], "dates and times"),
    ],
)
def test_reasons(name, values, reason):
    assert reason in guess_feature(Column(name, values), []).reason


@pytest.mark.parametrize(
    ("values", "has"),
    [
        (["1,5", "-2,25", ",5", "3"], True),
        (["1,5", "2.5"], False),
        (["1,234", "12,345", "7"], False),  # thousands
        (["1,234", "1,5"], True),
        (["1.234,5"], False),
        (["1", "2"], False),
    ],
)
def test_a_decimal_comma(values, has):
    assert Column("preis", values).has_decimal_comma == has
    guess = guess_feature(Column("preis", values * 50), [])
    assert ("numbers with a decimal comma, where others have a point" in guess.reason) == has


@pytest.mark.parametrize("value", ["1.234,5", "1,234", "1,234.5", "5 %"])
def test_numbers_that_must_be_written_plainly(value):
    guess = guess_feature(Column("preis", [value] * 50 + [f"9{value}"] * 50), [])
    assert guess.reason == f"numbers written as '{value}': write plain numbers"
    assert not guess.active


def test_lists_have_no_separator():
    guess = guess_feature(Column("tags", ["a|b", "b"] * 9, is_list=True), [])
    assert (guess.what, items(guess.active)) == ("bag", ["tags"])


def test_duplicates_are_left_out():
    first = Column("city", spread(["Bern", "Thun"]))
    guess = guess_feature(Column("town", first.values), [first])
    assert (guess.what, guess.reason) == ("duplicate", "the same values as city")


def test_missing_values_and_sentinels_are_named():
    assert "33.3% missing ('?')" in guess_feature(Column("x", ["a", "b", "?"] * 9), []).reason
    column = Column("n", ["-999", *map(str, range(200))] * 20)
    assert guess_feature(column, []).reason.endswith("-999 may mark a missing value")


def test_samples_underestimate_counts():
    values = spread((f"n{i}" for i in range(300)), 1000)
    assert items(guess_feature(Column("x", values, is_all=False), []).active) == [
        "{name: x, min_count: 10}"
    ]


def test_measures():
    column = Column("n", ["1", " 2", "2 ", "", "?", "4"])
    assert (column.rows, column.known, column.missing, column.distinct) == (6, 4, 2, 3)
    assert column.most_frequent == ("2", 0.5)
    assert column.quantile(0.5) == 2
    assert column.density == 0.75
    assert column.spellings == ["", "?"]


def test_one_to_one():
    codes = Column("code", ["1", "2", "3", "1"])
    assert are_one_to_one(codes, Column("name", ["a", "b", "c", "a"]))
    assert not are_one_to_one(codes, Column("name", ["a", "b", "c", "b"]))
    assert not are_one_to_one(codes, Column("name", ["b", "a", "c", "c"]))


def test_words_of_names():
    assert tokens("is_clicked") == {"is", "clicked"}
    assert tokens("watchTimeMs") == {"watch", "time", "ms"}
    assert tokens("grid") == {"grid"}
