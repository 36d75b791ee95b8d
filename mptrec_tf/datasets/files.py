"""Reads raw rows from CSV and TFRecord files, local or remote, plain or compressed by gzip."""

import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.datasets.block import BLOCK_ROWS, Block
from mptrec_tf.errors import InputError


def matching(patterns: Sequence[str]) -> list[str]:
    """Returns the files that match `patterns` (paths or globs), each pattern's in sorted order.

    Raises:
      InputError: for a pattern that matches no file.
    """
    files = []
    for pattern in patterns:
        try:
            found = sorted(f for f in tf.io.gfile.glob(pattern) if not tf.io.gfile.isdir(f))
        except tf.errors.OpError as error:
            raise InputError(f"cannot look for {pattern!r}: {error.message}.") from error
        if not found:
            raise InputError(f"no file matches {pattern!r}; give an existing file or a glob.")
        files += found
    return files


def read_csv(path: str, header: Sequence[str] | None = None) -> Iterator[Block]:
    """Yields the rows of a CSV file as text, spaces around values removed.

    Args:
      path: The file; read through gzip if its name ends in .gz.
      header: Column names of a file without a header line. By default the first line is read
        as the header.

    Raises:
      InputError: for a file that cannot be read, a header that is missing or names a column
        twice, or a row with another number of columns, with file and line.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as raw:
            stream = gzip.GzipFile(fileobj=raw) if path.endswith(".gz") else raw
            lines = io.TextIOWrapper(_Buffered(stream), encoding="utf-8", newline="")
            yield from _blocks(csv.reader(lines, skipinitialspace=True), path, header)
    except (tf.errors.OpError, OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "message", None) or str(error)
        raise InputError(f"cannot read {path}: {reason}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {path}: it is not UTF-8 text ({error.reason}).") from error
    except csv.Error as error:
        raise InputError(f"cannot read {path} as CSV: {error}.") from error


class _Buffered(io.RawIOBase):
    """What `TextIOWrapper` needs of a file; `GFile` lacks a part of it."""

    def __init__(self, stream):
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1) -> bytes:
        return self._stream.read(1 << 20 if size < 0 else max(size, 1 << 20))


def _blocks(reader, path: str, header: Sequence[str] | None) -> Iterator[Block]:
    expected = "the format has"
    if header is None:
        expected = "the header has"
        header = [name.strip() for name in next(reader, [])]
        if not header:
            raise InputError(f"{path} is empty; its first line should name the columns.")
        repeated = sorted({n for n in header if header.count(n) > 1})
        if repeated:
            raise InputError(f"{path}, line 1: the header names column {repeated[0]!r} twice.")
    width = len(header)
    numbered = ((reader.line_num, row) for row in reader if row)
    while batch := list(itertools.islice(numbered, BLOCK_ROWS)):
        for line, row in batch:
            if len(row) != width:
                raise InputError(
                    f"{path}, line {line}: {len(row)} columns, but {expected} {width}."
                )
        columns = zip(*(row for _, row in batch), strict=True)
        yield Block(
            {
                name: np.array([v.rstrip() for v in column], object)
                for name, column in zip(header, columns, strict=True)
            },
            path,
            np.array([line for line, _ in batch]),
        )


def read_tfrecord(path: str) -> Iterator[Block]:
    """Yields the rows of a TFRecord file of tf.Examples with one value in each feature.

    Raises:
      InputError: for a file that cannot be read, a record that is no tf.Example, or a feature
        with more or fewer values than one, with file and record.
    """
    compression = "GZIP" if path.endswith(".gz") else ""
    records = tf.data.TFRecordDataset(path, compression_type=compression).as_numpy_iterator()
    numbered = enumerate(records, 1)
    try:
        while batch := list(itertools.islice(numbered, BLOCK_ROWS)):
            rows = [_example_values(record, path, number) for number, record in batch]
            names = rows[0].keys()
            for (number, _), row in zip(batch, rows, strict=True):
                if row.keys() != names:
                    odd = sorted(row.keys() ^ names)[0]
                    raise InputError(
                        f"{path}, record {number}: feature {odd!r} is in some records of the file "
                        "and missing in others; each record needs every feature."
                    )
            yield Block(
                {name: _column([row[name] for row in rows]) for name in names},
                path,
                np.array([number for number, _ in batch]),
                "record",
            )
    except tf.errors.OpError as error:
        raise InputError(f"cannot read {path}: {error.message}.") from error


def _example_values(record: bytes, path: str, number: int) -> dict[str, bytes | int | float]:
    try:
        example = tf.train.Example.FromString(record)
    except Exception as error:  # protobuf's own DecodeError differs between its versions
        raise InputError(f"{path}, record {number}: not a tf.Example ({error}).") from error
    values = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found = getattr(feature, kind).value if kind else ()
        if len(found) != 1:
            raise InputError(
                f"{path}, record {number}: feature {name!r} has {len(found)} values; "
                "each feature needs exactly one."
            )
        values[name] = found[0]
    return values


def _column(values: list[bytes | int | float]) -> np.ndarray:
    if any(isinstance(value, bytes) for value in values):
        text = [v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in values]
        return np.array(text, object)
    return np.array(values)
