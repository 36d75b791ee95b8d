"""Lines of CSV, as fast as they can be written, that read back as what they were made of."""

import re
from collections.abc import Iterable

# Spaces at an end are a value's own: without quotes, readers may take them away. A lone carriage
# return ends a line for many, and `csv` leaves it without quotes before Python 3.13.
_NEEDS_QUOTES = re.compile(r'["\r\n]|\A\s|\s\Z')


def format_field(value: str, delimiter: str = ",") -> str:
    """Returns a value as it stands in a line, in quotes where it needs them."""
    if delimiter not in value and not _NEEDS_QUOTES.search(value):
        return value
    return '"' + value.replace('"', '""') + '"'


def format_line(values: Iterable[str], delimiter: str = ",") -> str:
    """Returns a line, with its end."""
    return delimiter.join(format_field(value, delimiter) for value in values) + "\n"


def format_lines(columns: Iterable[Iterable[str]]) -> str:
    """Returns lines of columns [n] whose values are fields already."""
    return "".join(",".join(row) + "\n" for row in zip(*columns, strict=True))
