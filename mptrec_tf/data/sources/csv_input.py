"""The content of a text file, taken line by line or in chunks of bytes."""

import codecs
import csv
import io
from collections.abc import Iterator

from mptrec_tf.data.text_format import TextFormat, find_word

# Common delimiters, and their names in messages.
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", "\x01": "^A"}
_DELIMITERS |= {" ": "spaces", ":": "colons", "^": "^", "~": "~"}
_FIRST_LINES = 5  # lines from which the delimiter is guessed
_PIECE = 1 << 16  # bytes that are split into lines at a time


class CsvInput:
    """An iterator of a file's decoded lines with their ends, which also yields chunks of bytes.

    It remembers the first lines, to guess the file's format.

    Args:
      stream: UTF-8 text; a byte order mark is dropped.
      text_format: How the file is written.
      errors: What to do about bytes that are not UTF-8, see `bytes.decode`.

    Attributes:
      line: int. The number of the next line.
      position: int. Number of bytes that were taken.
      last: str. The line that was taken last.
    """

    def __init__(self, stream: io.BufferedIOBase, text_format: TextFormat, errors: str = "strict"):
        self._stream = stream
        self._format = text_format
        self._errors = errors
        self._lines: list[bytes] = []  # the next lines, in reverse
        self._rest = stream.read(_PIECE).removeprefix(codecs.BOM_UTF8)  # what follows them
        self._first: list[str] = []
        self.line, self.position, self.last = 1, 0, ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._lines and not self._split():
            raise StopIteration
        raw = self._lines.pop()
        try:
            line = raw.decode("utf-8", self._errors)
        except UnicodeDecodeError:
            self._lines.append(raw)
            raise
        self.position += len(raw)
        self.line += 1
        self.last = line
        self._remember(line)
        return line

    def skip(self, count: int) -> None:
        """Takes some lines without decoding them."""
        while count and (self._lines or self._split()):
            self.position += len(self._lines.pop())
            self.line, count = self.line + 1, count - 1

    def peek(self, size: int) -> bytes:
        """Returns the next `size` bytes or more, without taking them; fewer at the file's end."""
        content = b"".join([*reversed(self._lines), self._rest])
        self._lines = []
        while len(content) < size and (more := self._stream.read(size - len(content))):
            content += more
        self._rest = content
        return content

    def take(self, size: int, lines: int) -> None:
        """Takes bytes that `peek` returned: so many whole lines."""
        if len(self._first) < _FIRST_LINES:
            for raw in self._rest[: min(size, _PIECE)].splitlines(keepends=True):
                self._remember(raw.decode("utf-8", "replace"))
        self._rest = self._rest[size:]
        self.position += size
        self.line += lines

    def guess(self) -> str:
        """Returns a hint if the file seems to have another delimiter; else empty text."""
        delimiter = self._format.delimiter
        counts = {d: [_count_columns(line, d) for line in self._first] for d in _DELIMITERS}
        likely = [d for d, of in counts.items() if d != delimiter and of and min(of) > 1]
        # Prefers equal numbers of columns in all lines, then more columns.
        best = max(likely, key=lambda d: (len(set(counts[d])) == 1, min(counts[d])), default=None)
        own = [_count_columns(line, delimiter) for line in self._first]
        if self._format.is_fixed:
            if best is None or max(own) > 1:
                return ""
            return (
                f"the file seems to have {_DELIMITERS[best]} between its values, not "
                f"{_DELIMITERS[delimiter]}: get the original one"
            )
        if best and (min(counts[best]) > min(own) or (len(set(own)) > 1 >= len(set(counts[best])))):
            name = find_word("delimiter", best) or repr(best)
            return (
                f"the file seems to have {_DELIMITERS[best]} between its values: give "
                f"`delimiter: {name}` in the spec, or --delimiter={name}"
            )
        return ""

    def _remember(self, line: str) -> None:
        if len(self._first) < _FIRST_LINES and line.strip():
            self._first.append(line)

    def _split(self) -> bool:
        """Splits the next bytes into lines; False at the file's end."""
        content, size = self._rest, _PIECE
        while b"\n" not in content and (more := self._stream.read(size)):
            content, size = content + more, 2 * size
        end = content.rfind(b"\n") + 1 or len(content)
        # Unlike those of text, lines of bytes end where lines of files do.
        self._lines = content[:end].splitlines(keepends=True)[::-1]
        self._rest = content[end:]
        return bool(self._lines)


def _count_columns(line: str, delimiter: str) -> int:
    row = csv.reader([line], delimiter=delimiter, skipinitialspace=True)
    try:
        return len(next(row, []))
    except csv.Error:
        return 1
