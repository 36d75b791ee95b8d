"""Reads raw rows from CSV and TFRecord files, local or remote, plain or compressed by gzip."""

import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.datasets.bad_rows import OnBadRow, good_csv_rows, good_records
from mptrec_tf.datasets.block import BLOCK_ROWS, Block
from mptrec_tf.errors import InputError


def matching(patterns: Sequence[str]) -> list[str]:
    """Returns the files that match `patterns` (paths or globs), each pattern's in sorted order.

    Raises:
      InputError: for a pattern that matches no file.
    """
    files: dict[str, None] = {}  # keeps the order; a file that two patterns match comes once
    for pattern in patterns:
        try:
            found = sorted(f for f in tf.io.gfile.glob(pattern) if not tf.io.gfile.isdir(f))
        except tf.errors.OpError as error:
            raise InputError(f"cannot look for {pattern!r}: {error.message}.") from error
        if not found:
            raise InputError(f"no file matches {pattern!r}; give an existing file or a glob.")
        files |= dict.fromkeys(found)
    return list(files)


def read_csv(
    path: str, header: Sequence[str] | None = None, on_bad_row: OnBadRow | None = None
) -> Iterator[Block]:
    """Yields the rows of a CSV file as text, spaces around values removed.

    Args:
      path: The file; read through gzip if its name ends in .gz.
      header: Column names of a file without a header line. By default the first line that is
        not blank is read as the header.
      on_bad_row: Called with each row that cannot be read, instead of an error.

    Raises:
      InputError: for a file that cannot be read, a header that is missing or names a column
        twice, and, with file and line, for text that is not UTF-8, a quote that is not closed,
        or a row with another number of columns.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as raw:
            stream = gzip.GzipFile(fileobj=raw) if path.endswith(".gz") else raw
            lines = io.TextIOWrapper(
                _Buffered(stream),
                encoding="utf-8-sig",
                errors="surrogateescape" if on_bad_row else "strict",
                newline="",
            )
            if on_bad_row:
                width = None if header is None else len(header)
                rows = good_csv_rows(lines, path, _reader, width, on_bad_row)
            else:
                rows = _numbered(_reader(_without_nul(lines)), path)
            yield from _blocks(rows, path, header)
    except (tf.errors.OpError, OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "message", None) or str(error)
        raise InputError(f"cannot read {path}: {reason}.") from error


def _reader(lines: Iterable[str]):
    return csv.reader(lines, skipinitialspace=True, strict=True)


class _Buffered(io.RawIOBase):
    """What `TextIOWrapper` needs of a file; `GFile` lacks a part of it."""

    def __init__(self, stream):
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1) -> bytes:
        return self._stream.read(1 << 20 if size < 0 else max(size, 1 << 20))


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    """Refuses, as `csv` itself does before Python 3.11, what is no text."""
    for line in lines:
        if "\0" in line:
            raise csv.Error("line contains NUL")
        yield line


def _numbered(reader, path: str) -> Iterator[tuple[int, list[str]]]:
    """Yields rows with the line that each begins on, blank lines left out."""
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1  # a quoted value may have gone over several lines
    except csv.Error as error:
        raise InputError(f"{path}, line {line}: not valid CSV: {error}.") from error
    except UnicodeDecodeError as error:
        # The bytes that could not be decoded begin in the line after those that the reader had.
        line = reader.line_num + 1 + error.object[: error.start].count(b"\n")
        raise InputError(
            f"{path}, line {line}: not UTF-8 text ({error.reason}); save the file as UTF-8."
        ) from error


def _blocks(
    rows: Iterator[tuple[int, list[str]]], path: str, header: Sequence[str] | None
) -> Iterator[Block]:
    expected = "the format has"
    if header is None:
        expected = "the header has"
        line, names = next(rows, (1, []))
        if not names:
            raise InputError(f"{path} is empty; its first line should name the columns.")
        header = [name.strip() for name in names]
        repeated = sorted({n for n in header if header.count(n) > 1})
        if repeated:
            raise InputError(
                f"{path}, line {line}: the header names column {repeated[0]!r} twice; "
                "rename one of them."
            )
    width = len(header)
    while batch := list(itertools.islice(rows, BLOCK_ROWS)):
        for line, row in batch:
            if len(row) != width:
                raise InputError(
                    f"{path}, line {line}: {len(row)} columns, but {expected} {width}; "
                    "mend the row (a value that holds a comma needs quotes round it)."
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


def read_tfrecord(path: str, on_bad_row: OnBadRow | None = None) -> Iterator[Block]:
    """Yields the rows of a TFRecord file of tf.Examples with one value in each feature.

    Args:
      path: The file; read through gzip if its name ends in .gz.
      on_bad_row: Called with each record that cannot be read, instead of an error.

    Raises:
      InputError: for a file that cannot be read, a record that is no tf.Example, or a feature
        that is missing, has more or fewer values than one or is no UTF-8 text, with file and
        record.
    """
    compression = "GZIP" if path.endswith(".gz") else ""
    records = tf.data.TFRecordDataset(path, compression_type=compression).as_numpy_iterator()
    numbered = enumerate(records, 1)
    names = None
    try:
        while batch := list(itertools.islice(numbered, BLOCK_ROWS)):
            if on_bad_row:
                numbers, rows = good_records(batch, _example_values, path, names, on_bad_row)
            else:
                numbers, rows = [number for number, _ in batch], _same_features(batch, path)
            if rows:
                names = rows[0].keys()
                columns = {name: _column([row[name] for row in rows]) for name in names}
                yield Block(columns, path, np.array(numbers), "record")
    except tf.errors.OpError as error:
        raise InputError(
            f"cannot read {path} as TFRecord, as its name does not end in .csv or .txt: "
            f"{error.message}."
        ) from error


def _same_features(batch: Sequence[tuple[int, bytes]], path: str) -> list[dict]:
    rows = [_example_values(record, path, number) for number, record in batch]
    names = rows[0].keys()
    for (number, _), row in zip(batch, rows, strict=True):
        if row.keys() != names:
            odd = sorted(row.keys() ^ names)[0]
            raise InputError(
                f"{path}, record {number}: feature {odd!r} is in some records of the file "
                "and missing in others; each record needs every feature."
            )
    return rows


def _example_values(record: bytes, path: str, number: int) -> dict[str, str | int | float]:
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
        try:
            values[name] = found[0].decode() if isinstance(found[0], bytes) else found[0]
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, record {number}: feature {name!r} is not UTF-8 text ({error.reason})."
            ) from error
    return values


def _column(values: list[str | int | float]) -> np.ndarray:
    if any(isinstance(value, str) for value in values):
        return np.array([str(value) for value in values], object)
    return np.array(values)
