"""The whole way: logs and labels in, a recommendation with its report out."""

import json
import os
import re

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.errors import InputError
from mptrec_tf.watching.report import make_json, make_page
from mptrec_tf.watching.watch import WatchOptions, watch

DAY = 86_400
START = 20_000 * DAY
NOW = START + 30 * DAY


@pytest.fixture(scope="module")
def predictions(block, watched):
    from mptrec_tf.inference.saved_model import LoadedModel

    return LoadedModel(str(watched)).predict(block)


@pytest.fixture
def write_days(rows, predictions, record, write):
    """Writes four days of all 300 rows, ten in a request, with ids; returns the path."""

    def write_days(change=lambda day, inputs: inputs, ahead=0, name="requests.tfrecord"):
        records = []
        for day in range(4):
            for first in range(0, 300, 10):
                part = slice(first, first + 10)
                inputs = {n: np.array(values[part], object) for n, values in rows.items()}
                inputs = {
                    n: v if isinstance(v[0], str) else v.astype(float) for n, v in inputs.items()
                }
                ids = [f"{day}-{i}" for i in range(first, first + 10)]
                inputs = {**change(day, inputs), "request_id": ids}
                outputs = {name: values[part] for name, values in predictions.items()}
                seconds = START + day * DAY + first + ahead
                records.append(record(inputs, outputs, seconds, signature="columns_with_id"))
        return [str(write(records, name))]

    return write_days


@pytest.fixture
def write_labels(block, tmp_path):
    """Writes the labels of each day's first so many rows; returns the path."""

    def write_labels(come=(300, 300, 300, 300), hours=1, flip=False):
        lines = ["request_id,click,share,at"]
        for day, count in enumerate(come):
            for i in range(count):
                click = int(block.columns["click"][i]) ^ (flip and i % 3 == 0)
                at = START + day * DAY + i + 3600 * hours
                lines.append(f"{day}-{i},{click},{block.columns['share'][i]},{at}")
        path = tmp_path / "labels.csv"
        path.write_text("\n".join(lines) + "\n")
        return [str(path)]

    return write_labels


def test_nothing_to_do_and_no_labels_yet(write_days, version):
    report = watch(version, write_days(), now=NOW)
    assert (report.action, report.reasons) == ("nothing", [])
    assert (report.requests, report.rows, report.sampled) == (120, 1200, 1200)
    assert report.days == {f"2024-10-0{day}": 300 for day in (4, 5, 6, 7)}
    assert report.notes == ["No labels were given: nothing is known about scores and calibration."]
    assert max(of.skew for of in report.columns) < 0.1
    assert all(of.unknown in (None, 0) or of.unknown < 0.1 for of in report.columns)
    click = next(of for of in report.predictions if of.name == "click")
    assert (click.rows, click.skew < 0.1, len(click.mean_by_day)) == (1200, True, 4)
    share = next(of for of in report.predictions if of.name == "share")
    assert (share.validation, share.skew, share.rows) == (None, None, 1200)


def test_files_without_any_label_yet(write_days, version, tmp_path):
    path = tmp_path / "labels.csv"
    for text in ("request_id,click\n", "request_id,click\n0-1,\n", ""):
        path.write_text(text)
        report = watch(version, write_days(), [str(path)], now=NOW)
        assert (report.action, report.tasks) == ("nothing", [])
        assert report.notes == [
            "No label has come yet: nothing is known about scores and calibration."
        ]


