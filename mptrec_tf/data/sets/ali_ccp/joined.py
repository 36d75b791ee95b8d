"""Joins Ali-CCP's skeletons with their common features, by Beam's CoGroupByKey.

Rows of both files are cut into parts by a hash of the common-feature id, and written to disk, as
many parts as the files are large. What Beam groups are the paths of a part: so memory holds a part
of the common features and some rows, whatever the size of the files, on every runner. Each part is
then joined and written as one Parquet file for each split.
"""

import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

import apache_beam as beam
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from mptrec_tf.data.canonical import canonicalize
from mptrec_tf.data.row_counts import RowCounts
from mptrec_tf.data.sets.ali_ccp.feature_lists import parse_fields
from mptrec_tf.data.sets.ali_ccp.spec import (
    CLICK,
    COMMON,
    COMMON_COLUMNS,
    CONVERSION,
    SAMPLE,
    SKELETON_COLUMNS,
    SKELETON_FIELDS,
    USER_FIELDS,
)
from mptrec_tf.data.sources.arrow_files import read_batches
from mptrec_tf.data.sources.block import BLOCK_ROWS, Block
from mptrec_tf.data.sources.csv_rows import read_csv
from mptrec_tf.data.sources.lookup import LookupTable, read_text
from mptrec_tf.data.sources.random_access import create_for_arrow, explain, open_for_arrow
from mptrec_tf.data.text_format import OriginalFormat
from mptrec_tf.storage.file_systems import get_file_system

PART_BYTES = 256 << 20  # of a skeleton, in a part
_VALIDATION_SHARE = 0.1  # of the training file
_BUFFERED = 1 << 16  # rows that are cut at a time
_SPLITS = {"train": ("train", "validation"), "test": ("test",)}  # by file
_LINE, _SPLIT, _SOURCE = "line", "split", "source"
_SKELETON, _USERS = "skeleton", "users"
_KEPT = (SAMPLE, CLICK, CONVERSION, COMMON, *SKELETON_FIELDS)
_JOINED = (SAMPLE, CLICK, CONVERSION, *USER_FIELDS, *SKELETON_FIELDS)


def join_files(
    skeletons: Mapping[str, str],
    users: Mapping[str, str],
    directory: str,
    make_pipeline: Callable[[], beam.Pipeline],
    part_bytes: int = PART_BYTES,
    counts: RowCounts | None = None,
) -> dict[str, list[str]]:
    """Joins files; returns the Parquet files of each split, in an order that is always the same.

    Args:
      skeletons: Paths of the skeletons, by "train" and "test".
      users: Paths of the common features, likewise.
      directory: An existing directory, which all workers can write.
      make_pipeline: Makes the pipeline that joins.
      part_bytes: Bytes of a skeleton in a part.
      counts: Optional. What counts the rows of the skeletons.

    Returns:
      Paths by split; "train" makes train and validation.

    Raises:
      InputError: for malformed rows, or a common-feature id that is missing or comes twice.
    """
    system = get_file_system(directory)
    parts = {
        of: max(1, math.ceil(tf.io.gfile.stat(path).length / part_bytes))
        for of, path in skeletons.items()
    }
    temporary = f"{directory}/parts-{uuid.uuid4().hex[:8]}"
    system.makedirs(temporary)
    steps = {
        _SKELETON: _Cut(_SKELETON, temporary, counts),
        _USERS: _Cut(_USERS, temporary),
    }
    paths = {_SKELETON: skeletons, _USERS: users}
    try:
        with make_pipeline() as pipeline:
            cut = {
                kind: pipeline
                | f"Files/{kind}"
                >> beam.Create([(of, path, parts[of]) for of, path in paths[kind].items()])
                | f"Spread/{kind}" >> beam.Reshuffle()
                | f"Cut/{kind}" >> beam.ParDo(step)
                for kind, step in steps.items()
            }
            join = _Join(dict(skeletons), dict(users), directory)
            _ = cut | "Group" >> beam.CoGroupByKey() | "Join" >> beam.ParDo(join)
    finally:
        system.rmtree(temporary)
    joined = {
        split: [_joined_file(directory, split, part) for part in range(parts[of])]
        for of in skeletons
        for split in _SPLITS[of]
    }
    return {split: [p for p in of if system.exists(p)] for split, of in joined.items()}


