"""Reads raw rows from text files: CSV and its relatives."""

import csv
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any

import numpy as np
import pyarrow as pa

from mptrec_tf.data.canonical import canonicalize
from mptrec_tf.data.sources.bad_rows import (
    GIVE_ENCODING,
    OnBadRow,
    is_blank_row,
    read_good_csv_rows,
)
from mptrec_tf.data.sources.block import BLOCK_ROWS, Block
from mptrec_tf.data.sources.columns import Columns, find_repeated
from mptrec_tf.data.sources.csv_input import CsvInput
from mptrec_tf.data.sources.csv_plain import PlainReader
from mptrec_tf.data.sources.csv_reader import make_csv_reader
from mptrec_tf.data.sources.decimal_comma import read_commas
from mptrec_tf.data.sources.file_kinds import check_readable
from mptrec_tf.data.sources.streams import READ_ERRORS, open_text, reason_of
from mptrec_tf.data.sources.text_columns import TextRows
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

# Bytes that Arrow reads at a time; few at first, since some callers want a few rows.
_FIRST_CHUNK, _CHUNK = 1 << 16, 1 << 20
_BLOCK_BYTES = 16 << 20
# Rows that tell whether a file repeats the header of the spec, and its delimiter.
_FIRST_ROWS = 5
_GET_AGAIN = "fix the row, or get the file again"

Row = tuple[int, list[str]]  # first line, and values
Part = tuple[np.ndarray, list[pa.Array]]  # first lines [n], and columns [n]


def read_csv(
    path: str, text_format: TextFormat, on_bad_row: OnBadRow | None = None
) -> Iterator[Block]:
    """Yields the rows of a text file as text, unchanged but for numbers with a decimal comma.

    White space is part of a value (see `canonicalize`), except between a delimiter and a value,
    where it belongs to CSV. Columns that are not used are not checked: they may have no name, or
    share one.

    Args:
      path: The file, plain or compressed.
      text_format: How it is written. With a `header`, a first line of just these names is skipped.
      on_bad_row: Called with each row that cannot be read, instead of raising an error.

    Raises:
      InputError: for a file that cannot be read, and, with file and line, for text that is not
        UTF-8, a quote that is not closed, or a row with another number of columns.
    """
    text_format = text_format.for_file(path)
    try:
        stream, _ = open_text(path, text_format, escapes=on_bad_row is not None)
        with stream:
            check_readable(path, stream.peek(16), text_format.is_fixed)
            errors = "surrogateescape" if text_format.is_utf8 else "surrogatepass"
            lines = CsvInput(stream, text_format, errors if on_bad_row else "strict")
            lines.skip(text_format.skip_rows)
            yield from _make_blocks(_CsvFile(path, text_format, lines), on_bad_row)
    except READ_ERRORS as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}.") from error


class _CsvFile:
    """The rows of a file, by Python's `csv` one by one or by Arrow in large parts.

    Args:
      path: The file, for messages.
      text_format: How it is written.
      lines: Its content.
    """

    def __init__(self, path: str, text_format: TextFormat, lines: CsvInput):
        self.path, self.format, self.lines = path, text_format, lines

    def make_reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Returns a reader of Python's `csv`."""
        return make_csv_reader(lines, self.format)

    def read_rows(self, stop: float = math.inf) -> Iterator[Row]:
        """Yields (first line, values) of each row that begins before a position, but no blank ones.

        Raises:
          InputError: for the first row that cannot be read.
        """
        lines = self.lines
        reader = self.make_reader(_check_nul(lines))
        line = lines.line
        try:
            while lines.position < stop and (row := next(reader, None)) is not None:
                if not is_blank_row(row, lines.last):
                    yield line, row
                line = lines.line  # a quoted value may span several lines
        except csv.Error as error:
            hint = lines.guess() or (_GET_AGAIN if self.format.is_fixed else "")
            if not hint and '\\"' in lines.last:
                hint = (
                    "the file seems to escape quotes by a backslash: give `escape: backslash` in "
                    "the spec"
                )
            if not hint and "\0" in lines.last:
                hint = "the file may be UTF-16: give `encoding: utf-16` in the spec"
            hint = f"; {hint}." if hint else "."
            raise InputError(f"{self.path}, line {line}: not valid CSV: {error}{hint}") from error
        except UnicodeDecodeError as error:
            advice = _GET_AGAIN if self.format.is_fixed else GIVE_ENCODING
            raise InputError(
                f"{self.path}, line {lines.line}: not UTF-8 text ({error.reason}); {advice}."
            ) from error

    def read_parts(self, width: int, expected: str) -> Iterator[Part]:
        """Yields (lines, columns) of all rows, by Arrow where it reads them as `csv` does.

        Args:
          width: The number of columns of each row.
          expected: What has that number, for messages.

        Raises:
          InputError: for the first row that cannot be read or has another number of columns.
        """
        reader, size = PlainReader(self.format, width), _FIRST_CHUNK
        while content := self.lines.peek(size):
            first = self.lines.line
            plain = reader.read(content, at_end=len(content) < size)
            if plain is not None:
                self.lines.take(plain.size, plain.line_count)
                yield first + plain.lines, plain.columns
            else:
                rows = self.read_rows(self.lines.position + len(content))
                yield from self.make_parts(rows, width, expected)
            size = min(4 * size, _CHUNK)

    def make_parts(self, rows: Iterator[Row], width: int, expected: str) -> Iterator[Part]:
        """Yields (lines, columns) of some rows; see `read_parts`."""
        while batch := list(itertools.islice(rows, BLOCK_ROWS)):
            for line, row in batch:
                if len(row) != width:
                    guess = self.lines.guess() or (
                        _GET_AGAIN
                        if self.format.is_fixed
                        else "fix the row (a value that contains a delimiter needs quotes)"
                    )
                    raise InputError(
                        f"{self.path}, line {line}: {len(row)} columns, but {expected} {width}; "
                        f"{guess}."
                    )
            lines = np.array([line for line, _ in batch], np.int64)
            yield lines, [pa.array([row[i] for _, row in batch], pa.string()) for i in range(width)]