def test_new_values_are_unknown_and_ask_for_a_refresh(write_days, version):
    def change(day, inputs):
        if day < 2:
            return {**inputs, "item_id": np.full(10, "i1", object)}
        new = np.where(np.arange(10) < 5, "new", "i1").astype(object)
        return {**inputs, "item_id": new, "user_age": inputs["user_age"] + 60}

    report = watch(version, write_days(change), now=NOW)
    assert report.action == "refresh"
    items = next(of for of in report.columns if of.column == "categorical/item_id")
    assert items.unknown == pytest.approx(0.25, abs=0.01)
    assert list(items.unknown_by_day.values())[:1] == pytest.approx([0.0], abs=0.01)
    assert list(items.unknown_by_day.values())[2:] == pytest.approx([0.5, 0.5], abs=0.01)
    assert items.moved.startswith("'i1': ")
    reasons = {of.about: of.sentence for of in report.reasons}
    assert "does not hold 25.0% of the served values" in reasons["categorical/item_id"]
    assert "(Jensen-Shannon) from the training rows" in reasons["numeric/user_age"]


def test_columns_and_examples_are_the_same_rows(rows, predictions, record, write, version):
    inputs = {n: np.array(values, object) for n, values in rows.items()}
    inputs = {n: v if isinstance(v[0], str) else v.astype(float) for n, v in inputs.items()}
    examples = []
    for i in range(300):
        example = tf.train.Example()
        for name, values in inputs.items():
            feature = example.features.feature[name]
            if values.dtype == object:
                feature.bytes_list.value.append(values[i].encode())
            else:
                feature.float_list.value.append(values[i])
        examples.append(example.SerializeToString())
    outputs = {name: predictions[name] for name in ("click", "like", "share")}
    one, other = (
        watch(version, [str(write([record(given, outputs, signature=signature)], name))])
        for given, signature, name in (
            (inputs, "columns", "a"),
            ({"examples": np.array(examples, object)}, "serving_default", "b"),
        )
    )
    assert (one.sampled, other.sampled) == (300, 300)
    assert [(of.column, of.served) for of in one.columns] == [
        (of.column, of.served) for of in other.columns
    ]


def test_drift_is_between_the_newest_day_and_those_before(write_days, version):
    def change(day, inputs):
        same = np.full(10, "d0", object)
        return {**inputs, "device": same} if day == 3 else inputs

    paths = write_days(change)
    report = watch(version, paths, now=NOW)
    assert all(of.drift is None for of in report.columns)  # too few rows a day
    options = WatchOptions()
    few = type(options.limits)(least_rows=100)
    report = watch(version, paths, options=WatchOptions(limits=few), now=NOW)
    drifts = {of.column: of.drift for of in report.columns}
    assert drifts.pop("categorical/device") > 0.5
    assert max(drifts.values()) == pytest.approx(0, abs=1e-9)


def test_labels_that_came(write_days, write_labels, version, block, predictions):
    from mptrec_tf.evaluation.metrics import auc

    options = WatchOptions(label_time="at")
    report = watch(version, write_days(), write_labels((300, 300, 300, 30)), options, now=NOW)
    [click, share] = report.tasks
    assert [of.scores.rows for of in click.days] == [300, 300, 300, 30]
    assert [of.complete for of in click.days] == [True, True, True, False]
    assert click.scores.rows == 900
    expected = auc(block.columns["click"].astype(float), predictions["click"])
    assert click.scores.score.value == pytest.approx(expected)
    assert click.days[0].scores.score.value == pytest.approx(expected)
    assert click.baseline["rows"] == 400
    assert share.baseline is None
    assert [note for note in report.notes if note.startswith("click")] == [
        "click: 270 of 1,200 rows have no label yet; they count neither as positive nor as "
        "negative.",
        "click: labels of 2024-10-07 are still to come, so these days do not count in what is "
        "recommended.",
    ]
    assert any(
        note.startswith("share: an earlier release trained it, which stored no score")
        for note in report.notes
    )


