import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.packed import LABELS, ROW
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.errors import InputError
from mptrec_tf.training.batches import (
    load_both,
    load_rows,
    make_ordered_batches,
    make_training_batches,
    select_tasks,
)

DAMAGED = r"cannot read the train rows: .*/train-.*\.tfrecord is cut short or damaged; prepare the"


@pytest.fixture
def data(prepared_synthetic):
    return PreparedData(str(prepared_synthetic))


@pytest.fixture
def copy(prepared_synthetic, tmp_path):
    return shutil.copytree(prepared_synthetic, tmp_path / "data")


def all_of(batches):
    batches = list(batches)
    return {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}


def test_streamed_rows_are_those_in_memory(data):
    held = load_rows(data, "train", ("click", "like"))
    streamed = load_rows(data, "train", ("click", "like"), memory_limit=0)
    assert held.columns is not None
    assert streamed.columns is None
    assert held.count == streamed.count == 1500
    mine, theirs = all_of(make_ordered_batches(held)), all_of(make_ordered_batches(streamed, 128))
    assert mine.keys() - theirs.keys() == {ROW}
    # The same rows in another order; the numbers of a row identify it.
    my_order, their_order = (np.lexsort(columns["numeric"].T) for columns in (mine, theirs))
    for name, column in theirs.items():
        np.testing.assert_array_equal(column[their_order], mine[name][my_order])
        assert column.dtype == mine[name].dtype


ROW_BYTES = 7 * 8 + 3 * 4 + 2 * 4  # ids, numbers, and the labels of two tasks


def test_rows_are_held_if_they_fit_twice(data):
    held = load_rows(data, "train", ("click", "like"), 2 * 1500 * ROW_BYTES)
    assert held.columns is not None
    assert held.held == 1500 * (ROW_BYTES + 4)  # and the number of the row
    streamed = load_rows(data, "train", ("click", "like"), 2 * 1500 * ROW_BYTES - 1)
    assert (streamed.columns, streamed.held) == (None, 0)


@pytest.mark.parametrize(
    ("limit", "held"),
    [
        (2 * 1500 * ROW_BYTES, [True, True]),  # half is left, for fewer rows
        (2 * 1500 * ROW_BYTES - 1, [False, True]),
        (2 * 400 * ROW_BYTES - 1, [False, False]),
    ],
)
def test_validation_rows_have_the_memory_that_training_rows_leave(data, limit, held):
    both = load_both(data, ("click", "like"), limit)
    assert [rows.columns is not None for rows in both] == held


@pytest.mark.parametrize("memory_limit", [0, 1 << 30])
def test_labels_of_some_tasks_are_those_that_are_loaded_alone(data, memory_limit):
    every = load_rows(data, "test", data.spec.task_names, memory_limit)
    some = select_tasks(every, data.spec.task_names, ("purchase", "like"))
    alone = load_rows(data, "test", ("purchase", "like"), memory_limit)
    mine, theirs = (all_of(make_ordered_batches(rows)) for rows in (some, alone))
    assert mine.keys() == theirs.keys()
    for name, column in theirs.items():
        np.testing.assert_array_equal(column, mine[name])


def test_rows_that_were_written_in_another_order_are_held_in_the_same(data, copy):
    [path] = copy.glob("train-*.tfrecord")
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in reversed(records):
            writer.write(record)
    mine = load_rows(data, "train", ("click",)).columns
    theirs = load_rows(PreparedData(str(copy)), "train", ("click",)).columns
    for name, column in mine.items():
        np.testing.assert_array_equal(column, theirs[name])


def test_streamed_epochs_hold_every_row(data):
    held = load_rows(data, "train", ("click",))
    streamed = load_rows(data, "train", ("click",), memory_limit=0)
    batches = list(make_training_batches(streamed, 200, seed=1, epochs=2))
    assert len(batches) == 2 * streamed.steps(200)
    first, second = all_of(batches[:8]), all_of(batches[8:])
    assert not np.array_equal(first["numeric"], second["numeric"])
    for epoch in (first, second):
        for name, column in epoch.items():
            expected = held.columns[name].numpy()
            np.testing.assert_array_equal(np.sort(column, axis=0), np.sort(expected, axis=0))


@pytest.mark.parametrize("memory_limit", [0, 1 << 30])
def test_labels_stand_in_the_order_of_the_tasks(data, memory_limit):
    every = load_rows(data, "test", data.spec.task_names, memory_limit)
    two = load_rows(data, "test", ("purchase", "like"), memory_limit)
    labels = all_of(make_ordered_batches(two))[LABELS]
    assert labels.shape == (400, 2)
    np.testing.assert_array_equal(labels, all_of(make_ordered_batches(every))[LABELS][:, [3, 1]])
    positives = {k: v["positives"] for k, v in data.splits["test"]["tasks"].items()}
    np.testing.assert_array_equal(labels.sum(0), [positives["purchase"], positives["like"]])


@pytest.mark.parametrize("memory_limit", [0, 1 << 30])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-30], DAMAGED),
        (lambda raw: raw[:4000] + bytes([raw[4000] ^ 1]) + raw[4001:], DAMAGED),
        (lambda raw: b"no records at all", DAMAGED),
        (lambda raw: b"", "holds 0 train rows where 1500 were prepared; files are missing or cut"),
    ],
    ids=["cut", "changed", "other", "empty"],
)
def test_a_damaged_file_is_noticed_before_training(copy, damage, message, memory_limit):
    [path] = copy.glob("train-*.tfrecord")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=message):
        load_rows(PreparedData(str(copy)), "train", ("click",), memory_limit)


@pytest.mark.parametrize("memory_limit", [0, 1 << 30])
def test_rows_that_are_missing_are_noticed(copy, memory_limit):
    [path] = copy.glob("train-*.tfrecord")
    with tf.io.TFRecordWriter(str(copy / "train-short.tfrecord")) as writer:
        for record in tf.data.TFRecordDataset(str(path)).take(1499):
            writer.write(record.numpy())
    path.unlink()
    with pytest.raises(InputError, match="holds 1499 train rows where 1500 were prepared"):
        load_rows(PreparedData(str(copy)), "train", ("click",), memory_limit)


def test_examples_of_other_features_are_noticed(copy):
    [path] = copy.glob("train-*.tfrecord")
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(1500):
            writer.write(tf.train.Example().SerializeToString())
    with pytest.raises(InputError, match=r"/train-.*\.tfrecord does not fit data\.json; prepare"):
        load_rows(PreparedData(str(copy)), "train", ("click",))


def test_a_split_without_files_is_named(copy):
    [path] = copy.glob("test-*.tfrecord")
    path.unlink()
    with pytest.raises(InputError, match="holds no test examples; prepare the data again"):
        load_rows(PreparedData(str(copy)), "test", ("click",))


def test_tasks_that_cannot_be_trained_are_rejected(copy):
    with pytest.raises(InputError, match="unknown task 'clack'"):
        load_rows(PreparedData(str(copy)), "train", ("click", "clack"))
    description = json.loads((copy / "data.json").read_text())
    description["splits"]["validation"]["tasks"]["like"]["positives"] = 400
    (copy / "data.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="'like' has one class only in the validation split"):
        load_rows(PreparedData(str(copy)), "train", ("like",))
