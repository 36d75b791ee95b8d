"""Days that follow from their numbers alone, whose tastes turn and whose items come and go."""

import itertools
import math
import pickle

import numpy as np
import pytest

from mptrec_tf.data.sets.registry import make_built_in_spec, open_source
from mptrec_tf.data.sets.synthetic.rows import ITEMS, TASKS, make_world
from mptrec_tf.data.sets.synthetic_days.rows import (
    Change,
    SyntheticDays,
    make_day,
    make_day_columns,
)
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.metrics import auc

ROWS = {"train": 2500, "validation": 300, "test": 600}


def read(source, split="train"):
    blocks = list(read_split(source, split))
    return {name: np.concatenate([b.columns[name] for b in blocks]) for name in blocks[0].columns}


def assert_same(some, others):
    assert some.keys() == others.keys()
    for name in some:
        np.testing.assert_array_equal(some[name], others[name])


def list_items(change, day):
    return make_day(change, day)[1]


def test_the_splits_are_of_their_days():
    source = SyntheticDays(9, 3, rows=ROWS)
    train = read(source)
    assert np.unique(train["day"], return_counts=True)[1].tolist() == [2500] * 3
    assert {split: set(read(source, split)["day"]) for split in ROWS} == {
        "train": {7, 8, 9},
        "validation": {9},
        "test": {10},
    }
    assert source.estimated_rows("train") == 7500
    assert source.estimated_rows("test") == 600
    block = list(read_split(source, "train"))[3]
    assert block.where(0) == "synthetic_days train rows of day 8, row 2001"


def test_a_day_has_the_same_rows_in_every_window_and_process():
    later = read(pickle.loads(pickle.dumps(SyntheticDays(31, 3, rows=ROWS))))
    make_day.cache_clear()
    alone = read(SyntheticDays(30, 1, rows=ROWS))  # no day before it is made
    assert_same(alone, {name: values[2500:5000] for name, values in later.items()})
    other = read(SyntheticDays(30, 1, rows=ROWS, change=Change(seed=2)))
    assert not np.array_equal(alone["click"], other["click"])


def test_splits_and_days_have_rows_of_their_own():
    change = Change()
    rows = [
        make_day_columns(change, day, split, chunk, 500)["item_freshness"]
        for day in (3, 4)
        for split in ROWS
        for chunk in (0, 1)
    ]
    assert len({tuple(values) for values in rows}) == len(rows)


def test_day_0_has_the_tastes_of_synthetic():
    world, _ = make_day(Change(), 0)
    np.testing.assert_array_equal(world.user_factors, make_world(1).user_factors)


@pytest.mark.parametrize("apart", [0, 7, 28, 45])
def test_tastes_turn_by_the_drift(apart):
    change = Change(drift=2.0)
    before, after = (make_day(change, 10 + days)[0].user_factors for days in (0, apart))
    # Segments share a center: there are few of them, and so the sample's correlation is rough.
    own = [of[:, :, :] - of.mean(axis=1, keepdims=True) for of in (before, after)]
    found = (own[0] * own[1]).sum() / np.sqrt((own[0] ** 2).sum() * (own[1] ** 2).sum())
    assert found == pytest.approx(math.cos(math.radians(2 * apart)), abs=0.1)
    assert change.correlation(apart) == pytest.approx(math.cos(math.radians(2 * apart)))


def test_without_drift_tastes_stay():
    before, after = (make_day(Change(drift=0), day)[0] for day in (0, 500))
    np.testing.assert_array_equal(before.user_factors, after.user_factors)
    for name, effect in before.effects.items():
        np.testing.assert_array_equal(effect, after.effects[name])


def test_an_item_stays_for_its_lifetime_and_is_never_seen_again():
    change = Change(lifetime=5)
    days = [set(list_items(change, day).tolist()) for day in range(16)]
    lives = [[day for day in range(16) if item in days[day]] for item in set().union(*days)]
    for life in lives:
        assert life == list(range(life[0], life[-1] + 1))
        assert len(life) == 5 or life[0] == 0 or life[-1] == 15
    assert all(len(day) == ITEMS for day in days)
    arrived = [len(after - before) / ITEMS for before, after in itertools.pairwise(days)]
    assert sum(arrived[:5]) == 1  # in a lifetime all are replaced
    assert np.std(arrived) < 0.05  # on different days


