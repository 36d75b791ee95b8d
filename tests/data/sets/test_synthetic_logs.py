import hashlib

import numpy as np
import pytest

from mptrec_tf.data.sets.registry import make_built_in_spec, open_source
from mptrec_tf.data.sets.synthetic.rows import Synthetic
from mptrec_tf.data.sets.synthetic_logs.rows import SyntheticLogs
from mptrec_tf.data.sets.synthetic_logs.spec import (
    DEFAULT_TASKS,
    ENDINGS,
    MOST_SHOWN,
    STARS,
    TASKS,
    make_spec,
)
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.tasks.base import drop_unlabelled
from mptrec_tf.errors import InputError

ROWS = 30_000
# Of every value of `synthetic` to nine decimals: 4,500, 300 and 600 rows of seed 1, before there
# was more of it.
DIGEST = "e71f6273d428b1374b21375fdecdfd3166d574a7c51e883733ae06c7f2614651"


def read(source, split="train"):
    blocks = list(read_split(source, split))
    return {name: np.concatenate([b.columns[name] for b in blocks]) for name in blocks[0].columns}


def digest(source, names):
    made = hashlib.sha256()
    for split in SPLITS:
        for block in read_split(source, split):
            for name in names:
                column = block.columns[name]
                made.update(name.encode() + b"\0")
                if column.dtype == object:
                    made.update("\0".join(column).encode())
                else:  # the last bits of exponentials differ between processors
                    made.update(np.round(column, 9).tobytes())
    return made.hexdigest()


@pytest.fixture(scope="module")
def columns():
    return read(SyntheticLogs({"train": ROWS}))


@pytest.fixture(scope="module")
def task_rows(columns):
    """Labels, known values, and which rows have a label, by task."""
    source = SyntheticLogs({"train": ROWS}, tasks=TASKS)
    blocks = list(read_split(source, "train"))
    rows = {}
    for task in source.spec.tasks:
        labels = np.concatenate([task.labels(b, source.spec.missing_values) for b in blocks])
        known = np.stack([columns[name] for name in task.known_columns], axis=1)
        rows[task.name] = (*drop_unlabelled(labels, known), ~np.isnan(labels))
    return rows


def test_the_columns_of_synthetic_are_the_same():
    rows = {"train": 4500, "validation": 300, "test": 600}
    names = sorted(next(iter(read_split(Synthetic(rows), "train"))).columns)
    assert digest(Synthetic(rows), names) == DIGEST
    assert digest(SyntheticLogs(rows), names) == DIGEST


def test_the_spec_names_what_the_rows_have(columns):
    spec = make_spec(TASKS)
    known = [name for task in spec.tasks for name in task.known_columns]
    labels = [task.label for task in spec.tasks]
    assert set(columns) == {*spec.feature_names, spec.user_id, *labels, *known}
    assert make_built_in_spec("synthetic_logs").task_names == DEFAULT_TASKS
    with pytest.raises(InputError, match="unknown task 'buy': data set 'synthetic_logs' has click"):
        make_spec(["buy"])


@pytest.mark.parametrize("rows", [1, 2000, 2001])
def test_rows_depend_neither_on_how_many_come_nor_on_the_tasks(columns, rows):
    some = read(open_source("synthetic_logs", tasks=["ending"], rows=6 * rows), "validation")
    more = read(SyntheticLogs({"validation": 5000}), "validation")
    assert some.keys() == columns.keys()
    for name, values in some.items():
        np.testing.assert_array_equal(values, more[name][:rows], name)


def test_an_item_has_the_same_topics_wherever_it_is_shown(columns):
    of_items = dict(zip(columns["item_id"], columns["item_topics"], strict=True))
    assert [of_items[item] for item in columns["item_id"]] == columns["item_topics"].tolist()
    validation = read(SyntheticLogs({"validation": 2000}), "validation")
    for item, topics in zip(validation["item_id"], validation["item_topics"], strict=True):
        assert of_items.get(item, topics) == topics
    counts = {topics.count("|") + 1 for topics in of_items.values()}
    assert counts == {1, 2, 3, 4}
    weights = [float(t.split(":")[1]) for text in of_items.values() for t in text.split("|")]
    assert 0.1 <= min(weights) < max(weights) <= 1


