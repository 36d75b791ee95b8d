"""Reads raw rows from text files: CSV and its relatives."""

import csv
import io
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.data.canonical import canonicalize
from mptrec_tf.data.sources.bad_rows import OnBadRow, read_good_csv_rows
from mptrec_tf.data.sources.block import BLOCK_ROWS, Block, Columns
from mptrec_tf.data.sources.streams import check_readable, open_stream
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

# Common delimiters, and their names in messages.
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", "\x01": "^A"}
_DELIMITERS |= {" ": "spaces", ":": "colons", "^": "^", "~": "~"}
_SPELLED = {"\t": "tab", ";": "semicolon", "|": "pipe", ",": "comma", " ": "space", "\x01": "^A"}
_FIRST_LINES = 5  # lines from which the delimiter is guessed


def read_csv(
    path: str, text_format: TextFormat, on_bad_row: OnBadRow | None = None
) -> Iterator[Block]:
    """Yields the rows of a text file as unchanged text.

    White space is part of a value (see `canonicalize`), except between a delimiter and a value,
    where it belongs to CSV. Columns that are not used are not checked: they may have no name, or
    share one.

    Args:
      path: The file, plain or compressed by gzip.
      text_format: How it is written. With a `header`, a first line of just these names is skipped.
      on_bad_row: Called with each row that cannot be read, instead of raising an error.

    Raises:
      InputError: for a file that cannot be read, and, with file and line, for text that is not
        UTF-8, a quote that is not closed, or a row with another number of columns.
    """
    text_format = text_format.for_file(path)
    try:
        stream, _ = open_stream(path)
        with stream:
            check_readable(path, stream.peek(16))
            errors = "surrogateescape" if on_bad_row else "strict"
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors=errors, newline="")
            lines = _Lines(text, text_format)

            def make_reader(lines: Iterable[str]):
                return csv.reader(
                    _double_escapes(lines, text_format),
                    delimiter=text_format.delimiter,
                    escapechar=text_format.escape,
                    skipinitialspace=text_format.delimiter != " ",
                    strict=True,
                )

            if on_bad_row:
                width = text_format.header and len(text_format.header)
                rows = read_good_csv_rows(lines, path, make_reader, width, on_bad_row)
            else:
                rows = _number_rows(make_reader(_check_nul(lines)), path, lines)
            yield from _make_blocks(rows, path, text_format, lines)
    except (tf.errors.OpError, OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "message", None) or str(error)
        raise InputError(f"cannot read {path}: {reason}.") from error


class _Lines:
    """An iterator of a file's lines that remembers the first, to guess the file's format."""

    def __init__(self, lines: Iterable[str], text_format: TextFormat):
        self._lines = iter(lines)
        self._format = text_format
        self._first: list[str] = []
        self.last = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if len(self._first) < _FIRST_LINES and line.strip():
            self._first.append(line)
        self.last = line
        return line

    def guess(self) -> str:
        """Returns a hint if the file seems to have another delimiter; else empty text."""
        delimiter = self._format.delimiter
        counts = {d: [_count_columns(line, d) for line in self._first] for d in _DELIMITERS}
        likely = [d for d, of in counts.items() if d != delimiter and of and min(of) > 1]
        # Prefers equal numbers of columns in all lines, then more columns.
        best = max(likely, key=lambda d: (len(set(counts[d])) == 1, min(counts[d])), default=None)
        own = [_count_columns(line, delimiter) for line in self._first]
        if best and (min(counts[best]) > min(own) or (len(set(own)) > 1 >= len(set(counts[best])))):
            name = _SPELLED.get(best, repr(best))
            return (
                f"the file seems to have {_DELIMITERS[best]} between its values: give "
                f"`delimiter: {name}` in the spec, or --delimiter={name}"
            )
        return ""


def _check_nul(lines: Iterable[str]) -> Iterator[str]:
    """Rejects NUL characters, as `csv` itself does before Python 3.11."""
    for line in lines:
        if "\0" in line:
            raise csv.Error("line contains NUL")
        yield line


def _double_escapes(lines: Iterable[str], text_format: TextFormat) -> Iterable[str]:
    r"""Doubles escapes that escape nothing, as in paths and Hive's \N: they are text."""
    escape = text_format.escape
    if escape is None:
        return lines
    special = re.escape(f'"{escape}{text_format.delimiter}')
    pattern = re.compile(f"{re.escape(escape)}([{special}]?)")

    def fix(line: str) -> str:
        return pattern.sub(lambda match: match[0] if match[1] else escape + escape, line)

    return map(fix, lines)  # unlike a generator, it continues after an error


def _count_columns(line: str, delimiter: str) -> int:
    row = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
    try:
        return len(next(row, []))
    except csv.Error:
        return 1


def _number_rows(reader, path: str, lines: _Lines) -> Iterator[tuple[int, list[str]]]:
    """Yields (first line, values) of each row, without blank lines."""
    line = 1
    try:
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                yield line, row
            line = reader.line_num + 1  # a quoted value may span several lines
    except csv.Error as error:
        hint = lines.guess()
        if not hint and '\\"' in lines.last:
            hint = (
                "the file seems to escape quotes by a backslash: give `escape: backslash` in the "
            )
            hint += "spec"
        if not hint and "\0" in lines.last:
            hint = "the file may be UTF-16: save it as UTF-8"
        hint = f"; {hint}." if hint else "."
        raise InputError(f"{path}, line {line}: not valid CSV: {error}{hint}") from error
    except UnicodeDecodeError as error:
        # The bytes that could not be decoded follow the lines that the reader consumed.
        line = reader.line_num + 1 + error.object[: error.start].count(b"\n")
        raise InputError(
            f"{path}, line {line}: not UTF-8 text ({error.reason}); save the file as UTF-8."
        ) from error


def _make_blocks(
    rows: Iterator[tuple[int, list[str]]], path: str, text_format: TextFormat, lines: _Lines
) -> Iterator[Block]:
    header, expected = text_format.header, "the header in the spec has"
    if header is None:
        expected = "the header has"
        _, header = next(rows, (1, []))
    header = [name.strip() for name in header]
    width, places = len(header), {name: place for place, name in enumerate(header) if name}
    repeated = {name for name in places if header.count(name) > 1}
    note = lines.guess() or (_check_header(header) if text_format.header is None else "")
    first = True
    while batch := list(itertools.islice(rows, BLOCK_ROWS)):
        names = [value.strip().casefold() for value in batch[0][1]]
        if first and text_format.header and names == [name.casefold() for name in header]:
            batch = batch[1:]
        first = False
        for line, row in batch:
            if len(row) != width:
                guess = lines.guess() or (
                    "fix the row (a value that contains a delimiter needs quotes)"
                )
                raise InputError(
                    f"{path}, line {line}: {len(row)} columns, but {expected} {width}; {guess}."
                )
        yield Block(
            Columns(
                places,
                lambda name, batch=batch: np.array([row[places[name]] for _, row in batch], object),
            ),
            path,
            np.array([line for line, _ in batch], np.int64),
            repeated=frozenset(repeated),
            note=note,
            values=[row for _, row in batch],
            delimiter=text_format.delimiter,
        )


def _check_header(header: Sequence[str]) -> str:
    """Returns a hint if the header looks like a row of values (names are not numbers)."""
    if any(canonicalize(name).replace(".", "", 1).removeprefix("-").isdigit() for name in header):
        return (
            "its first line seems to be a row, not the columns' names: list these under `header` "
            "in the spec"
        )
    return ""