def test_an_item_keeps_what_it_is_and_is_shown_most_in_the_middle_of_its_life():
    change = Change(drift=0, lifetime=4)
    worlds = [make_day(change, day) for day in range(12)]
    items = [numbers for _, numbers in worlds]
    place = 0
    first = next(d for d in range(1, 5) if items[d][place] != items[d - 1][place])
    for day in range(first + 1, first + 4):
        world, before = worlds[day][0], worlds[first][0]
        assert items[day][place] == items[first][place]
        assert world.item["item_price"][place] == before.item["item_price"][place]
        np.testing.assert_array_equal(world.item_factors[:, place], before.item_factors[:, place])
    after, before = worlds[first + 4][0], worlds[first][0]
    assert after.item["item_price"][place] != before.item["item_price"][place]
    # The place's share times sin(pi / 8), sin(3 pi / 8), ..., over the sum of the day.
    shown = np.array([worlds[first + age][0].item_probability[place] for age in range(4)])
    assert shown[1] > 1.5 * shown[0]
    assert shown[2] > 1.5 * shown[3]


def test_rows_name_the_items_of_their_day():
    change = Change(lifetime=10)
    for day in (0, 40):
        columns = make_day_columns(change, day, "test", 0, 2000)
        world, numbers = make_day(change, day)
        by_id = {f"i{number}": place for place, number in enumerate(numbers)}
        places = np.array([by_id[item] for item in columns["item_id"]])
        np.testing.assert_array_equal(columns["item_price"], world.item["item_price"][places])
        categories = np.char.add("i", world.item["item_category"][places].astype(str))
        np.testing.assert_array_equal(columns["item_category"].astype(str), categories)


def test_labels_are_drawn_from_the_known_probabilities():
    days = [make_day_columns(Change(), day, "test", c, 2000) for day in (0, 60) for c in range(10)]
    for task in TASKS:
        labels = np.concatenate([of[task] for of in days])
        known = np.concatenate([of[f"probability_{task}"] for of in days])
        noise = np.sqrt((known * (1 - known)).sum()) / len(known)
        assert labels.mean() == pytest.approx(known.mean(), abs=4 * noise)
    best = [auc(of["click"], of["probability_click"]) for of in days]
    assert np.mean(best[:10]) == pytest.approx(np.mean(best[10:]), abs=0.03)  # as hard as before


def test_the_spec_is_that_of_synthetic_with_another_name():
    spec = make_built_in_spec("synthetic_days")
    assert spec.task_names == TASKS
    assert spec.features == make_built_in_spec("synthetic").features
    columns = make_day_columns(Change(), 0, "train", 0, 10)
    known = {task.known_probability for task in spec.tasks}
    assert set(columns) == {*spec.feature_names, *TASKS, *known, "day"}
    with pytest.raises(InputError, match="unknown task 'buy': data set 'synthetic_days' has click"):
        make_built_in_spec("synthetic_days", ["buy"])


def test_options():
    source = open_source("synthetic_days", rows=300, day=20, days=2, drift=5, lifetime=9, seed=3)
    assert [source.estimated_rows(split) for split in ROWS] == [600, 300, 600]
    expected = make_day_columns(Change(3, 5, 9), 20, "validation", 0, 300)
    assert_same(read(source, "validation"), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"day": 3}, "rows of 7 days up to day 3 would begin before day 0; give day 6 or a later"),
        ({"days": 0}, "number of days must be 1 or more, not 0"),
        ({"lifetime": 0}, "the lifetime must be 1 or more, not 0"),
        ({"drift": -1}, "the drift must be 0 or more, not -1"),
        ({"rows": 0}, "number of rows must be 1 or more, not 0"),
    ],
)
def test_options_that_make_no_days(options, message):
    with pytest.raises(InputError, match=message):
        open_source("synthetic_days", **options)
