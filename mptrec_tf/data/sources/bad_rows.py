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
COLUMNS = "another number of columns"
NOT_AN_EXAMPLE = "not a tf.Example with one value in each feature"
NOT_A_NUMBER = "not a finite number"

# What `errors="surrogateescape"` makes of bytes that are not UTF-8.
_ESCAPED = re.compile("[\udc80-\udcff]")


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be read.

    Attributes:
      source: str. The row's file.
      line: int. Its line, or the number of its record.
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
) -> Iterator[tuple[int, list[str]]]:
    """Yields (first line, values) of each complete row, without blank lines.

    Args:
      lines: Decoded with `surrogateescape`, with their ends.
      path: Their file, for messages.
      make_reader: Makes a `csv` reader of lines.
      width: Number of columns. None: that of the first row, the header.
      on_bad_row: Called with each other row.

    Raises:
      InputError: for a header that cannot be read.
    """
    record = _Record(lines)
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
        if kind is None and not row:
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


class _Record:
    """An iterator of lines that records which of them a CSV reader took for its row."""

    def __init__(self, lines: Iterable[str]):
        self._lines = iter(lines)
        self._given_back: collections.deque[str] = collections.deque()
        self._taken: list[str] = []
        self.line = 1

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
    names: Iterable[str] | None,
    on_bad_row: OnBadRow,
) -> tuple[list[int], list[dict[str, Any]]]:
    """Returns the numbers and values of the readable records.

    Args:
      batch: Records with their numbers.
      values_of: Reads a record; raises an InputError that begins with the record's place.
      path: Their file.
      names: The features that each record needs. None: those of most of these records.
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
    if names is None:
        sets = collections.Counter(frozenset(row) for row in rows)
        names = max(sets, key=lambda names: (sets[names], len(names)), default=())
    needed = sorted(names)
    good: tuple[list[int], list[dict[str, Any]]] = ([], [])
    for number, row in zip(numbers, rows, strict=True):
        missing = [name for name in needed if name not in row]
        if missing:
            reason = f"feature {missing[0]!r} is missing"
            on_bad_row(BadRow(path, number, NOT_AN_EXAMPLE, reason))
            continue
        good[0].append(number)
        good[1].append({name: row[name] for name in needed})
    return good
