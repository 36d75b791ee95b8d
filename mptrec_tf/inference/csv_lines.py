"""Fast formatting of CSV lines that read back as the same values."""

import re
from collections.abc import Iterable

# Spaces at the ends belong to a value, but readers may strip them without quotes. A lone carriage
# return ends a line for many readers, and `csv` does not quote it before Python 3.13.
_NEEDS_QUOTES = re.compile(r'["\r\n]|\A\s|\s\Z')


def format_field(value: str, delimiter: str = ",") -> str:
    """Formats a value as a field of a line, in quotes if it needs them.

    Example:
      >>> format_field('a "b", c')
      '"a ""b"", c"'
    """
    if delimiter not in value and not _NEEDS_QUOTES.search(value):
        return value
    return '"' + value.replace('"', '""') + '"'


def format_line(values: Iterable[str], delimiter: str = ",") -> str:
    """Formats values as a line, with its line end."""
    return delimiter.join(format_field(value, delimiter) for value in values) + "\n"


def format_lines(columns: Iterable[Iterable[str]]) -> str:
    """Formats columns [n] of formatted fields as lines."""
    return "".join(",".join(row) + "\n" for row in zip(*columns, strict=True))