def test_rows_without_a_time_and_tasks_that_were_not_asked(
    rows, predictions, record, write, version, write_labels
):
    inputs = {n: np.array(values, object) for n, values in rows.items()}
    inputs = {n: v if isinstance(v[0], str) else v.astype(float) for n, v in inputs.items()}
    records = []
    for day, tasks in enumerate((("click", "share"), ("click", "share"), ("click",))):
        logged = inputs | {"request_id": [f"{day}-{i}" for i in range(300)]}
        outputs = {name: predictions[name] for name in tasks}
        seconds = START + day * DAY if day else 0
        records.append(record(logged, outputs, seconds, signature="columns_with_id"))
    report = watch(version, [str(write(records))], write_labels(), now=NOW)
    [click, share] = report.tasks
    assert (click.served, click.labelled, share.served) == (900, 900, 600)
    assert [(of.day, of.served) for of in click.days] == [("2024-10-05", 300), ("2024-10-06", 300)]
    assert [(of.day, of.served, of.complete) for of in share.days] == [("2024-10-05", 300, True)]
    assert click.scores.rows == 900
    waiting = [note for note in report.notes if "no label yet" in note]
    assert waiting[0].startswith("click: 0 of 900 rows have no label yet;")
    assert " of 600 rows have no label yet" in waiting[1]
    assert not any("still to come" in note for note in report.notes)


def test_clocks_that_disagree_are_named(write_days, write_labels, version):
    options = WatchOptions(label_time="at")
    report = watch(version, write_days(), write_labels(hours=-2), options, now=NOW)
    assert report.tasks[0].scores.rows == 0
    assert any(
        note
        == "2,400 labels come before their request, by up to 2.0 hours; clocks disagree, and these "
        "labels were left out."
        for note in report.notes
    )
    labels = write_labels(hours=24 * 60)
    report = watch(version, write_days(), labels, options, now=NOW)
    assert any(
        note.startswith("2,400 labels have times up to 33.0 days after now,")
        for note in report.notes
    )
    report = watch(version, write_days(ahead=40 * DAY), now=NOW)
    assert (report.days, report.rows) == ({}, 1200)
    assert report.notes[0] == (
        "1,200 rows were requested up to 13.0 days after now, by the clock of this machine; clocks "
        "disagree, and these rows belong to no day."
    )


def test_logs_of_another_version_are_no_logs_of_this_one(rows, record, write, version, predict):
    inputs = {name: values[:1] for name, values in rows.items()}
    path = write([record(inputs, predict(1), number=7)] * 3)
    with pytest.raises(InputError) as error:
        watch(version, [str(path)])
    assert str(error.value) == (
        f"no logged request is one to {version.path}: 3 of another version; give the logs of this "
        "model, or the version that served them (--model=.../1)."
    )
    with pytest.raises(InputError, match="holds no request; give logs that have some"):
        watch(version, [str(write([]))])


def test_the_page_needs_no_other_file_and_json_has_the_numbers(write_days, write_labels, version):
    def change(day, inputs):
        return {**inputs, "item_id": np.full(10, "<new> & bad", object)}

    paths = write_days(change)
    with open(paths[0], "r+b") as file:
        file.truncate(os.path.getsize(paths[0]) - 10)
    report = watch(version, paths, write_labels(), now=NOW)
    page = make_page(report)
    text = re.sub(r'base64,[^"]+', "", page)
    assert not re.findall(r'https?:|//|src="(?!data:)|<script|<link', text)
    assert page.count("data:image/png;base64,") == 6
    assert "<strong>Refresh</strong>" in page
    assert "mptrec-refresh" in page
    assert "1 of 1 log files end within a record" in page
    found = json.loads(make_json(report))
    assert found["recommendation"] == "refresh"
    assert found["tasks"]["click"]["served_rows"] == 1190
    assert (found["requests"], found["rows"], found["sampled_rows"]) == (119, 1190, 1190)
    assert found["tasks"]["click"]["validation"]["rows"] == 400
    low, high = found["tasks"]["click"]["score"]["interval"]
    assert low < found["tasks"]["click"]["score"]["value"] < high
    assert [day["labelled_share"] for day in found["tasks"]["click"]["days"]] == [1, 1, 1, 1]
    assert found["limits"]["drift"] == 0.1
    assert {of["column"] for of in found["columns"]} >= {"categorical/item_id", "numeric/user_age"}
