"""Representations of rows by a frozen backbone: computed once, read by all epochs of new tasks."""

import dataclasses
import os
from collections.abc import Sequence

import tensorflow as tf

from mptrec_tf.data.packed import LABELS, TASK_WEIGHTS, WEIGHT
from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.errors import InputError
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.training.batches import (
    LOADING,
    Rows,
    count_window_rows,
    join_chunks,
    load_rows,
    make_memory_rows,
    make_ordered_batches,
    select_tasks,
)
from mptrec_tf.training.run_context import ROW_MEMORY, RunContext

_LABELS = (LABELS, WEIGHT, TASK_WEIGHTS)


def encode_task(
    model: PromptedMPTRec,
    data: TrainingData,
    tasks: Sequence[str],
    context: RunContext,
) -> tuple[Rows, Rows]:
    """Encodes the training and the validation rows with the labels of some tasks."""
    left, encoded = context.row_memory, []
    for split in ("train", "validation"):
        rows = load_rows(data, split, tasks, left)
        directory = os.path.join(context.directory, split)
        limit = left - rows.held
        encoded.append(encode_rows(model, rows, directory, limit, context.float16_on_disk))
        del rows  # before others are loaded
        left -= encoded[-1].held
    return tuple(encoded)


def select_task(encoded: tuple[Rows, Rows], tasks: Sequence[str], task: str) -> tuple[Rows, Rows]:
    """Returns encoded rows with the labels of one task: what `encode_task` returns for it alone.

    Args:
      encoded: What `encode_task` returned.
      tasks: Of which tasks.
      task: One of them.
    """
    return tuple(select_tasks(rows, tasks, [task]) for rows in encoded)


def encode_rows(
    model: PromptedMPTRec,
    rows: Rows,
    directory: str,
    memory_limit: int = ROW_MEMORY,
    float16_on_disk: bool = False,
) -> Rows:
    """Encodes every row once.

    Args:
      model: The model whose frozen backbone encodes.
      rows: Rows with packed features.
      directory: Directory for representations that do not fit in memory.
      memory_limit: Bytes that may be taken; while they are joined, representations take twice what
        they hold.
      float16_on_disk: Whether those that do not fit are rounded to 16 bits.

    Returns:
      The same rows, with the results of `PromptedMPTRec.encode_once` instead of features.

    Raises:
      InputError: if they do not fit in memory, and `directory` cannot be written, or a number is
        beyond 16 bits.
    """
    encoded = (_encode(model, batch) for batch in make_ordered_batches(rows))
    row_bytes = model.backbone.layout.row_bytes
    if LOADING * rows.count * row_bytes <= memory_limit:
        return make_memory_rows(join_chunks(list(encoded)))
    most = count_window_rows(row_bytes, memory_limit)
    return dataclasses.replace(
        _write_to_disk(encoded, rows.count, directory, float16_on_disk), most=most
    )


def _encode(model: PromptedMPTRec, batch) -> dict[str, tf.Tensor]:
    labels = {name: batch[name] for name in _LABELS if name in batch}
    return {**model.encode_once(batch), **labels}


def _write_to_disk(encoded, count: int, directory: str, float16: bool) -> Rows:
    """Writes rows to files of one chunk each, which every epoch reads in another order."""
    files, types, stored = [], {}, {}
    for number, chunk in enumerate(encoded):
        files.append(os.path.join(directory, f"{number:06d}"))
        for name, column in chunk.items():
            types[name] = tf.TensorSpec([None, *column.shape[1:]], column.dtype)
            if float16 and name not in _LABELS and column.dtype == tf.float32:
                column = _round(name, column)
            stored[name] = column.dtype
            _write(f"{files[-1]}.{name}", column)

    def read(file: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            name: tf.ensure_shape(
                tf.cast(
                    tf.io.parse_tensor(
                        tf.io.read_file(tf.strings.join([file, ".", name])), stored[name]
                    ),
                    t.dtype,
                ),
                t.shape,
            )
            for name, t in types.items()
        }

    def windows(seed: tf.Tensor | None, size: int) -> tf.data.Dataset:
        names = tf.constant(files)
        if seed is not None:
            names = tf.random.experimental.stateless_shuffle(names, seed)
        chunks = tf.data.Dataset.from_tensor_slices(names).map(read, num_parallel_calls=2)
        return chunks.rebatch(size)

    return Rows(count, windows)


def _round(name: str, column: tf.Tensor) -> tf.Tensor:
    rounded = tf.cast(column, tf.float16)
    if not bool(tf.reduce_all(tf.math.is_finite(rounded))):
        raise InputError(
            f"the backbone's {name} have numbers beyond {tf.float16.max:g}, the largest of 16 bits;"
            " leave --float16_on_disk out."
        )
    return rounded


def _write(path: str, column: tf.Tensor) -> None:
    try:
        tf.io.write_file(path, tf.io.serialize_tensor(column))  # also creates the directory
    except tf.errors.OpError as error:
        raise InputError(
            f"cannot write {path}: {error.message}; it is for the representations that do not fit "
            "in memory."
        ) from error
