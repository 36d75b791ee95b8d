"""Batches for training: from splits in memory if they fit, otherwise from windows of rows.

An epoch's order depends only on the seed and on the number of the epoch, so that a resumed run
sees the same batches as one that was never interrupted.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mptrec_tf.data.labels import has_task_weights
from mptrec_tf.data.packed import LABELS, ROW, TASK_WEIGHTS, WEIGHT, count_packed_bytes
from mptrec_tf.data.training_data import TrainingData, detect_compression
from mptrec_tf.errors import InputError
from mptrec_tf.training.run_context import ROW_MEMORY

WINDOW_BATCHES = 256  # batches that are shuffled together if rows are streamed,
LEAST_WINDOW = 65_536  # or fewer, but so many rows, if they took too much memory
PREDICTION_BATCH = 4096
LOADING = 2  # times the memory that rows hold, while they are joined and sorted
WINDOWS = 3  # windows in memory: one whose batches are in work, the next one's parts, and it
_READ_ROWS = 65_536
_KEY = "key"

Columns = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a split.

    Attributes:
      count: int. How many rows.
      windows: Function from a seed [2] (or None for the stored order) and a number of rows to a
        dataset of windows, with columns [n, ...] each. n is at most that number if rows are
        streamed; rows in memory are one window.
      columns: The columns [count, ...] in memory, or None if rows are streamed.
      held: Bytes of these columns.
      most: If rows are streamed, how many of them a window may have.
      files: Files that hold the rows, if they come from files.
      read_files: Function from some of these and a number of rows to a dataset of their windows in
        the stored order, for workers that read some files each.
    """

    count: int
    windows: Callable[[tf.Tensor | None, int], tf.data.Dataset]
    columns: Columns | None = None
    held: int = 0
    most: int = LEAST_WINDOW
    files: Sequence[str] = ()
    read_files: Callable[[tf.Tensor, int], tf.data.Dataset] | None = None

    def steps(self, batch_size: int) -> int:
        """Returns the number of batches in one pass."""
        return -(-self.count // batch_size)

    def window(self, batch_size: int) -> int:
        """Returns how many rows are shuffled together if rows are streamed."""
        return max(batch_size, min(WINDOW_BATCHES * batch_size, self.most))


def count_window_rows(row_bytes: int, memory_limit: int) -> int:
    """Returns how many rows a window may have, so that windows take no more bytes than these."""
    return max(LEAST_WINDOW, memory_limit // (WINDOWS * row_bytes))


def make_memory_rows(columns: Columns) -> Rows:
    """Returns rows whose columns [n, ...] are held in memory; adds `row`, each row's number."""
    count = int(_count(columns))
    columns = {**columns, ROW: tf.range(count)}
    held = sum(_count_bytes(column) for column in columns.values())
    return Rows(count, lambda _seed, _size: tf.data.Dataset.from_tensors(columns), columns, held)


def change_task_columns(rows: Rows, change: Callable[[tf.Tensor], tf.Tensor]) -> Rows:
    """Returns rows with other columns by task: labels, and weights where rows have them.

    Args:
      rows: The rows.
      change: Returns the new columns [n, ...] of those of all tasks, [n, tasks].
    """

    def apply(columns: Columns) -> Columns:
        by_task = (name for name in (LABELS, TASK_WEIGHTS) if name in columns)
        return {**columns, **{name: change(columns[name]) for name in by_task}}

    return Rows(
        rows.count,
        lambda seed, size: rows.windows(seed, size).map(apply),
        rows.columns and apply(rows.columns),
        rows.held,
        rows.most,
    )


def select_tasks(rows: Rows, tasks: Sequence[str], wanted: Sequence[str]) -> Rows:
    """Returns rows with the labels of some of their tasks, in this order.

    Args:
      rows: The rows.
      tasks: The tasks of their columns of labels.
      wanted: Some of these.
    """
    places = [tasks.index(task) for task in wanted]
    return change_task_columns(rows, lambda columns: tf.gather(columns, places, axis=1))


def load_both(
    data: TrainingData, tasks: Sequence[str], memory_limit: int = ROW_MEMORY
) -> tuple[Rows, Rows]:
    """Opens the training and the validation rows for some tasks; see `load_rows`."""
    train = load_rows(data, "train", tasks, memory_limit)
    return train, load_rows(data, "validation", tasks, memory_limit - train.held)


def load_rows(
    data: TrainingData, split: str, tasks: Sequence[str], memory_limit: int = ROW_MEMORY
) -> Rows:
    """Opens a split of prepared data for some tasks.

    Every file is read once here, so that damage is reported before the training and not after
    hours of it.

    Args:
      data: The prepared data.
      split: "train", "validation" or "test".
      tasks: Tasks whose labels become the columns of `labels`, in this order.
      memory_limit: Bytes that may be taken. While rows are sorted they take twice what they hold.

    Raises:
      InputError: for unknown tasks or files that are damaged.
    """
    labels = data.task_columns(tasks)
    files, count = data.files(split), data.splits[split]["rows"]
    compression = detect_compression(files)

    @tf.autograph.experimental.do_not_convert
    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = data.parse(serialized)
        by_task = (name for name in (LABELS, TASK_WEIGHTS) if name in parsed)
        return parsed | {name: tf.gather(parsed[name], labels, axis=1) for name in by_task}

    def windows(seed: tf.Tensor | None, size: int) -> tf.data.Dataset:
        names = tf.constant(files)
        if seed is not None:
            names = tf.random.experimental.stateless_shuffle(names, seed)
        return read(names, size)

    def read(names: tf.Tensor, size: int) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(names, compression).batch(size).map(parse)

    @tf.autograph.experimental.do_not_convert
    def parse_with_key(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        return {**parse(serialized), _KEY: tf.strings.to_hash_bucket_fast(serialized, 2**62)}

    by_task = len(tasks) * (2 if has_task_weights(data.spec) else 1)
    row_bytes = count_packed_bytes(data.spec) + 4 * (by_task + bool(data.spec.weight))
    streamed = LOADING * count * row_bytes > memory_limit
    try:
        if streamed:
            actual = _count_records(files)
        else:
            records = tf.data.TFRecordDataset(files, compression).batch(_READ_ROWS)
            chunks = list(records.map(parse_with_key))
            actual = sum(len(chunk[LABELS]) for chunk in chunks)
    except tf.errors.OpError as error:
        bad = next((file for file in files if not _is_whole(file)), None)
        what = f"{bad} is cut short or damaged" if bad else f"{files[0]} does not fit data.json"
        raise InputError(
            f"cannot read the {split} rows: {what}; prepare the data again."
        ) from error
    if actual != count:
        raise InputError(
            f"{data.directory} holds {actual} {split} rows where {count} were prepared; "
            "files are missing or cut short: prepare the data again."
        )
    if streamed:
        most = count_window_rows(row_bytes, memory_limit)
        return Rows(count, windows, most=most, files=files, read_files=read)
    columns = join_chunks(chunks)
    # The order in which engines write rows changes from run to run. Sorting by the rows themselves
    # makes training repeatable.
    order = tf.argsort(columns.pop(_KEY), stable=True)
    # One after the other, as each is in memory twice meanwhile.
    rows = make_memory_rows({name: tf.gather(columns.pop(name), order) for name in [*columns]})
    return dataclasses.replace(rows, files=files, read_files=read)


def join_chunks(chunks: Sequence[dict[str, tf.Tensor]]) -> dict[str, tf.Tensor]:
    """Joins the columns [n, ...] of chunks of rows, and takes them out of these.

    One column after the other, so that no more than one is in memory twice.
    """
    return {name: tf.concat([chunk.pop(name) for chunk in chunks], 0) for name in [*chunks[0]]}


def _count_records(files: Sequence[str]) -> int:
    """Counts the records by reading them all; TensorFlow checks their checksums."""
    records = tf.data.TFRecordDataset(
        files, detect_compression(files), num_parallel_reads=tf.data.AUTOTUNE
    )
    sizes = records.batch(_READ_ROWS).map(lambda batch: tf.size(batch, tf.int64))
    return int(sizes.reduce(tf.constant(0, tf.int64), tf.add))


def _is_whole(file: str) -> bool:
    try:
        _count_records([file])
    except tf.errors.OpError:
        return False
    return True


def make_training_batches(
    rows: Rows, batch_size: int, *, seed: int, epochs: int, first_epoch: int = 0
) -> tf.data.Dataset:
    """Returns shuffled batches of all epochs from `first_epoch` on, one after the other.

    An epoch has `rows.steps(batch_size)` batches; the last may be smaller.
    """

    def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = tf.stack([tf.constant(seed, tf.int64), epoch])
        windows = rows.windows(epoch_seed, rows.window(batch_size)).enumerate()
        return windows.flat_map(
            # Windows and epochs are counted in different halves of the number, so seeds are unique.
            lambda number, window: _shuffle(
                window, batch_size, tf.stack([epoch_seed[0], epoch + number * 2**32])
            )
        )

    epochs_left = tf.data.Dataset.range(first_epoch, epochs)
    return epochs_left.flat_map(epoch_batches).prefetch(tf.data.AUTOTUNE)


def make_file_batches(
    rows: Rows, files: tf.Tensor, batch_size: int, seed: tf.Tensor
) -> tf.data.Dataset:
    """Returns shuffled batches of some of the rows' files.

    Args:
      rows: Rows that come from files.
      files: [n]. Their names.
      batch_size: Rows of a batch; the last may have fewer.
      seed: [2] int64, the second below 2**40. Another one for other files or another epoch.
    """
    windows = rows.read_files(files, rows.window(batch_size)).enumerate()
    batches = windows.flat_map(
        lambda number, window: _shuffle(
            window, batch_size, tf.stack([seed[0], seed[1] + number * 2**40])
        )
    )
    return batches.prefetch(tf.data.AUTOTUNE)


def _shuffle(window: Columns, batch_size: int, seed: tf.Tensor) -> tf.data.Dataset:
    count = _count(window)
    order = tf.random.experimental.stateless_shuffle(tf.range(count), seed)
    # Gathering whole batches is about ten times faster than slicing and batching single rows.
    return tf.data.Dataset.range(-(-count // batch_size)).map(
        lambda i: _gather(window, order[i * batch_size : (i + 1) * batch_size]),
        num_parallel_calls=2,
    )


def _count(columns: Columns) -> tf.Tensor:
    """Returns the number of rows, int64."""
    column = next(iter(columns.values()))
    if isinstance(column, tf.RaggedTensor):
        return tf.cast(column.nrows(), tf.int64)
    return tf.shape(column, tf.int64)[0]


def _count_bytes(column: tf.Tensor) -> int:
    parts = tf.nest.flatten(column, expand_composites=True)
    return sum(int(tf.size(part)) * part.dtype.size for part in parts)


def _gather(window: Columns, rows: tf.Tensor) -> dict[str, tf.Tensor]:
    return {name: tf.gather(column, rows) for name, column in window.items()}


def evaluate_rows(
    model: Any, rows: Rows
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
    """Returns a model's `report` of all rows, with their labels and weights.

    Returns:
      The report's values [n, ...] by name, labels [n, T], and weights if rows have them: [n], or
      [n, T] where tasks weigh rows differently (see `labels.weights_of_task`).
    """
    kept = (LABELS, WEIGHT, TASK_WEIGHTS)
    batches = [
        {**model.report(batch), **{k: batch[k] for k in kept if k in batch}}
        for batch in make_ordered_batches(rows)
    ]
    report = {k: np.concatenate([np.asarray(b[k]) for b in batches]) for k in batches[0]}
    labels, weight = report.pop(LABELS), report.pop(WEIGHT, None)
    return report, labels, report.pop(TASK_WEIGHTS, weight)


def make_ordered_batches(rows: Rows, batch_size: int = PREDICTION_BATCH) -> tf.data.Dataset:
    """Returns batches of all rows in their stored order, for predictions."""
    if rows.columns is None:
        return rows.windows(None, batch_size).prefetch(tf.data.AUTOTUNE)
    return tf.data.Dataset.range(0, rows.count, batch_size).map(
        lambda start: {
            name: column[start : start + batch_size] for name, column in rows.columns.items()
        }
    )
