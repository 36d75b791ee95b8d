"""Counts of categories are exact, however they come."""

import pickle
from collections import Counter

import numpy as np
import pytest

from mptrec_tf.data.transform import category_counts
from mptrec_tf.data.transform.category_counts import CategoryCounts


def draw(rows, different, seed=0):
    numbers = np.random.default_rng(seed).integers(0, different, rows)
    return np.array([f"v{number}".encode() for number in numbers], object)


def to_dict(counted):
    texts, rows = counted
    assert len(set(texts.to_pylist())) == len(texts)
    return dict(zip(texts.to_pylist(), rows.tolist(), strict=True))


@pytest.mark.parametrize("different", [1, 7, 5000])
@pytest.mark.parametrize("waiting", [1, 100, 10**6])
def test_counts_like_a_counter(monkeypatch, different, waiting):
    monkeypatch.setattr(category_counts, "_WAITING_ROWS", waiting)
    values, counts = draw(3000, different), CategoryCounts()
    for part in np.array_split(values, 40):
        counts.add(part)
    assert to_dict(counts.counted()) == Counter(values)
    counts.add(values[:10])  # goes on afterwards
    assert to_dict(counts.counted()) == Counter([*values, *values[:10]])


def test_pickled_parts_add_up():
    values, merged = draw(3000, 500), CategoryCounts()
    for part in np.array_split(values, 7):
        counts = CategoryCounts()
        counts.add(part)
        pickled = pickle.dumps(counts)
        assert len(pickled) < 12 * len(set(part)) + 1000
        merged.merge(*pickle.loads(pickled).counted())
    assert to_dict(merged.counted()) == Counter(values)


def test_of_nothing():
    texts, rows = CategoryCounts().counted()
    assert len(texts) == len(rows) == 0
    assert to_dict(pickle.loads(pickle.dumps(CategoryCounts())).counted()) == {}
    texts, rows = CategoryCounts().most_frequent(1)
    assert len(texts) == len(rows) == 0


def test_most_frequent_come_first_and_equals_by_their_bytes():
    counts = CategoryCounts()
    counts.add(np.array([b"\xc3\xa9", b"z", b"a", b"z", b"b", b"", b"B", b"\xff"], object))
    texts, rows = counts.most_frequent(1)
    assert texts.to_pylist() == [b"z", b"", b"B", b"a", b"b", b"\xc3\xa9", b"\xff"]
    assert rows.tolist() == [2, 1, 1, 1, 1, 1, 1]
    assert counts.most_frequent(2)[0].to_pylist() == [b"z"]


def test_holds_no_more_than_the_different_ones(monkeypatch):
    monkeypatch.setattr(category_counts, "_WAITING_ROWS", 100)
    counts = CategoryCounts()
    for seed in range(50):
        counts.add(draw(200, 300, seed))
        assert sum(len(texts) for texts, _ in counts._parts) <= 2 * 300
