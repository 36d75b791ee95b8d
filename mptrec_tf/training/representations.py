"""Representations of rows by a frozen backbone: computed once, read by all epochs of new tasks."""

import os
from collections.abc import Sequence

import tensorflow as tf

from mptrec_tf.data.packed import LABELS, TASK_WEIGHTS, WEIGHT
from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.errors import InputError
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.training.batches import (
    Rows,
    change_task_columns,
    load_rows,
    make_memory_rows,
    make_ordered_batches,
)
from mptrec_tf.training.run_context import MEMORY_LIMIT, RunContext


def encode_task(
    model: PromptedMPTRec,
    data: TrainingData,
    tasks: Sequence[str],
    context: RunContext,
) -> tuple[Rows, Rows]:
    """Encodes the training and the validation rows with the labels of some tasks."""
    return tuple(
        encode_rows(
            model,
            load_rows(data, split, tasks, context.memory_limit),
            os.path.join(context.directory, split),
            context.memory_limit,
        )
        for split in ("train", "validation")
    )


def select_task(encoded: tuple[Rows, Rows], tasks: Sequence[str], task: str) -> tuple[Rows, Rows]:
    """Returns encoded rows with the labels of one task: what `encode_task` returns for it alone.

    Args:
      encoded: What `encode_task` returned.
      tasks: Of which tasks.
      task: One of them.
    """
    place = [*tasks].index(task)
    return tuple(
        change_task_columns(rows, lambda column: column[:, place : place + 1]) for rows in encoded
    )


def encode_rows(
    model: PromptedMPTRec, rows: Rows, directory: str, memory_limit: int = MEMORY_LIMIT
) -> Rows:
    """Encodes every row once.

    Args:
      model: The model whose frozen backbone encodes.
      rows: Rows with packed features.
      directory: Directory for representations that do not fit in memory.
      memory_limit: Bytes of representations that are held in memory.

    Returns:
      The same rows, with the results of `PromptedMPTRec.encode_once` instead of features.

    Raises:
      InputError: if they do not fit in memory, and `directory` cannot be written.
    """
    encoded = (_encode(model, batch) for batch in make_ordered_batches(rows))
    if rows.count * model.backbone.layout.row_bytes <= memory_limit:
        chunks = list(encoded)
        return make_memory_rows({k: tf.concat([c[k] for c in chunks], 0) for k in chunks[0]})
    return _write_to_disk(encoded, rows.count, directory)


def _encode(model: PromptedMPTRec, batch) -> dict[str, tf.Tensor]:
    labels = {name: batch[name] for name in (LABELS, WEIGHT, TASK_WEIGHTS) if name in batch}
    return {**model.encode_once(batch), **labels}


def _write_to_disk(encoded, count: int, directory: str) -> Rows:
    """Writes rows to files of one chunk each, which every epoch reads in another order."""
    files, types = [], {}
    for number, chunk in enumerate(encoded):
        files.append(os.path.join(directory, f"{number:06d}"))
        for name, column in chunk.items():
            _write(f"{files[-1]}.{name}", column)
            types[name] = tf.TensorSpec([None, *column.shape[1:]], column.dtype)

    def read(file: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            name: tf.ensure_shape(
                tf.io.parse_tensor(tf.io.read_file(tf.strings.join([file, ".", name])), t.dtype),
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


def _write(path: str, column: tf.Tensor) -> None:
    try:
        tf.io.write_file(path, tf.io.serialize_tensor(column))  # also creates the directory
    except tf.errors.OpError as error:
        raise InputError(
            f"cannot write {path}: {error.message}; it is for the representations that do not fit "
            "in memory."
        ) from error
