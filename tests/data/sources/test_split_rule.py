import itertools
import math

import numpy as np
import pytest

from mptrec_tf.data.canonical import MISSING_VALUES
from mptrec_tf.data.sources import split_rule
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.split_rule import SplitRule, TimeCounts, choose_cuts, fit
from mptrec_tf.errors import InputError
from mptrec_tf.storage.plain import from_plain, to_plain


def make_block(**columns):
    arrays = {name: np.array(values, object) for name, values in columns.items()}
    rows = len(next(iter(arrays.values())))
    return Block(arrays, "a.csv", np.arange(2, 2 + rows))


def splits(rule, block):
    return rule.find_splits(block, MISSING_VALUES).tolist()


HASHES = [0.824206, 0.887672, 0.40453, 0.474442, 0.034665, 0.581546, 0.73277, 0.469913]
ROW_HASH = [0.034306]
USERS = [f"user-{n}" for n in range(2000)]


@pytest.mark.parametrize(
    ("shares", "by", "problem"),
    [
        ((0.8, 0.2), None, "0.8,0.2 is not three shares"),
        ((0.8, 0.1, 0.05), None, "the shares 0.8,0.1,0.05 sum to 0.95, not to 1"),
        ((80, 10, 10), None, "sum to 100, not to 1"),
        ((0.9, 0.1, 0), None, "0.9,0.1,0 leaves a split without rows"),
        ((1.1, -0.2, 0.1), None, "leaves a split without rows"),
        ((math.nan, 0.5, 0.5), None, "leaves a split without rows"),
        ((0.8, 0.1, 0.1), "", "the column's name is missing"),
        ((0.8, 0.1, 0.1), "time:", "the column's name is missing"),
    ],
)
def test_problems(shares, by, problem):
    [sentence] = SplitRule(shares, by).problems()
    assert problem in sentence


def test_thirds_are_fine():
    assert not list(SplitRule((0.333333, 0.333333, 0.333334), "time:at").problems())


def test_a_plain_form_restores_the_rule():
    rule = SplitRule((0.5, 0.25, 0.25), "time:at", cuts=(1.5, 1e300), kind="numbers")
    assert from_plain(SplitRule, to_plain(rule)) == rule


def test_hashes_are_the_same_everywhere():
    """Worked out once; another version of pandas or another machine must not change them."""
    rule = SplitRule((0.5, 0.25, 0.25), "user")
    users = ["ann", "bob", "eve", "Zoë", "7", "user-1", "user-2", "user-3"]
    hashes = rule._hash(make_block(user=users), MISSING_VALUES)
    assert np.round(hashes, 6).tolist() == HASHES
    assert splits(rule, make_block(user=users)) == [
        0 if value < 0.5 else 1 if value < 0.75 else 2 for value in HASHES
    ]
    by_row = SplitRule(columns=("a", "b"))._hash(make_block(b=["y"], a=["x"]), MISSING_VALUES)
    assert by_row.round(6).tolist() == ROW_HASH


def test_shares_are_kept_about():
    counts = np.bincount(splits(SplitRule(by="user"), make_block(user=USERS)))
    # Three standard deviations of a binomial count: 54, 40 and 40.
    assert np.abs(counts - [1600, 200, 200]).max() < 54


def test_a_user_is_in_one_split_whatever_the_spelling_and_the_type():
    rule = SplitRule(by="user")
    of = splits(rule, make_block(user=["7", " 7 ", "7.0", "+7"]))
    assert len(set(of)) == 1
    numbers = Block({"user": np.array([7, 7])}, "a.parquet", np.arange(2), is_examples=True)
    assert splits(rule, numbers) == of[:2]


def test_rows_without_a_user_are_not_one_user():
    rule = SplitRule(by="user", columns=("x",))
    x = [f"{n}" for n in range(300)]
    block = make_block(user=["", "NA", "?"] * 100, x=x)
    assert set(splits(rule, block)) == {0, 1, 2}
    assert splits(rule, block) == splits(SplitRule(columns=("x",)), block)


def test_a_row_is_its_features():
    """Not its labels, which may come later, nor the order of its columns."""
    rule = SplitRule(columns=("a", "b"))
    a, b = USERS, USERS[::-1]
    alone = splits(rule, make_block(a=a, b=b))
    assert splits(rule, make_block(b=b, label=USERS, a=a)) == alone
    assert splits(rule, make_block(a=b, b=a)) != alone
    assert splits(rule, make_block(a=[*a, a[5]], b=[*b, b[5]]))[-1] == alone[5]


def test_values_do_not_run_into_each_other():
    block = make_block(a=["1", "11"], b=["12", "2"])
    assert len(set(SplitRule(columns=("a", "b"))._hash(block, ()))) == 2


def test_lists_are_hashed_by_their_values():
    lists = np.empty(3, object)
    lists[:] = [["x", "y"], np.array(["x", "y"]), ["x"]]
    one, same, other = SplitRule(by="tags")._hash(Block({"tags": lists}, "a", np.arange(3)), ())
    assert one == same != other


# By time.