def _check_nul(lines: Iterable[str]) -> Iterator[str]:
    """Rejects NUL characters, as `csv` itself does before Python 3.11."""
    for line in lines:
        if "\0" in line:
            raise csv.Error("line contains NUL")
        yield line


def _make_blocks(file: _CsvFile, on_bad_row: OnBadRow | None) -> Iterator[Block]:
    header, expected = file.format.header, "the header in the spec has"
    if on_bad_row:
        width = header and len(header)
        rows = read_good_csv_rows(
            file.lines, file.path, file.make_reader, width, on_bad_row, file.lines.line
        )
    else:
        rows = file.read_rows()
    if header is None:
        expected = "the header has"
        _, header = next(rows, (1, []))
    header = [name.strip() for name in header]
    note = file.lines.guess() or _check_header(header, file.format)
    places = {name: place for place, name in enumerate(header) if name}
    attributes = {
        "repeated": find_repeated(header),
        "note": note,
        "delimiter": file.format.delimiter,
    }
    first = []
    if file.format.header:
        first = list(itertools.islice(rows, _FIRST_ROWS))
    names = [[value.strip().casefold() for value in row] for _, row in first[:1]]
    skips = names == [[name.casefold() for name in header]]
    parts = itertools.chain(
        file.make_parts(iter(first[skips:]), len(header), expected),
        file.make_parts(rows, len(header), expected)
        if on_bad_row
        else _read_ahead(file.read_parts(len(header), expected)),
    )
    for lines, columns in _cut_blocks(parts, BLOCK_ROWS - skips):
        named = {name: columns[place] for name, place in places.items()}
        yield _make_block(named, file, lines, values=TextRows(columns), **attributes)


def _make_block(
    raw: Mapping[str, pa.Array], file: _CsvFile, lines: np.ndarray, **attributes: Any
) -> Block:
    arrow = raw
    if file.format.decimal == ",":
        arrow = Columns(raw, lambda name: read_commas(raw[name]))
        attributes["written"] = raw
    return Block.from_arrow(arrow, file.path, lines, **attributes)


def _read_ahead(parts: Iterator[Part]) -> Iterator[Part]:
    """Yields parts; a thread reads the next one while the caller is busy with one."""
    with futures.ThreadPoolExecutor(1) as thread:
        ahead = thread.submit(next, parts, None)
        while (part := ahead.result()) is not None:
            ahead = thread.submit(next, parts, None)
            yield part


def _cut_blocks(parts: Iterable[Part], first: int) -> Iterator[Part]:
    """Yields parts of `BLOCK_ROWS` rows, the first one of `first`, and what remains.

    Parts of very long rows have fewer of them, so that memory is bounded.
    """
    pending, rows, size, most = [], 0, 0, first
    for lines, columns in parts:
        begin = 0
        while begin < len(lines):
            end = min(begin + most - rows, len(lines))
            pending.append((lines[begin:end], [of[begin:end] for of in columns]))
            size += sum(of.nbytes for of in pending[-1][1])
            rows, begin = rows + end - begin, end
            if rows == most or size >= _BLOCK_BYTES:
                yield _join(pending)
                pending, rows, size, most = [], 0, 0, BLOCK_ROWS
    if pending:
        yield _join(pending)


def _join(parts: Sequence[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    columns = zip(*(columns for _, columns in parts), strict=True)
    return np.concatenate([lines for lines, _ in parts]), [pa.concat_arrays(c) for c in columns]


def _check_header(header: Sequence[str], text_format: TextFormat) -> str:
    """Returns a hint if a file's header looks like a row of values (names are not numbers)."""
    if text_format.header is None and any(
        canonicalize(name).replace(".", "", 1).removeprefix("-").isdigit() for name in header
    ):
        advice = "list these under `header` in the spec"
        return (
            "its first line seems to be a row, not the columns' names: "
            f"{'get the original one' if text_format.is_fixed else advice}"
        )
    return ""