def test_a_history_is_of_the_user_and_not_of_the_rows(columns):
    lengths = np.array([len(text.split("|")) if text else 0 for text in columns["history"]])
    assert set(lengths) == set(range(MOST_SHOWN + 1))
    items = {item for text in columns["history"] for item in text.split("|") if item}
    assert items == {f"i{rank}" for rank in range(200)}
    # The item on show is in it no more often than it is in another row's history.
    inside = [
        np.mean([item in text.split("|") for item, text in zip(shown, columns["history"])])  # noqa: B905
        for shown in (columns["item_id"], np.roll(columns["item_id"], 1))
    ]
    assert inside[0] == pytest.approx(inside[1], abs=5 * np.sqrt(inside[0] / ROWS))


def test_seconds_are_missing_in_three_rows_of_ten(columns):
    seconds = columns["session_seconds"]
    assert np.isnan(seconds).mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / ROWS))
    assert seconds[~np.isnan(seconds)].min() > 0


def test_times_have_the_rows_hour(columns):
    times = columns["shown_at"].astype("datetime64[s]")
    hours = (times - times.astype("datetime64[D]")).astype(int) // 3600
    np.testing.assert_array_equal(hours, columns["hour"].astype(int))
    assert len(np.unique(times.astype("datetime64[D]"))) == 28


def test_only_clicked_rows_have_a_watch_time_an_ending_and_stars(columns, task_rows):
    clicked = columns["click"] == 1
    for name in ("watch", "ending"):
        np.testing.assert_array_equal(task_rows[name][2], clicked)
        assert set(columns[make_spec([name]).tasks[0].label][~clicked]) == {""}
    rated = task_rows["stars"][2]
    assert not rated[~clicked].any()
    assert rated[clicked].mean() == pytest.approx(0.6, abs=0.03)
    assert not columns["cart"][~clicked].any()
    assert task_rows["cart"][2].all()


@pytest.mark.parametrize(
    ("task", "values"), [("cart", ("1",)), ("stars", STARS), ("ending", ENDINGS)]
)
def test_labels_come_from_their_probabilities(task_rows, task, values):
    labels, known, _ = task_rows[task]
    if len(values) > 1:
        np.testing.assert_allclose(known.sum(axis=1), 1)
    for i, value in enumerate(values):
        is_value = labels == (float(value) if value.isdigit() else i)
        # In each fifth of the rows by probability, within five standard deviations of the sum.
        for rows in np.array_split(np.argsort(known[:, i]), 5):
            p = known[rows, i]
            assert abs(is_value[rows].sum() - p.sum()) < 5 * np.sqrt((p * (1 - p)).sum()) + 1e-3


def test_watch_times_come_from_their_means_and_medians(task_rows):
    labels, known, _ = task_rows["watch"]
    for rows in np.array_split(np.argsort(known[:, 0]), 5):
        mean, median = known[rows].T
        deviation = np.sqrt(np.exp(0.36) - 1) * mean  # of a lognormal distribution
        assert abs((labels[rows] - mean).sum()) < 5 * np.sqrt((deviation**2).sum())
        assert (labels[rows] > median).mean() == pytest.approx(0.5, abs=5 / 2 / np.sqrt(len(rows)))


def test_what_is_known_cannot_be_beaten(task_rows):
    """Of the known values, and of those values with noise."""
    random = np.random.default_rng(1)
    for task in make_spec(TASKS).tasks:
        labels, known, _ = task_rows[task.name]
        if task.kind == "ordinal":
            task = task.fit_values({level: int((labels == float(level)).sum()) for level in STARS})
        single = known[:, 0] if known.shape[1] == 1 else known
        truth = {
            "binary": single,
            "regression": known[:, 0],
            "classes": single,
            "ordinal": known @ np.arange(1, 1 + known.shape[1]),
        }[task.kind]
        noise = np.exp(0.3 * random.normal(size=truth.shape))
        noisy = truth * noise / (truth * noise + 1 - truth) if task.kind == "binary" else None
        if task.kind == "classes":
            noisy = truth * noise / (truth * noise).sum(axis=1, keepdims=True)
        noisy = np.clip(truth * noise, 1, 5) if task.kind == "ordinal" else noisy
        noisy = truth * noise if task.kind == "regression" else noisy
        own = task.metrics(labels, truth, known=single)
        worse = task.metrics(labels, noisy, known=single)
        gains = {}
        for name in (name[5:] for name in own if name.startswith("best_")):
            sign = -1 if name in ("log_loss", "rmse", "mae") else 1
            assert sign * own[f"best_{name}"] > sign * worse[name], (task.name, name)
            gains[name] = sign * (own[f"best_{name}"] - own[name])
        # Where a mean is predicted: it is neither a median nor the most likely value.
        better = {"watch": {"mae"}, "stars": {"mae", "accuracy", "log_loss"}}.get(task.name, set())
        assert all(gain > 0 if name in better else gain == 0 for name, gain in gains.items()), gains
