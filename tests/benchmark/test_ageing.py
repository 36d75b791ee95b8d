"""The scripts on ageing and on refreshes: days, rows of windows, tables, and a short run."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.packed import CATEGORICAL, LABELS
from mptrec_tf.data.sets.synthetic.spec import TASKS
from mptrec_tf.data.sets.synthetic_days.rows import Change
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.training.batches import make_memory_rows

# The scripts import one another, as they do when they are run.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import ageing
import ageing_report
import refresh

SMALL = ageing.Size(2, 1, {"train": 300, "validation": 100, "test": 200}, 1, 1)


def make_results(seed=1, days=4):
    """Each way is .01 below the one after it, and all lose .001 a day."""
    return [
        {
            "seed": seed,
            "way": way,
            "day": day,
            "auc": dict.fromkeys(TASKS, 0.7 + 0.01 * place - 0.001 * day),
            "best": dict.fromkeys(TASKS, 0.8),
            "seconds": 2.5 * place,
            "epochs": place,
        }
        for place, way in enumerate(ageing_report.WAYS)
        for day in range(1, days + 1)
    ]


def test_a_training_reads_the_days_before_the_one_that_it_is_judged_on():
    assert ageing.FULL.tested == range(7, 35)
    assert ageing.FULL.list_window(6) == {"train": range(7), "validation": range(5, 7)}
    assert SMALL.list_window(4) == {"train": range(4, 5), "validation": range(4, 5)}


def test_rows_have_their_day_as_a_label():
    days = {"train": range(2), "test": (5, 9)}
    source = ageing.Days(Change(), SMALL.rows, days)
    blocks = list(read_split(source, "test"))
    [task] = source.spec.select_tasks(["day"])
    labels = np.concatenate([task.labels(block, ()) for block in blocks])
    assert np.unique(labels, return_counts=True)[1].tolist() == [200, 200]
    assert [source.estimated_rows(split) for split in ("train", "test")] == [600, 400]
    assert source.shards("validation") == []


def test_the_best_is_that_of_the_day_s_test_rows():
    best = ageing.compute_best(Change(), ageing.Size(rows={"test": 4000}), 12)
    assert set(best) == set(TASKS)
    assert all(0.7 < value < 0.9 for value in best.values())


def test_rows_of_a_window_and_ids_that_it_does_not_know():
    rows = make_memory_rows(
        {
            CATEGORICAL: tf.constant([[0, 5], [1, 6], [2, 7], [0, 6]], tf.int64),
            LABELS: tf.constant([[1, 0, 3], [0, 1, 4], [1, 1, 5], [0, 0, 4]], tf.float32),
        }
    )
    train = ageing.select_rows(rows, (3, 4), (1,))
    assert train.columns[LABELS].numpy().tolist() == [[0], [1], [0]]
    test = ageing.select_rows(rows, (5,), (1,))
    changed = ageing.forget_ids({"train": train, "test": test}, column=1, unknown=9)
    assert changed["train"].columns[CATEGORICAL].numpy().tolist() == [[0, 5], [1, 6], [0, 6]]
    assert changed["test"].columns[CATEGORICAL].numpy().tolist() == [[2, 9]]


def test_gaps_are_means_over_tasks_and_seeds_by_day():
    lower = [{**of, "best": dict.fromkeys(TASKS, 0.9)} for of in make_results(2)]
    gaps = ageing_report.compute_gaps(make_results() + lower, TASKS)
    np.testing.assert_allclose(gaps[ageing_report.FROZEN], [-0.151, -0.152, -0.153, -0.154])


def test_a_day_that_was_not_run_leaves_the_others_in_their_places():
    some = [of for of in make_results() if (of["way"], of["day"]) != (ageing_report.JOINT, 2)]
    gaps = ageing_report.compute_gaps(some, TASKS)[ageing_report.JOINT]
    np.testing.assert_allclose(gaps, [-0.061, np.nan, -0.063, -0.064])
    lines = ageing_report.make_table(some, 2).splitlines()
    assert lines[6] == "| joint daily | -0.0610 | -0.0635 | -0.0635 | 3 | 3 | 30 |"


def test_the_table_by_hand():
    lines = ageing_report.make_table(make_results() + make_results(2), 2).splitlines()
    assert lines[0].endswith(
        "| week 1 | week 2 | added task, last week | days run | trainings | CPU seconds |"
    )
    assert lines[2] == "| frozen | -0.1015 | -0.1035 | -0.1035 | 4 | 0 | 0 |"
    assert lines[6] == "| joint daily | -0.0615 | -0.0635 | -0.0635 | 4 | 4 | 40 |"


def test_a_run_continues_and_ends_in_a_table_and_figures(tmp_path, monkeypatch):
    def run(self, done):
        yield from (of for of in make_results() if (of["way"], of["day"]) not in done)

    monkeypatch.setattr(ageing.Ageing, "run", run)
    whole = ageing.run(str(tmp_path), [1], ageing.Size(4, 2))
    path = tmp_path / "results.jsonl"
    lines = path.read_text()
    path.write_text(lines[: len(lines) // 2])  # in the middle of a line
    assert ageing.run(str(tmp_path), [1], ageing.Size(4, 2)) == whole
    assert sorted(path.read_text().splitlines()) == sorted(lines.splitlines())
    assert {"ageing.png", "ageing.svg", "ageing.md"} <= {of.name for of in tmp_path.iterdir()}


def test_one_joint_training_is_judged_on_its_day(tmp_path, without_xla):
    done = {(way, day) for way in ageing_report.WAYS for day in (1, 2)} - {(ageing_report.JOINT, 2)}
    with without_xla():
        [result] = ageing.Ageing(str(tmp_path), 1, SMALL).run(done)
    assert (result["way"], result["day"], result["epochs"]) == (ageing_report.JOINT, 2, 1)
    assert all(0 < result["auc"][task] < 1 for task in TASKS)
    assert result["seconds"] > 0
    assert json.loads(json.dumps(result)) == result


def test_halves_hold_all_training_rows_once(small_census):
    first, second, everything = (
        refresh.Half(str(small_census), part)
        for part in (refresh.FIRST, refresh.SECOND, refresh.ALL)
    )

    def read(source):
        blocks = read_split(source, "train")
        return [line for block in blocks for line in block.lines.tolist()]

    assert read(first) + read(second) == read(everything)
    assert abs(len(read(first)) - len(read(second))) <= 1
    assert first.shards("test") == everything.shards("test")


def make_refreshed(seed, share, loss):
    trainings = ("backbone", "education", "weeks_worked")
    seconds = {refresh.SCRATCH: 100.0 + seed, refresh.WARM: share * (100.0 + seed)}
    return {
        "cost": {
            way: {name: {"seconds": of, "epochs": 4} for name in trainings}
            for way, of in seconds.items()
        },
        "auc": {refresh.SCRATCH: {"income": 0.95}, refresh.WARM: {"income": 0.95 - loss}},
        "difference": {"income": (-loss, 0.0003)},
    }


def test_cost_and_differences_of_a_refresh_by_hand():
    results = [make_refreshed(1, 0.25, 0.0004), make_refreshed(3, 0.25, 0.0008)]
    lines = refresh.make_cost_table(results).splitlines()
    assert lines[2:] == [
        "| backbone | 4.0 | 102 | 4.0 | 26 | 0.25 |",
        "| heads | 4.0 | 204 | 4.0 | 51 | 0.25 |",
        "| all |  | 306 |  | 76 | 0.25 |",
    ]
    # Errors: sqrt(.0003**2 + .0002828**2 / 2) = .00036.
    row = refresh.make_score_table(results).splitlines()[2]
    assert row == "| income | 0.9500 | 0.9494 | -0.0006 ± 0.0004 | -0.0004 -0.0008 |"
    assert refresh.list_missed(results) == []


@pytest.mark.parametrize(
    ("share", "loss", "message"),
    [(0.4, 0.0, "costs 0.400 of training from scratch"), (0.2, 0.002, "income loses 0.0020 ±")],
)
def test_bounds_that_are_missed(share, loss, message):
    [missed] = refresh.list_missed([make_refreshed(1, share, loss)])
    assert message in missed