def _joined_file(directory: str, split: str, part: int) -> str:
    return f"{directory}/{split}-{part:05d}.parquet"


def read_skeleton(path: str) -> Iterator[Block]:
    """Yields the rows of a skeleton with fields as columns, without conversions without a click.

    Raises:
      InputError: for a malformed row, with file and line.
    """
    for block in read_csv(
        path, OriginalFormat(header=SKELETON_COLUMNS, delimiter=",", quote="none")
    ):
        block = block.rows(~(_have_value(block, CONVERSION, "1") & _have_value(block, CLICK, "0")))
        if len(block):
            yield block.with_text(parse_fields(block, SKELETON_FIELDS))


def _have_value(block: Block, name: str, value: str) -> np.ndarray:
    """Returns which rows have a value, in any of the spellings that labels may have, [n] bool."""
    values, codes = block.distinct(name)
    return np.array([canonicalize(other) == value for other in values], bool)[codes]


def read_common_features(path: str) -> Iterator[Block]:
    """Yields the rows of a file of common features, with fields as columns.

    Raises:
      InputError: for a malformed row, with file and line.
    """
    for block in read_csv(path, OriginalFormat(header=COMMON_COLUMNS, delimiter=",", quote="none")):
        yield block.with_text(parse_fields(block, USER_FIELDS))


def find_validation(samples: pa.Array) -> np.ndarray:
    """Returns which rows of the training file are for validation, [n] bool, by their ids."""
    hashes = _hash(samples).astype(np.float64) / 2.0**64
    return hashes >= 1 - _VALIDATION_SHARE


def _hash(texts: pa.Array) -> np.ndarray:
    """Returns a number for each text, [n] uint64: SipHash with a fixed key, the same everywhere."""
    return pd.util.hash_array(texts.to_numpy(zero_copy_only=False), categorize=False)


class _Cut(beam.DoFn):
    """Cuts a file into parts by a hash of the common-feature id.

    Args:
      kind: _SKELETON or _USERS.
      directory: Where parts are written.
      counts: Optional. What counts the rows.

    Yields:
      (("train" or "test", part), path).
    """

    def __init__(self, kind: str, directory: str, counts: RowCounts | None = None):
        self._kind = kind
        self._directory = directory
        self._counts = counts

    def process(self, element):
        of, path, parts = element
        read, names = (
            (read_skeleton, _KEPT)
            if self._kind == _SKELETON
            else (read_common_features, (COMMON, *USER_FIELDS))
        )
        writers = _Writers(f"{self._directory}/{self._kind}-{of}")
        for table in _buffer(_to_batch(block, names) for block in read(path)):
            if self._kind == _SKELETON:
                splits = _SPLITS[of][:1]
                if of == "train":
                    validation = find_validation(table[SAMPLE].combine_chunks())
                    splits = np.where(validation, *reversed(_SPLITS[of]))
                table = table.append_column(_SPLIT, pa.array(np.broadcast_to(splits, len(table))))
            if self._counts is not None:
                self._counts.add(len(table))
            for part, rows in _group(_hash(table[COMMON].combine_chunks()) % parts):
                writers.write(part, table.take(pa.array(rows)))
        for part, written in writers.close().items():
            yield (of, part), written


def _to_batch(block: Block, names: Sequence[str]) -> pa.RecordBatch:
    columns = [read_text(block, name) for name in names] + [pa.array(block.lines)]
    return pa.RecordBatch.from_arrays(columns, [*names, _LINE])


