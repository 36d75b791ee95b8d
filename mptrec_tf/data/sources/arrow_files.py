"""Reads raw rows from Arrow files (Feather, IPC), one record batch at a time.

A row's place is its record batch and its row in the file, both counted from 1.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from mptrec_tf.data.sources.columns import Columns, find_repeated
from mptrec_tf.data.sources.file_kinds import ARROW, ARROW_FILE, ARROW_STREAM, OLD_FEATHER
from mptrec_tf.data.sources.random_access import explain, open_for_arrow
from mptrec_tf.data.sources.typed_rows import TypedRows, cut_blocks
from mptrec_tf.errors import InputError


def estimate_arrow_rows(path: str) -> int:
    """Returns the rows of an Arrow file, if its batches are of one size; 0 for a stream."""
    with explain(path, ARROW), open_for_arrow(path) as file:
        if file.read(len(ARROW_FILE)) != ARROW_FILE:
            return 0
        reader = pa.ipc.open_file(file)
        batches = reader.num_record_batches
        return reader.get_batch(0).num_rows * batches if batches else 0


def read_arrow(path: str) -> Iterator[TypedRows]:
    """Yields the rows of an Arrow file or stream.

    Raises:
      InputError: for a file that cannot be read.
    """
    first = 1
    for number, batch in enumerate(read_batches(path), 1):
        names = batch.schema.names
        types = dict(zip(names, batch.schema.types, strict=True))
        places = {name: place for place, name in enumerate(names)}
        repeated = find_repeated(names)
        for part in cut_blocks(batch.num_rows):
            rows = batch.slice(part.start, part.stop - part.start)
            yield TypedRows(
                types,
                Columns(names, lambda name, of=rows, at=places: of.column(at[name])),
                path,
                np.arange(first + part.start, first + part.stop),
                f"record batch {number}, row",
                repeated,
            )
        first += batch.num_rows


def read_batches(path: str) -> Iterator[pa.RecordBatch]:
    """Yields the record batches of an Arrow file or stream.

    Raises:
      InputError: for a file that cannot be read.
    """
    with explain(path, ARROW), open_for_arrow(path) as file:
        start = file.read(len(ARROW_FILE))
        if start.startswith(OLD_FEATHER):
            raise InputError(
                f"{path} is of the first version of Feather; write it again by a newer program."
            )
        file.seek(0)
        if start.startswith(ARROW_STREAM):
            yield from pa.ipc.open_stream(file)
            return
        reader = pa.ipc.open_file(file)
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)
