"""Rows that one process packs reach workers as they are, in files."""

import numpy as np
import tensorflow as tf

from mptrec_tf.training.batches import Rows, make_file_batches, make_memory_rows
from mptrec_tf.training.worker_files import write_worker_files


def make_rows():
    return make_memory_rows(
        {
            "age": tf.range(37),
            "tags": tf.ragged.range(tf.range(37) % 4),
            "labels": tf.random.stateless_uniform([37, 2], [1, 2]),
        }
    )


def read_all(rows, batch_size=4):
    seen = {}
    for i in range(0, len(rows.files), 2):
        seed, names = tf.constant([1, i << 16], tf.int64), tf.constant(rows.files[i : i + 2])
        for batch in make_file_batches(rows, names, batch_size, seed):
            assert len(batch["age"]) <= batch_size
            for age, tags, labels in zip(
                batch["age"].numpy(), batch["tags"].to_list(), batch["labels"].numpy(), strict=True
            ):
                seen[int(age)] = (tags, labels)
    return seen


def check(rows, columns):
    seen = read_all(rows)
    assert sorted(seen) == list(range(37))
    for row, (tags, labels) in seen.items():
        assert tags == list(range(row % 4))
        np.testing.assert_array_equal(labels, columns["labels"][row])


def test_every_row_once(tmp_path):
    rows = make_rows()
    written = write_worker_files(rows, str(tmp_path / "rows"), workers=2, batch_size=4)
    assert len(written.files) == 8
    check(written, rows.columns)


def test_rows_that_are_streamed(tmp_path):
    rows = make_rows()
    streamed = Rows(
        37,
        lambda _, size: tf.data.Dataset.from_tensor_slices(dict(rows.columns)).batch(size),
    )
    check(write_worker_files(streamed, str(tmp_path / "rows"), 1, 4), rows.columns)


def test_a_run_that_continues_writes_nothing(tmp_path):
    rows = make_rows()
    written = write_worker_files(rows, str(tmp_path / "rows"), 2, 4)
    times = [tf.io.gfile.stat(file).mtime_nsec for file in written.files]
    again = write_worker_files(rows, str(tmp_path / "rows"), 2, 4)
    assert again.files == written.files
    assert [tf.io.gfile.stat(file).mtime_nsec for file in again.files] == times
