"""Packed rows in files that any worker can read, for rows that only one process can pack.

TFX's trainers read raw examples through the preprocessing graph, whose vocabularies are in the
memory of the process that loaded it. A record here is a window of packed rows.
"""

import dataclasses
import os

import tensorflow as tf

from mptrec_tf.storage.directories import create_directory
from mptrec_tf.training.batches import WINDOW_BATCHES, Rows

_FILES_OF_WORKER = 4


def write_worker_files(rows: Rows, directory: str, workers: int, batch_size: int) -> Rows:
    """Writes rows for workers, and returns them with their files.

    Rows that were written before are left as they are: whoever calls this names the directory
    after them.

    Args:
      rows: The rows.
      directory: Where the files go.
      workers: How many workers there are.
      batch_size: Rows of a step.

    Raises:
      InputError: if the directory cannot be written.
    """
    files = _FILES_OF_WORKER * workers
    of_file = -(-rows.count // files)
    window = max(1, min(WINDOW_BATCHES * batch_size, of_file))
    windows = _cut(rows, window)
    if not tf.io.gfile.exists(directory):
        with create_directory(directory) as work:
            writers = [tf.io.TFRecordWriter(f"{work}/{i:05d}") for i in range(files)]
            for number, values in enumerate(windows):
                writers[number % files].write(_serialize(values).numpy())
            for writer in writers:
                writer.close()
    names = [os.path.join(directory, name) for name in sorted(tf.io.gfile.listdir(directory))]
    spec = windows.element_spec

    def read(names: tf.Tensor, size: int) -> tf.data.Dataset:
        del size  # a window is what was written as one
        return tf.data.TFRecordDataset(names).map(lambda record: _parse(record, spec))

    return dataclasses.replace(rows, files=names, read_files=read)


def _cut(rows: Rows, size: int) -> tf.data.Dataset:
    """Returns windows of at most `size` rows."""
    if rows.columns is None:
        return rows.windows(None, size)
    return tf.data.Dataset.range(0, rows.count, size).map(
        lambda start: {name: of[start : start + size] for name, of in rows.columns.items()}
    )


def _serialize(window: dict[str, tf.Tensor]) -> tf.Tensor:
    parts = tf.nest.flatten(window, expand_composites=True)
    return tf.io.serialize_tensor(tf.stack([tf.io.serialize_tensor(part) for part in parts]))


def _parse(record: tf.Tensor, spec: dict[str, tf.TypeSpec]) -> dict[str, tf.Tensor]:
    flat = tf.nest.flatten(spec, expand_composites=True)
    stored = tf.io.parse_tensor(record, tf.string)
    parts = [
        tf.ensure_shape(tf.io.parse_tensor(stored[i], of.dtype), of.shape)
        for i, of in enumerate(flat)
    ]
    return tf.nest.pack_sequence_as(spec, parts, expand_composites=True)
