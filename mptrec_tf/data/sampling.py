"""Leaves out a share of the negative training rows of one task (`sample_negatives`).

Which rows are kept is decided by a hash of each row's own values, those of the features, the user
and the weight: it is the same in every run, on every machine and however the files are divided.
Rows with equal values are kept or left out together.
"""

import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task

_WHOLE = 2.0**64
# Of SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, 2014).
_STEP, _MIX, _MIX_AGAIN = map(
    np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def find_sampled_task(spec: DatasetSpec) -> Task | None:
    """Returns the task whose rows are sampled, if there is one; a spec has one at most."""
    return next((task for task in spec.tasks if task.kept_share < 1), None)


def find_left_out(spec: DatasetSpec, block: Block, batch: pa.RecordBatch) -> np.ndarray:
    """Returns which training rows are left out, [n] bool.

    Args:
      spec: The data set's spec.
      block: n raw rows that fit the spec.
      batch: The same rows; it has a column of lists for each raw feature, see `arrow`.
    """
    task = find_sampled_task(spec)
    if task is None:
        return np.zeros(len(block), bool)
    chosen = task.may_leave_out(task.labels(block, spec.missing_values))
    return chosen & (hash_rows(spec, block, batch, task.name) / _WHOLE >= task.kept_share)


def hash_rows(spec: DatasetSpec, block: Block, batch: pa.RecordBatch, salt: str) -> np.ndarray:
    """Returns a hash of each row's features, user and weight, [n] uint64.

    Args:
      spec: The data set's spec.
      block: n raw rows.
      batch: The same rows; it has a column of lists for each raw feature.
      salt: Rows have other hashes for another text.
    """
    columns = {name: batch.column(batch.schema.get_field_index(name)) for name in spec.raw_columns}
    if spec.user_id:
        columns[f"user/{spec.user_id}"] = pa.array(block.canonical_text(spec.user_id))
    if spec.weight:
        columns[f"weight/{spec.weight}"] = pa.array(block.numbers(spec.weight))
    hashes = np.full(len(block), zlib.crc32(salt.encode()), np.uint64)
    with np.errstate(over="ignore"):
        for _, column in sorted(columns.items()):
            hashes = _mix(hashes + _hash_column(column))
    return hashes


def _hash_column(column: pa.Array) -> np.ndarray:
    """Returns a hash of each row's value, or of its list of values, [n] uint64."""
    if not pa.types.is_list(column.type) and not pa.types.is_large_list(column.type):
        return _hash_values(column)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths.astype(np.int64))
    starts = ends - lengths
    values = _hash_values(column.flatten())
    places = (np.arange(len(values)) - np.repeat(starts, lengths)).astype(np.uint64)
    sums = np.cumsum(np.append(np.uint64(0), _mix(values + places)), dtype=np.uint64)
    return sums[ends] - sums[starts]


def _hash_values(values: pa.Array) -> np.ndarray:
    """Returns a hash of each value, [n] uint64."""
    encoded = values.dictionary_encode(null_encoding="encode")
    distinct = encoded.dictionary.to_numpy(zero_copy_only=False)
    hashes = pd.util.hash_array(distinct, categorize=False)
    return hashes[encoded.indices.to_numpy(zero_copy_only=False)]


def _mix(values: np.ndarray) -> np.ndarray:
    """Returns SplitMix64's next number for each state: similar numbers become different ones."""
    values = values + _STEP
    values = (values ^ (values >> np.uint64(30))) * _MIX
    values = (values ^ (values >> np.uint64(27))) * _MIX_AGAIN
    return values ^ (values >> np.uint64(31))
