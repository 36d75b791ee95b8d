"""A bounded sample of rows of a user's files, all values as text.

Local text files are read here, which needs no TensorFlow; all others by the package's readers.
"""

import codecs
import contextlib
import dataclasses
import glob
import io
import os
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import numpy as np

from mptrec_tf.data.describing import text_guess
from mptrec_tf.data.describing.other_files import OtherFile
from mptrec_tf.data.sources import compression
from mptrec_tf.data.sources.file_kinds import TEXT, find_kind, read_start
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError
from mptrec_tf.storage.file_systems import is_remote

_MOST_FILES = 10
_FIRST_BYTES = 1 << 16  # from which a file's format is guessed
_PLACES = 10  # where rows further into a file are read
_MOST_FROM_START = 1 << 26  # bytes of a file that can only be read from its start


@dataclasses.dataclass
class Sample:
    """Some rows of files.

    Attributes:
      columns: Values by column, each [n] str; those of a list are joined by |.
      text_format: The format of text files, as far as it is not the default.
      files: Files that match.
      read: Files that rows were read from.
      complete: Whether these are all rows.
      lists: Columns that hold lists.
      sizes: The length of the lists of columns that hold lists of as many decimal numbers each.
      notes: Sentences about the files.
      is_ascii: Whether all text so far is the same in almost every encoding.
      given: The patterns of the files.
    """

    columns: dict[str, list[str]]
    text_format: TextFormat
    files: list[str]
    read: list[str] = dataclasses.field(default_factory=list)
    complete: bool = True
    lists: set[str] = dataclasses.field(default_factory=set)
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    is_ascii: bool = True
    given: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The folder that was given, or else the first file."""
        return self.given[0] if self.given and os.path.isdir(self.given[0]) else self.files[0]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values()), ()))

    def append(self, columns: dict[str, Sequence[str]], rows: int, path: str) -> None:
        """Adds rows of a file; what it does not have is missing."""
        before = self.rows
        for name in columns:
            if name not in self.columns:
                if before:
                    self.notes.append(f"{path} has a column {name!r} that others do not have")
                self.columns[name] = [""] * before
        for name, values in self.columns.items():
            if name not in columns and rows:
                self.notes.append(f"{path} has no column {name!r}")
            values.extend(columns.get(name, [""] * rows))


def read_sample(
    patterns: Sequence[str],
    rows: int,
    text_format: TextFormat,
    on_rows: Callable[[int], Any] = lambda rows: None,
) -> Sample:
    """Reads some rows of several files, at their start and further in.

    Args:
      patterns: Paths or globs.
      rows: About as many rows, at most.
      text_format: What is known of the format of text files; the rest is guessed.
      on_rows: Called with the number of rows of each part that was read.

    Raises:
      InputError: for a pattern that matches no file, or a file that cannot be read.
    """
    files = _find_files(patterns)
    chosen = files
    if len(files) > _MOST_FILES:
        chosen = [files[i] for i in np.linspace(0, len(files) - 1, _MOST_FILES).round().astype(int)]
    sample = Sample({}, text_format, files, given=patterns)
    sample.complete = len(chosen) == len(files)
    quota = max(rows // len(chosen), 1)
    for path in chosen:
        is_text = _is_plain_text(path, text_format)
        reader = _TextFile(path, sample) if is_text else OtherFile(path, sample)
        if reader.read(quota, on_rows):
            sample.read.append(path)
    if not sample.rows:
        raise InputError(f"no rows: {files[0]} has none; give files that hold some.")
    return sample


def _find_files(patterns: Sequence[str]) -> list[str]:
    if any(is_remote(p) or p.startswith("tfds:") or os.path.isdir(p) for p in patterns):
        from mptrec_tf.data.sources.tabular import list_shards

        return list_shards(patterns)
    found: dict[str, None] = {}
    for pattern in patterns:
        # A file name may contain characters of globs.
        matches = [pattern] if os.path.isfile(pattern) else sorted(glob.glob(pattern))
        named = os.path.basename(pattern).startswith(("_", "."))
        matches = [m for m in matches if os.path.isfile(m)]
        matches = [m for m in matches if named or not os.path.basename(m).startswith(("_", "."))]
        if not matches:
            raise InputError(f"no file matches {pattern!r}; give an existing file or a glob.")
        found |= dict.fromkeys(matches)
    return list(found)


def _is_plain_text(path: str, text_format: TextFormat) -> bool:
    """Whether a file is local text, plain or compressed, in lines of values."""
    if is_remote(path) or path.startswith("tfds:"):
        return False
    file, _ = _open(path)
    with file, _explain(path):
        if text_format.encoding is None:
            encoding = text_guess.guess_wide_encoding(file.peek(4))
            text_format = dataclasses.replace(text_format, encoding=encoding)
        return find_kind(path, read_start(file, text_format), text_format) == TEXT


def _open(path: str) -> tuple[io.BufferedReader, tuple[str, ...]]:
    """Opens a local file and decompresses it; returns its bytes, and the names of compressions."""
    with _explain(path):
        return compression.decompress(io.FileIO(path))


def _read(file: IO[bytes], path: str, size: int) -> bytes:
    with _explain(path):
        return file.read(size)


@contextlib.contextmanager
def _explain(path: str) -> Iterator[None]:
    try:
        yield
    except compression.DECOMPRESSION_ERRORS as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path}: {reason}.") from error


class _TextFile:
    """A local text file, of which the first rows and some further in are read."""

    def __init__(self, path: str, sample: Sample):
        self._path, self._sample = path, sample
        self._encoding: str | None = None  # of the lines, if it is not that of the sample

    def read(self, quota: int, on_rows: Callable[[int], Any]) -> int:
        """Adds up to `quota` rows to the sample; returns how many."""
        file, size = self._open()
        with file:
            raw = _read(file, self._path, _FIRST_BYTES)
            start, first_bytes = self._decode(raw.removeprefix(codecs.BOM_UTF8)), len(raw)
            skipped = self._sample.text_format.skip_rows
            if not text_guess.drop_lines(start, skipped).strip():
                if size > first_bytes:
                    raise InputError(
                        f"{self._path} begins with {first_bytes:,} blank bytes; drop them."
                    )
                return 0
            first = not self._sample.columns
            if first:
                lines = _drop_last_line(start, size)
                self._guess_format(text_guess.drop_lines(lines, skipped))
            before = self._sample.rows
            for at, text in self._read_parts(file, size, quota, first_bytes):
                text = text_guess.drop_lines(text, 0 if at else skipped)
                self._add(text, at == 0, before + quota - self._sample.rows, on_rows)
            return self._sample.rows - before

    def _open(self) -> tuple[IO[bytes], int]:
        """Returns the content and its size: lines of bytes in the encoding, or UTF-8 if it is wide.

        Of what is compressed or wide, it is the first lines.
        """
        (file, layers), sample = _open(self._path), self._sample
        if sample.text_format.encoding is None:
            self._set_encoding(text_guess.guess_wide_encoding(file.peek(4)))
        encoding = sample.text_format.encoding
        is_wide = sample.text_format.is_wide
        if not layers and not is_wide:
            return file, os.path.getsize(self._path)
        with file:
            raw = _read(file, self._path, _MOST_FROM_START)
            is_cut = bool(_read(file, self._path, 1))
        if is_wide:
            self._encoding = "utf-8"
            try:
                raw = codecs.getincrementaldecoder(encoding)().decode(raw).encode()
            except UnicodeError as error:
                raise self._not_text(encoding, error) from error
        if is_cut:
            sample.complete = False
            raw = raw[: raw.rfind(b"\n") + 1]
        return io.BytesIO(raw), len(raw)

    def _set_encoding(self, encoding: str | None) -> None:
        sample = self._sample
        sample.text_format = dataclasses.replace(sample.text_format, encoding=encoding)

    def _guess_format(self, start: str) -> None:
        given = self._sample.text_format
        default = given.for_file(self._path).delimiter
        delimiter = given.delimiter
        if delimiter is None:
            long = text_guess.find_long_delimiter(start)
            if long:
                raise InputError(
                    f"{self._path} seems to have {long!r} between its values; a delimiter is one "
                    "character: write the file with one, such as a tab."
                )
            delimiter = text_guess.guess_delimiter(start, default, given.mark)
        escape = given.escape
        if escape is None and text_guess.escapes_quotes(start):
            escape = "\\"
        header = given.header
        text_format = dataclasses.replace(given, delimiter=delimiter, escape=escape)
        rows = text_guess.parse_rows(start, text_format)
        if header is None and not text_guess.has_header(rows[:1000]):
            width = max(len(rows[0]), len(rows[-1]))
            header = tuple(f"column_{n + 1}" for n in range(width))
        if not given.delimiter and delimiter == default:
            delimiter = None
        self._sample.text_format = dataclasses.replace(
            given, delimiter=delimiter, escape=escape, header=header
        )

    def _read_parts(
        self, file: IO[bytes], size: int, quota: int, first: int
    ) -> Iterator[tuple[int, str]]:
        """Yields whole lines of the file, each part with its place."""
        file.seek(0)
        start = _read(file, self._path, first)
        bytes_per_row = max(len(start) / max(start.count(b"\n"), 1), 1)
        needed = int(bytes_per_row * quota)
        if size <= needed:
            yield (
                0,
                self._decode((start + _read(file, self._path, -1)).removeprefix(codecs.BOM_UTF8)),
            )
            return
        self._sample.complete = False
        head = start[: needed // 2] + _read(file, self._path, max(needed // 2 - len(start), 0))
        yield 0, self._decode(head[: head.rfind(b"\n") + 1].removeprefix(codecs.BOM_UTF8))
        for place in np.linspace(len(head), size, _PLACES + 1)[:-1].astype(int):
            file.seek(int(place))
            part = _read(file, self._path, needed // (2 * _PLACES) + int(2 * bytes_per_row))
            yield int(place), self._decode(part[part.find(b"\n") + 1 : part.rfind(b"\n") + 1])

    def _decode(self, raw: bytes) -> str:
        sample = self._sample
        encoding = self._encoding or sample.text_format.encoding
        try:
            text = raw.decode(encoding or "utf-8")
        except UnicodeDecodeError as error:
            if len(raw) - error.start < 4:  # a letter that the end of the part cuts
                return raw[: error.start].decode(encoding or "utf-8")
            guess = text_guess.guess_encoding(raw)
            if encoding is not None or guess is None or not sample.is_ascii:
                raise self._not_text(encoding, error) from error
            self._set_encoding(guess)
            text = raw.decode(guess)
        sample.is_ascii &= text.isascii()
        return text

    def _not_text(self, encoding: str | None, error: UnicodeError) -> InputError:
        before = getattr(error, "object", b"")[: getattr(error, "start", 0)]
        what = "save the file as UTF-8" if encoding is None else "give the file's own --encoding"
        return InputError(
            f"{self._path}, about line {before.count(10) + 1}: not {encoding or 'UTF-8'} text "
            f"({getattr(error, 'reason', error)}); {what}."
        )

    def _add(
        self, text: str, has_first_line: bool, most: int, on_rows: Callable[[int], Any]
    ) -> None:
        sample = self._sample
        text_format = sample.text_format.for_file(self._path)
        rows = text_guess.parse_rows(text, text_format)
        if sample.columns and not has_first_line:
            names = self._names
        elif text_format.header:
            names = list(text_format.header)
            if rows and [v.strip().casefold() for v in rows[0]] == [n.casefold() for n in names]:
                del rows[0]
        else:
            names, rows = [name.strip() for name in rows[0]], rows[1:]
            for name in {name for name in names if name and names.count(name) > 1}:
                sample.notes.append(f"{self._path} names column {name!r} twice")
        self._names = names
        good = [row for row in rows if len(row) == len(names)]
        if len(good) < len(rows):
            sample.notes.append(
                f"{len(rows) - len(good):,} of {len(rows):,} rows of {self._path} have not "
                f"{len(names)} values; preparation rejects them"
            )
        if len(good) > most:
            good, sample.complete = good[:most], False
        columns = dict(zip(names, zip(*good, strict=True), strict=True)) if good else {}
        sample.append(columns or dict.fromkeys(names, ()), len(good), self._path)
        on_rows(len(good))


def _drop_last_line(start: str, size: int) -> str:
    """Returns the whole lines of a file's first text."""
    if size <= _FIRST_BYTES or "\n" not in start:
        return start
    return start[: start.rfind("\n") + 1]
