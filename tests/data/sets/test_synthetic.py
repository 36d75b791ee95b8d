import pickle

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mptrec_tf.data.sets.registry import open_source
from mptrec_tf.data.sets.synthetic.rows import (
    DEFAULT_ROWS,
    TASKS,
    Synthetic,
    make_spec,
    probability_column,
)
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError


def read(source, split="train"):
    blocks = list(read_split(source, split))
    return {name: np.concatenate([b.columns[name] for b in blocks]) for name in blocks[0].columns}


def assert_same(some, others):
    assert some.keys() == others.keys()
    for name in some:
        np.testing.assert_array_equal(some[name], others[name])


@pytest.fixture(scope="module")
def columns():
    return read(Synthetic({"train": 50_000}))


def test_the_spec_names_what_the_rows_have(columns):
    spec = make_spec()
    assert spec.task_names == TASKS
    assert set(columns) == {
        *spec.feature_names,
        spec.user_id,
        *TASKS,
        *(task.known_probability for task in spec.tasks),
    }


def test_unknown_task():
    with pytest.raises(InputError, match="unknown task 'buy': data set 'synthetic' has click, lik"):
        make_spec(["click", "buy"])


def test_a_choice_of_tasks_leaves_the_rows_unchanged(columns):
    source = Synthetic({"train": 2500}, tasks=["purchase", "click"])
    assert source.spec.task_names == ("purchase", "click")
    assert_same(read(source), {name: values[:2500] for name, values in columns.items()})


@pytest.mark.parametrize("rows", [1, 1999, 2000, 2001, 7000])
def test_the_first_rows_do_not_depend_on_how_many_come(columns, rows):
    assert_same(read(Synthetic({"train": rows})), {k: v[:rows] for k, v in columns.items()})


def test_shards_hold_all_rows_once():
    source = Synthetic({"train": 250_001})
    shards = source.shards("train")
    assert [(start, stop) for _, start, stop in shards] == [
        (0, 100_000),
        (100_000, 200_000),
        (200_000, 250_001),
    ]
    last = list(source.read(shards[-1]))
    assert sum(map(len, last)) == 50_001
    assert last[0].where(0) == "synthetic train rows, row 200001"
    assert last[-1].lines[-1] == 250_001


def test_same_seed_same_rows_in_another_process(columns):
    source = pickle.loads(pickle.dumps(Synthetic({"train": 3000})))
    assert_same(read(source), {name: values[:3000] for name, values in columns.items()})


def test_another_seed_gives_other_rows():
    some, others = (read(Synthetic({"train": 2000}, seed=seed)) for seed in (1, 2))
    for name in ("user_id", "item_id", "item_freshness", probability_column("click")):
        assert (some[name] != others[name]).mean() > 0.5


def test_splits_differ_and_share_their_users():
    rows = dict.fromkeys(SPLITS, 20_000)
    train, validation, test = (read(Synthetic(rows), split) for split in SPLITS)
    assert (train["item_freshness"] != validation["item_freshness"]).mean() > 0.99
    assert (test["item_freshness"] != validation["item_freshness"]).mean() > 0.99
    segments = {}
    for split in (train, validation, test):
        for user, segment in zip(split["user_id"], split["user_segment"], strict=True):
            assert segments.setdefault(user, segment) == segment


def test_default_rows():
    assert {split: len(read(Synthetic(), split)["click"]) for split in SPLITS} == DEFAULT_ROWS


def test_rows_by_name():
    source = open_source("synthetic", rows=600, seed=3)
    assert {s: len(read(source, s)["click"]) for s in SPLITS} == {
        "train": 600,
        "validation": 100,
        "test": 200,
    }


def test_a_negative_seed():
    with pytest.raises(InputError, match="the seed must be 0 or more, not -1"):
        Synthetic(seed=-1)


def test_ids_follow_a_power_law(columns):
    _, counts = np.unique(columns["user_id"], return_counts=True)
    counts = np.sort(counts)[::-1]
    # In proportion to rank ** -1.05: the first is drawn 10 ** 1.05 times as often as the tenth.
    assert counts[0] / counts[9] == pytest.approx(10**1.05, rel=0.1)
    assert counts[0] / counts[99] == pytest.approx(100**1.05, rel=0.25)


@pytest.mark.parametrize("task", TASKS)
def test_labels_come_from_their_probabilities(columns, task):
    label, probability = columns[task], columns[probability_column(task)]
    assert set(np.unique(label)) == {0, 1}
    # In each tenth of the rows by probability, within five standard deviations of the sum.
    for rows in np.array_split(np.argsort(probability), 10):
        p = probability[rows]
        deviation = np.sqrt((p * (1 - p)).sum())
        assert abs(label[rows].sum() - p.sum()) < 5 * deviation


def test_tasks_can_be_learned_are_related_and_are_not_the_same(columns):
    probabilities = [columns[probability_column(task)] for task in TASKS]
    for task, probability in zip(TASKS, probabilities, strict=True):
        assert 0.75 < roc_auc_score(columns[task], probability) < 0.95
    logits = [np.log(p / (1 - p)) for p in probabilities]
    correlation = np.corrcoef(logits)[np.triu_indices(len(TASKS), 1)]
    assert correlation.min() > 0.3
    assert correlation.max() < 0.9


def test_rarer_tasks_come_later(columns):
    rates = [columns[task].mean() for task in TASKS]
    assert rates == sorted(rates, reverse=True)
    assert 0.02 < rates[-1] < rates[0] < 0.5
