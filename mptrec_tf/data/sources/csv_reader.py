"""Python's `csv` reader for the format of a text file; imports no TensorFlow."""

import csv
import re
from collections.abc import Iterable, Iterator

from mptrec_tf.data.text_format import TextFormat


def make_csv_reader(
    lines: Iterable[str], text_format: TextFormat, strict: bool = True
) -> Iterator[list[str]]:
    """Returns a reader that yields the values of each row, none for a blank line.

    Args:
      lines: Lines with their ends.
      text_format: How they are written, with a delimiter.
      strict: Whether it raises `csv.Error` for quotes that are not as they should be.
    """
    return csv.reader(
        _double_escapes(lines, text_format),
        delimiter=text_format.delimiter,
        quotechar=text_format.mark or None,
        quoting=csv.QUOTE_MINIMAL if text_format.mark else csv.QUOTE_NONE,
        escapechar=text_format.escape,
        skipinitialspace=text_format.delimiter != " ",
        strict=strict,
    )


def _double_escapes(lines: Iterable[str], text_format: TextFormat) -> Iterable[str]:
    r"""Doubles escapes that escape nothing, as in paths and Hive's \N: they are text."""
    escape = text_format.escape
    if escape is None:
        return lines
    special = re.escape(f"{text_format.mark}{escape}{text_format.delimiter}")
    pattern = re.compile(f"{re.escape(escape)}([{special}]?)")

    def fix(line: str) -> str:
        return pattern.sub(lambda match: match[0] if match[1] else escape + escape, line)

    return map(fix, lines)  # unlike a generator, it continues after an error
