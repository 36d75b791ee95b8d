"""Reports unreadable rows one by one, so that a run can continue without them."""

import collections
import csv
import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from mptrec_tf.errors import InputError

NOT_CSV = "not valid CSV"
NOT_UTF8 = "not UTF-8 text"
GIVE_ENCODING = "save the file as UTF-8, or give its `encoding` in the spec"
NOT_JSON = "not a JSON object"
COLUMNS = "another number of columns"
NOT_AN_EXAMPLE = "not a tf.Example with one value in each feature"
NOT_A_NUMBER = "not a finite number"
NOT_A_LIST = "not a list of values as the model takes it"

# What `errors="surrogateescape"` makes of bytes that are not UTF-8.
_ESCAPED = re.compile("[\udc80-\udcff]")


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be read.

    Attributes:
      source: str. The row's file.
      line: int. Its line, or the number of its record or row.
      kind: str. The kind of error, by which rows are counted.
      reason: str. The error of this row.
      row: str. The row's text, if the file is text.
    """

    source: str
    line: int
    kind: str
    reason: str
    row: str = ""


OnBadRow = Callable[[BadRow], Any]


def read_good_csv_rows(
    lines: Iterable[str],
    path: str,
    make_reader: Callable[[Iterable[str]], Iterator[list[str]]],
    width: int | None,
    on_bad_row: OnBadRow,
    first: int = 1,
) -> Iterator[tuple[int, list[str]]]:
    """Yields (first line, values) of each complete row, without blank lines.

    Args:
      lines: Decoded with `surrogateescape`, with their ends.
      path: Their file, for messages.
      make_reader: Makes a `csv` reader of lines.
      width: Number of columns. None: that of the first row, the header.
      on_bad_row: Called with each other row.
      first: The number of the first line.

    Raises:
      InputError: for a header that cannot be read.
    """
    record = _Record(lines, first)
    reader = make_reader(record)
    expected = "the header has" if width is None else "the format has"
    while True:
        record.begin()
        row: list[str] = []
        kind = reason = None
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            kind, reason = NOT_CSV, f"{NOT_CSV}: {error}"
            record.return_all_but_one()
        text = record.text()
        if not text.isascii() and _ESCAPED.search(text):
            kind = reason = NOT_UTF8
        if kind is None and is_blank_row(row, text):
            continue
        if kind is None and width is None:
            width = len(row)
        if kind is None and len(row) != width:
            kind, reason = COLUMNS, f"{len(row)} columns, but {expected} {width}"
        if kind is None:
            yield record.line, row
        elif width is None:
            raise InputError(f"{path}, line {record.line}: the header is {reason}; fix it.")
        else:
            on_bad_row(BadRow(path, record.line, kind, reason, _escape_bytes(text)))


def is_blank_row(row: Sequence[str], last: str) -> bool:
    """Whether a row is a blank line, and no quoted value without text.

    Args:
      row: Its values.
      last: Its last line.
    """
    return len(row) < 2 and not "".join(row).strip() and not last.strip()


class _Record:
    """An iterator of lines that records which of them a CSV reader took for its row."""

    def __init__(self, lines: Iterable[str], first: int):
        self._lines = iter(lines)
        self._given_back: collections.deque[str] = collections.deque()
        self._taken: list[str] = []
        self.line = first

    def __iter__(self) -> "_Record":
        return self

    def __next__(self) -> str:
        line = self._given_back.popleft() if self._given_back else next(self._lines)
        self._taken.append(line)
        if "\0" in line:
            raise csv.Error("line contains NUL")
        return line

    def begin(self) -> None:
        """Starts a new row at the next line."""
        self.line += len(self._taken)
        self._taken = []

    def return_all_but_one(self) -> None:
        """Returns all but the row's first line, since an unclosed quote runs into later rows."""
        self._given_back.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]

    def text(self) -> str:
        """Returns the text of the row's lines."""
        return "".join(self._taken)


def _escape_bytes(text: str) -> str:
    r"""Returns text without its line end; bytes that are not UTF-8 as escapes like \xff."""
    raw = text.rstrip("\r\n").encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")


def read_good_records(
    batch: Sequence[tuple[int, bytes]],
    values_of: Callable[[bytes, str, int], dict[str, Any]],
    path: str,
    on_bad_row: OnBadRow,
) -> tuple[list[int], list[dict[str, Any]]]:
    """Returns the numbers and values of the readable records.

    Args:
      batch: Records with their numbers.
      values_of: Reads a record; raises an InputError that begins with the record's place.
      path: Their file.
      on_bad_row: Called with each other record.
    """
    numbers, rows = [], []
    for number, record in batch:
        try:
            rows.append(values_of(record, path, number))
            numbers.append(number)
        except InputError as error:
            reason = str(error).removeprefix(f"{path}, record {number}: ").rstrip(".")
            on_bad_row(BadRow(path, number, NOT_AN_EXAMPLE, reason))
    return numbers, rows
