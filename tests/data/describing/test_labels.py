import pytest

from mptrec_tf.data.describing.columns import Column
from mptrec_tf.data.describing.labels import find_nested, guess_tasks


def guess(**columns):
    tasks = guess_tasks([Column(name, list(map(str, of))) for name, of in columns.items()])
    return [line.write().strip().removeprefix("- ") for task in tasks for line in task.lines]


CITIES = ["Bern", "Thun", "Basel", "Bern"]


@pytest.mark.parametrize(
    ("values", "positive", "negative"),
    [
        ([0, 1, 0, 0], "1", "0"),
        ([1, 1, 1, 0], "1", "0"),
        (["no", "yes", "no", "no"], "yes", "no"),
        (["TRUE", "FALSE", "TRUE", "TRUE"], "TRUE", "FALSE"),
        (["<=50K", ">50K", ">50K", ">50K"], '">50K"', '"<=50K"'),
        (["a", "b", "a", "a"], "b", "a"),
        ([-1, 1, 1, 1], "1", '"-1"'),
    ],
)
def test_the_positive_value(values, positive, negative):
    assert guess(city=CITIES, label=values) == [
        f"{{name: label, label: label, positive: {positive}, negative: {negative}}}"
    ]


def test_names_of_labels():
    zeros = [0, 1, 0, 0]
    assert len(guess(is_clicked=zeros, weekend=[0, 0, 0, 1], addToCart=[0, 0, 1, 1])) == 2
    assert len(guess(weekend=zeros, click_id=[1, 2, 3, 4], clicked_at=[1, 1, 1, 2], buy=zeros)) == 1


def test_missing_labels_are_skipped():
    assert guess(label=[0, 1, "", 1], x=CITIES) == [
        "{name: label, label: label, positive: 1, negative: 0, missing: skip}"
    ]


def test_numbers_and_ratings():
    assert guess(x=CITIES, watch_seconds=[0.5, 3, 1000, 2.5]) == [
        "{name: watch_seconds, kind: regression, label: watch_seconds, scale: log}"
    ]
    assert guess(x=CITIES, rating=[1, 4, 5, 4]) == [
        "{name: rating, kind: regression, label: rating}",
        "{name: high_rating, label: rating, above: 3.5}",
    ]


def test_labels_of_rows_with_another_label():
    """Where all other rows have none, or none but 0."""
    assert guess(
        clicked=[0, 1, 1, 0, 1], watch=[0, 2.5, 0, 0, 9], stars=["", 5, 4, "", 1], x=[1, 2, 3, 4, 5]
    )[1:] == [
        "{name: watch, kind: regression, label: watch, where: {clicked: 1}}",
        "{name: stars, kind: regression, label: stars, where: {clicked: 1}}",
        "{name: high_stars, label: stars, above: 3.5, where: {clicked: 1}}",
    ]
    # Not where such rows have other values, and both keys where some of the rows have none.
    assert "where" not in guess(clicked=[0, 1, 1, 0], watch=[1, 2.5, 3, 0])[1]
    both = guess(clicked=[0, 1, 1, 0], watch=["", 2.5, "", ""], x=CITIES)[1:]
    assert both == []  # one value alone is no label
    both = guess(clicked=[0, 1, 1, 0, 1, 1], watch=["", 2.5, "", "", 3, 4])[1]
    assert both.endswith("where: {clicked: 1}, missing: skip}")


def test_the_narrowest_condition_is_taken():
    lines = guess(clicked=[0, 1, 1, 1, 1], bought=[0, 0, 1, 1, 1], stars=["", "", 3, 5, 1])
    assert "where: {bought: 1}" in lines[2]


def test_nested_events():
    columns = [
        Column("clicked", list("0111")),
        Column("bought", list("0011")),
        Column("liked", list("1100")),
    ]
    [(a, b)] = find_nested(guess_tasks(columns))
    assert (a.name, b.name) == ("bought", "clicked")


@pytest.mark.parametrize(
    ("columns", "task"),
    [
        ({"x": CITIES, "sex": list("mfmm")}, "name: sex, label: sex, positive: f, negative: m"),
        ({"sex": list("mfmm"), "x": CITIES}, "name: sex, label: sex, positive: f, negative: m"),
        ({"x": CITIES, "n": [1, 2, 3, 1]}, "name: n, kind: regression, label: n"),
        ({"n": [1, 2, 3, 1], "x": CITIES}, "name: x, kind: classes, label: x"),
        ({"n": [1, 2, 2, 5], "at": [1.7e9, 1.8e9, 1.7e9, 1.9e9]}, "name: at, kind: regression"),
        ({"2 x": list("mfmm")}, "name: task_2_x, label: 2 x, positive: f, negative: m"),
    ],
)
def test_there_is_always_a_task(columns, task):
    assert task in guess(**columns)[0]


def test_a_time_is_the_last_to_be_taken_for_a_label():
    times = [str(1_700_000_000 + n) for n in range(4)]
    assert "label: n" in guess(n=[1, 2, 2, 5], at=times)[0]


def test_no_task_without_two_values():
    assert guess_tasks([Column("x", ["a", "a"])]) == []