def _buffer(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yields tables of some `_BUFFERED` rows."""
    waiting, rows = [], 0
    for batch in batches:
        waiting.append(batch)
        rows += len(batch)
        if rows >= _BUFFERED:
            yield pa.Table.from_batches(waiting).combine_chunks()
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()


def _group(keys: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each key [n] uint64 with its rows, in order."""
    order = np.argsort(keys, kind="stable")
    found, starts = np.unique(keys[order], return_index=True)
    yield from zip(found.tolist(), np.split(order, starts[1:]), strict=True)


class _Writers:
    """Arrow files of the parts of one file, each opened when it gets rows.

    Names are drawn: a worker that tries again does not write into the files of the first try.
    """

    def __init__(self, prefix: str):
        self._prefix = f"{prefix}-{uuid.uuid4().hex[:8]}"
        self._open: dict[int, tuple[str, pa.ipc.RecordBatchFileWriter, object]] = {}

    def write(self, part: int, table: pa.Table) -> None:
        if part not in self._open:
            path = f"{self._prefix}-{part:05d}.arrow"
            file = create_for_arrow(path)
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._open[part] = path, pa.ipc.new_file(file, table.schema, options=options), file
        self._open[part][1].write_table(table)

    def close(self) -> dict[int, str]:
        """Closes the files; returns the path of each part."""
        for _, writer, file in self._open.values():
            writer.close()
            file.close()
        return {part: path for part, (path, _, _) in self._open.items()}


class _Join(beam.DoFn):
    """Joins a part of a skeleton with the same part of the common features, and writes its splits.

    Args:
      skeletons: Paths of the skeletons, for messages.
      users: Paths of the common features, likewise.
      directory: Where joined rows are written.
    """

    def __init__(self, skeletons: Mapping[str, str], users: Mapping[str, str], directory: str):
        self._skeletons, self._users, self._directory = skeletons, users, directory

    def process(self, element):
        (of, part), grouped = element
        users = LookupTable(
            _read_part(grouped[_USERS], self._users[of], (COMMON, *USER_FIELDS)),
            COMMON,
            {field: field for field in USER_FIELDS},
            self._users[of],
        )
        writers = {split: _JoinedWriter(self._directory, split, part) for split in _SPLITS[of]}
        for block in _read_part(grouped[_SKELETON], self._skeletons[of], (*_KEPT, _SPLIT)):
            block = users.join(block, COMMON)
            split_of = block.text(_SPLIT)
            for split, writer in writers.items():
                if len(rows := np.flatnonzero(split_of == split)):
                    writer.write(_to_joined(block.rows(rows)))
        for writer in writers.values():
            writer.close()
        yield of, part


def _read_part(paths: Sequence[str], source: str, names: Sequence[str]) -> Iterator[Block]:
    """Yields the rows of a part, with their places in the original file."""
    for path in sorted(paths):
        for batch in read_batches(path):
            columns = {name: batch.column(name) for name in names}
            yield Block.from_arrow(columns, source, batch.column(_LINE).to_numpy())


def _to_joined(block: Block) -> pa.Table:
    columns = [read_text(block, name) for name in _JOINED]
    source = pa.array([block.source] * len(block))
    return pa.table([*columns, pa.array(block.lines), source], [*_JOINED, _LINE, _SOURCE])


class _JoinedWriter:
    """Writes the Parquet file of a part and a split, if it gets rows; it appears when whole."""

    def __init__(self, directory: str, split: str, part: int):
        self._path = _joined_file(directory, split, part)
        self._temporary = f"{self._path}.{uuid.uuid4().hex[:8]}"
        self._waiting: list[pa.Table] = []
        self._file, self._writer = None, None

    def write(self, table: pa.Table) -> None:
        self._waiting.append(table)
        if sum(map(len, self._waiting)) >= _BUFFERED:
            self._flush()

    def _flush(self) -> None:
        table = pa.concat_tables(self._waiting)
        self._waiting = []
        if self._writer is None:
            self._file = create_for_arrow(self._temporary)
            self._writer = pq.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._waiting:
            self._flush()
        if self._writer is not None:
            self._writer.close()
            self._file.close()
            tf.io.gfile.rename(self._temporary, self._path, overwrite=True)


def read_joined(path: str) -> Iterator[Block]:
    """Yields the rows of a joined file, with their places in the skeleton.

    Raises:
      InputError: for a file that cannot be read.
    """
    with explain(path, "Parquet"), open_for_arrow(path) as file:
        for batch in pq.ParquetFile(file).iter_batches(batch_size=BLOCK_ROWS):
            columns = {name: batch.column(name) for name in _JOINED}
            source = batch.column(_SOURCE)[0].as_py()
            yield Block.from_arrow(columns, source, batch.column(_LINE).to_numpy())
