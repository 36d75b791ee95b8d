"""Guesses how a text file is written: its delimiter, and whether its first line names the columns.

Imports no TensorFlow.
"""

import codecs
import collections
import csv
import io
import re
from collections.abc import Sequence

from mptrec_tf.data.canonical import MISSING_VALUES, canonicalize, is_missing
from mptrec_tf.data.sources.csv_reader import make_csv_reader
from mptrec_tf.data.text_format import TextFormat

# In the order of preference; the last ones only where no other separates anything.
_DELIMITERS = (",", "\t", ";", "|", "\x01", "^", "~")
_RARE = (" ", ":")
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_MOST = 0.9  # share of the lines that have to have one number of columns


def parse_rows(text: str, text_format: TextFormat) -> list[list[str]]:
    """Returns the rows of text as the package's own reader reads them; bad ones have no values."""
    rows = []
    # Lines end as those of files do.
    reader = make_csv_reader(io.StringIO(text, newline=""), text_format, strict=False)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return rows
        except csv.Error:
            row = []
        if len(row) > 1 or (row and row[0].strip()):
            rows.append(row)


def guess_delimiter(text: str, preferred: str, quote: str = '"') -> str:
    """Returns the delimiter with which most lines have one number of columns, the largest of these.

    Args:
      text: The first lines of a file.
      preferred: The delimiter that files of its name have; also the result if nothing separates.
      quote: The character around values; empty text for none.
    """
    best, most = preferred, 1
    for delimiters in ((preferred, *_DELIMITERS), _RARE):
        for delimiter in delimiters:
            width = _common_width(text, delimiter, quote)
            if width > most:
                best, most = delimiter, width
        if most > 1:
            break
    return best


def _common_width(text: str, delimiter: str, quote: str) -> int:
    parsed = parse_rows(text, TextFormat(delimiter, quote=quote))
    widths = collections.Counter(map(len, parsed))
    if not widths:
        return 1
    width, rows = widths.most_common(1)[0]
    return width if rows >= _MOST * widths.total() else 1


def guess_encoding(raw: bytes) -> str | None:
    """Returns the encoding that bytes seem to be text in, of their start or any lines; None: UTF-8.

    All bytes are letters in encodings of one byte per letter: of these, it takes the usual one.
    """
    wide = guess_wide_encoding(raw)
    if wide is not None:
        return wide
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        # A letter that the end of the bytes cuts, or UTF-8 with a mistake.
        if len(raw) - error.start < 4 or not raw[: error.start].isascii():
            return None
        try:
            raw.decode("cp1252")
        except UnicodeDecodeError:
            return "latin-1"
        return "cp1252"
    return None


def guess_wide_encoding(raw: bytes) -> str | None:
    """Returns the encoding of several bytes per letter that a file's first bytes name, if any."""
    if raw.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    return "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else None


def drop_lines(text: str, count: int) -> str:
    """Returns text without its first lines."""
    return "".join(io.StringIO(text, newline="").readlines()[count:]) if count else text


def find_long_delimiter(text: str) -> str | None:
    """Returns a delimiter of two characters, such as :: of MovieLens, that text seems to have."""
    lines = [line for line in text.split("\n") if line.strip()]
    for delimiter in ("::", "||", ";;", "\t\t", "~~"):
        counts = {line.count(delimiter) for line in lines}
        if lines and len(counts) == 1 and counts != {0}:
            return delimiter
    return None


def escapes_quotes(text: str) -> bool:
    r"""Whether text has \" inside its values, as Spark writes quotes."""
    return '\\"' in text


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: no number, and no value of a row."""
    first, others = rows[0], rows[1:]
    first = [name.strip() for name in first]
    names = [name.casefold() for name in first if name]
    # The first column of a data frame's index has no name.
    if any(NUMBER.fullmatch(name) for name in names):
        return False
    if any(not name for name in first[1:]) or any(name in ("?", "\\n") for name in names):
        return False
    widths = collections.Counter(map(len, others))
    if widths and widths.most_common(1)[0][0] != len(first):
        return False  # a title, or a remark
    columns = list(zip(*(row for row in others if len(row) == len(first)), strict=True))
    # Values of the first row that come again below it are no names.
    again = sum(
        name.casefold() in {value.strip().casefold() for value in column}
        for name, column in zip(first, columns, strict=False)
    )
    return again == 0


def count_missing(value: str) -> bool:
    """Whether a value is one of the usual spellings of a missing one."""
    return is_missing(canonicalize(value), MISSING_VALUES)
