"""The script that shows what each kind brings: its ways, one training, and its tables."""

import os
from collections import Counter

import numpy as np
import pytest

from benchmarks import real_logs


def test_every_way_is_judged_on_tasks_that_its_data_have():
    assert len({(way.group, way.name) for way in real_logs.WAYS}) == len(real_logs.WAYS)
    for way in real_logs.WAYS:
        spec = real_logs.Logs(600, way.data).spec
        assert all(task.given in (None, *way.tasks) for task in spec.select_tasks(way.tasks))
        assert spec.select_tasks(way.judged)
        assert {task for task, *_ in real_logs.COLUMNS[way.group]} <= set(way.judged)
    assert {way.group for way in real_logs.QUICK_WAYS} == set(real_logs.COLUMNS)


@pytest.mark.parametrize("group", real_logs.COLUMNS)
def test_columns_are_metrics_of_their_tasks(group):
    source = real_logs.Logs(600, real_logs.ALL)
    [block] = source.read(source.shards("validation")[0])
    for name, metric, _ in real_logs.COLUMNS[group]:
        [task] = source.spec.select_tasks([name])
        labels = task.labels(block, source.spec.missing_values)
        task = task.fit_values(Counter(labels[~np.isnan(labels)].astype(str)))
        predictions = np.random.default_rng(1).uniform(0.1, 0.9, len(labels)).astype(np.float32)
        known = task.metrics(*real_logs.drop_unlabelled(labels, predictions))
        # Of rows with a click, which `measure` adds.
        assert metric in (known | {"clicked_auc": None} if name == "cart" else known)


def test_rows_have_the_columns_of_every_way():
    for data in real_logs.DATA:
        source = real_logs.Logs(600, data)
        [block] = source.read(source.shards("validation")[0])
        assert set(source.spec.raw_columns) <= set(block.columns)
    assert block.columns["topic_names"][0].split("|") == [
        value.split(":")[0] for value in block.columns["item_topics"][0].split("|")
    ]
    assert np.isfinite(block.columns["filled_seconds"].astype(float)).all()


def test_a_training_is_judged_on_the_test_rows(prepared_synthetic):
    way = real_logs.Way("g", "w", ("click",), {"click": lambda of: of["click"]})
    metrics = real_logs.measure(way, str(prepared_synthetic), seed=1, epochs=1)
    assert metrics["click"]["rows"] == 400
    assert 0 < metrics["click"]["auc"] < 1


def test_a_run_ends_in_tables_and_continues(tmp_path, monkeypatch):
    calls = []

    def measure(way, data, seed, epochs):
        calls.append((way.name, seed))
        return {"stars": {"concordance": seed / 10, "mae": 1.0, "rank_correlation": 0.5}}

    monkeypatch.setattr("mptrec_tf.data.prepare.prepare", lambda source, path: os.mkdir(path))
    monkeypatch.setattr(real_logs, "measure", measure)
    ways = [way for way in real_logs.WAYS if way.group == "stars"]
    [table] = real_logs.run(str(tmp_path), 600, [5], ways)
    [both] = real_logs.run(str(tmp_path), 600, [5, 7], ways)
    assert calls == [(way.name, seed) for seed in (5, 7) for way in ways]
    assert table.splitlines()[:3] == [
        "| stars | concordance | MAE | rank correlation |",
        "|---|---|---|---|",
        "| `ordinal` | 0.5000 | 1.0000 | 0.5000 |",
    ]
    assert "| `classes`, expected level | 0.6000 |" in both
    assert both.splitlines()[-1].startswith("| best possible | 0.")


def test_a_table_has_the_mean_over_seeds():
    runs = [{"stars": {"concordance": c, "mae": 1.0, "rank_correlation": 0.5}} for c in (0.6, 0.7)]
    best = {"stars": {"concordance": 0.8, "rank_correlation": 0.6}}
    lines = real_logs.make_table("stars", {"a": runs}, best).splitlines()
    assert lines[2] == "| a | 0.6500 | 1.0000 | 0.5000 |"
    assert lines[3] == "| best possible | 0.8000 |  | 0.6000 |"


@pytest.mark.parametrize("task", ["watch", "cart", "stars", "purchase"])
def test_the_best_values_are_known(task):
    best = real_logs.compute_best(2000)[task]
    names = {n for columns in real_logs.COLUMNS.values() for t, n, _ in columns if t == task}
    assert names - {"calibration", "ece"} <= best.keys()
