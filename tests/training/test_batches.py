import numpy as np
import pytest
import tensorflow as tf

import mptrec_tf  # noqa: F401  selects Keras 2
from mptrec_tf.training import batches
from mptrec_tf.training.batches import (
    Rows,
    change_task_columns,
    count_window_rows,
    make_memory_rows,
    make_ordered_batches,
    make_training_batches,
)


def in_memory(count=10):
    return make_memory_rows({"value": tf.range(count) * 10})


def streamed(count=10, chunk=3):
    """Rows in windows, as files give them."""

    def windows(seed, size):
        starts = tf.range(0, count, chunk)
        if seed is not None:
            starts = tf.random.experimental.stateless_shuffle(starts, seed)
        chunks = tf.data.Dataset.from_tensor_slices(starts).map(
            lambda start: {"value": tf.range(start, tf.minimum(start + chunk, count)) * 10}
        )
        return chunks.rebatch(size)

    return Rows(count, windows)


def epochs_of(rows, batch_size=4, seed=1, epochs=3, first_epoch=0):
    """The values of each epoch, in the order they came."""
    actual = [
        b["value"].numpy()
        for b in make_training_batches(
            rows, batch_size, seed=seed, epochs=epochs, first_epoch=first_epoch
        )
    ]
    steps = rows.steps(batch_size)
    assert len(actual) == steps * (epochs - first_epoch)
    return [np.concatenate(actual[i : i + steps]) for i in range(0, len(actual), steps)]


def test_every_epoch_has_every_row_once_in_another_order():
    for rows in (in_memory(), streamed()):
        epochs = epochs_of(rows)
        for values in epochs:
            assert sorted(values) == list(range(0, 100, 10))
        assert not np.array_equal(epochs[0], epochs[1])


def test_a_continued_run_sees_the_same_epochs():
    for rows in (in_memory(), streamed()):
        whole, rest = epochs_of(rows), epochs_of(rows, first_epoch=1)
        np.testing.assert_array_equal(whole[1], rest[0])
        np.testing.assert_array_equal(whole[2], rest[1])


def test_the_seed_decides_the_order():
    same, again, other = (epochs_of(in_memory(50), seed=s)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, other)


def test_streamed_rows_are_shuffled_within_windows(monkeypatch):
    monkeypatch.setattr(batches, "WINDOW_BATCHES", 2)
    (values,) = epochs_of(streamed(40, chunk=4), batch_size=4, epochs=1)
    assert sorted(values) == list(range(0, 400, 10))
    window = np.sort(values[:8].reshape(2, 4) // 40, axis=None)
    assert len(set(window)) == 2  # two chunks of four rows, mixed
    assert not np.array_equal(values[:8], np.sort(values[:8]))


@pytest.mark.parametrize(
    ("batch_size", "memory", "rows"),
    [
        (256, 0, 65_536),  # 256 batches, whatever memory there is
        (4096, 1 << 40, 256 * 4096),
        (4096, 300_000_000, 100_000),  # three windows of 1,000 bytes a row
        (4096, 0, 65_536),
        (100_000, 0, 100_000),  # never less than a batch
    ],
)
def test_windows_of_streamed_rows_are_as_large_as_memory_allows(batch_size, memory, rows):
    most = count_window_rows(1000, memory)
    asked = []

    def windows(seed, size):
        asked.append(size)
        return streamed().windows(seed, 4)

    limited = change_task_columns(Rows(10, windows, most=most), lambda labels: labels)
    next(iter(make_training_batches(limited, batch_size, seed=1, epochs=1)))
    assert set(asked) == {rows}


def test_rows_know_their_number():
    for batch in make_training_batches(in_memory(), 4, seed=3, epochs=1):
        np.testing.assert_array_equal(batch["value"], 10 * batch["row"])


def test_ordered_batches_keep_the_order():
    for rows in (in_memory(), streamed()):
        values = [b["value"].numpy() for b in make_ordered_batches(rows, 4)]
        assert [len(v) for v in values] == [4, 4, 2]
        np.testing.assert_array_equal(np.concatenate(values), np.arange(0, 100, 10))


def test_steps_count_the_last_smaller_batch():
    assert in_memory(10).steps(4) == 3
    assert in_memory(8).steps(4) == 2