@pytest.mark.parametrize(
    ("rows", "shares", "sizes"),
    [
        ([1] * 10, (0.8, 0.1, 0.1), [8, 1, 1]),
        ([1] * 20, (0.8, 0.1, 0.1), [16, 2, 2]),
        ([1] * 7, (0.8, 0.1, 0.1), [5, 1, 1]),
        ([1] * 3, (0.8, 0.1, 0.1), [1, 1, 1]),
        ([96, 2, 2], (0.8, 0.1, 0.1), [96, 2, 2]),
        ([1, 97, 1, 1], (0.8, 0.1, 0.1), [98, 1, 1]),
        ([2, 2, 96], (0.8, 0.1, 0.1), [2, 2, 96]),
        ([30, 30, 30, 10], (0.5, 0.25, 0.25), [60, 30, 10]),
    ],
)
def test_cuts_are_nearest_to_the_shares_and_leave_no_split_empty(rows, shares, sizes):
    times = np.arange(len(rows)) * 10.0
    cuts = choose_cuts(times, np.array(rows), shares)
    places = np.repeat(np.searchsorted(cuts, times, side="right"), rows)
    assert np.bincount(places, minlength=3).tolist() == sizes


def test_cuts_are_those_of_a_search_over_all():
    random = np.random.default_rng(1)
    for _ in range(200):
        rows = random.integers(1, 30, random.integers(3, 12))
        times, ends = np.arange(len(rows)) * 1.0, np.cumsum(rows)
        wanted = np.array([0.7, 0.9]) * ends[-1]
        costs = {
            pair: np.abs(ends[np.array(pair) - 1] - wanted).sum()
            for pair in itertools.combinations(range(1, len(rows)), 2)
        }
        first, second = choose_cuts(times, rows, (0.7, 0.2, 0.1))
        assert costs[int(first), int(second)] == pytest.approx(min(costs.values()))


def test_no_cuts_with_two_times():
    assert choose_cuts(np.array([1.0, 2.0]), np.array([5, 5]), (0.8, 0.1, 0.1)) is None


def test_times_are_counted_exactly_while_they_are_few():
    counts = TimeCounts()
    counts.add(np.array([3.0, -1.0, 3.0]))
    counts.add(np.array([-1.5, 1e300, 3.0, 0.0]))
    times, rows = counts.by_time()
    assert times.tolist() == [-1.5, -1.0, 0.0, 3.0, 1e300]
    assert rows.tolist() == [1, 1, 1, 3, 1]


def test_many_times_are_counted_alike_in_every_order(monkeypatch):
    monkeypatch.setattr(split_rule, "_PER_MERGE", 100)
    random = np.random.default_rng(1)
    values = np.concatenate([random.normal(0, 1e9, 5000), random.integers(0, 99, 5000)])
    found = set()
    for parts in (3, 7, 400):
        counts = TimeCounts(most=256)
        for part in np.array_split(random.permutation(values), parts):
            counts.add(part)
        times, rows = counts.by_time()
        assert len(times) <= 256
        assert rows.sum() == len(values)
        # Every row is counted under the last time that is not after its own.
        places = np.searchsorted(times, values, side="right") - 1
        assert np.bincount(places, minlength=len(times)).tolist() == rows.tolist()
        found.add((times.tobytes(), rows.tobytes()))
    assert len(found) == 1


def test_fit_by_time():
    blocks = [make_block(at=["2024-01-05", "2024-01-01"]), make_block(at=["2024-01-03"] * 8)]
    rule = fit(SplitRule(by="time:at"), blocks, ["x"], (), "a.csv")
    assert rule.columns == ()
    assert [splits(rule, block) for block in blocks] == [[2, 0], [1] * 8]
    assert rule.describe() == (
        "0.8 / 0.1 / 0.1 by at: validation from 2024-01-03T00:00:00Z, test from "
        "2024-01-05T00:00:00Z"
    )
    # Later rows are test rows.
    assert splits(rule, make_block(at=["2025-01-01", "1999-01-01"])) == [2, 0]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            SplitRule(by="time:at"),
            "a.csv cannot be split by time: column 'at' has 2 different times in 3 rows, and "
            "train, validation and test need one each, since rows of one time stay together.",
        ),
        (
            SplitRule(by="at"),
            "the split of a.csv leaves no {} rows: their 3 rows have too few values of 'at'; "
            "split by another column, with another share, or give a file for each split.",
        ),
        (
            SplitRule(),
            "the split of a.csv leaves no {} rows: their 3 rows have too few different rows; "
            "split by another column, with another share, or give a file for each split.",
        ),
    ],
)
def test_empty_splits_are_named(rule, message):
    block = make_block(at=["1", "2", "2"])
    with pytest.raises(InputError) as error:
        fit(rule, [block], ["at"], (), "a.csv")
    assert str(error.value) in {message.format(s) for s in ("train", "validation", "test")}


def test_hash_rules_in_words():
    assert SplitRule(by="user").describe() == "0.8 / 0.1 / 0.1 of values of user, by hash"
    assert SplitRule().describe() == "0.8 / 0.1 / 0.1 of rows, by hash"
