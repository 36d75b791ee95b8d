"""Reads raw rows from files, local or remote: text (CSV) or TFRecord, plain or gzip."""

import os
import zlib
from collections.abc import Iterator, Sequence

import tensorflow as tf

from mptrec_tf.data.sources.bad_rows import OnBadRow
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.csv_rows import read_csv
from mptrec_tf.data.sources.streams import check_readable, is_blank, is_tfrecord, open_stream
from mptrec_tf.data.sources.tfrecord_rows import read_tfrecord
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

_TEXT_ENDINGS = (".csv", ".txt", ".tsv", ".tab")
# Bytes from which a file's format is guessed.
_SMALL = 4096


def find_files(patterns: Sequence[str]) -> list[str]:
    """Returns the files that match `patterns` (paths or globs), sorted within each pattern.

    A glob's matches whose names begin with _ or . are skipped: they are markers of engines
    (_SUCCESS).

    Raises:
      InputError: for a pattern that matches no file.
    """
    files: dict[str, None] = {}  # ordered; a file that two patterns match comes once
    for pattern in patterns:
        try:
            if tf.io.gfile.isdir(pattern):
                raise InputError(f"{pattern!r} is a directory; give its files: {pattern}/*.csv")
            matches = sorted(f for f in tf.io.gfile.glob(pattern) if not tf.io.gfile.isdir(f))
        except tf.errors.OpError as error:
            raise InputError(f"cannot look for {pattern!r}: {error.message}.") from error
        matches = [f for f in matches if f == pattern or not _is_marker(f, pattern)]
        if not matches:
            raise InputError(f"no file matches {pattern!r}; give an existing file or a glob.")
        files |= dict.fromkeys(matches)
    return list(files)


def _is_marker(path: str, pattern: str) -> bool:
    name = os.path.basename(path)
    return name.startswith(("_", ".")) and not os.path.basename(pattern).startswith(name[0])


def read_file(
    path: str,
    text_format: TextFormat,
    on_bad_row: OnBadRow | None = None,
    needed: Sequence[str] = (),
) -> Iterator[Block]:
    """Yields the rows of a file, text or TFRecord by its content; see `tabular.read_file`.

    Raises:
      InputError: for another kind of file, or as `read_csv` and `read_tfrecord` do.
    """
    start, layers = _read_start(path)
    if is_blank(start):
        return iter(())
    if not is_tfrecord(start):
        check_readable(path, start)
        if _is_text(path, start):
            return read_csv(path, text_format, on_bad_row)
    return read_tfrecord(path, layers, on_bad_row, needed)


def _is_text(path: str, start: bytes) -> bool:
    name = path.lower()
    while name.endswith(".gz"):
        name = name.removesuffix(".gz")
    # A file named as text is read as text, so that errors name a line.
    return name.endswith(_TEXT_ENDINGS) or not any(byte < 9 for byte in start if byte != 1)


def has_rows(path: str, text_format: TextFormat) -> bool:
    """Whether a file has rows; True if it cannot be read, since reading it reports the error.

    Engines write a file, empty or with only a header, for each partition without rows.
    """
    try:
        large = tf.io.gfile.stat(path).length > _SMALL
        if large and is_tfrecord(_read_start(path)[0]):
            return True
        return any(len(block) for block in read_file(path, text_format))
    except (InputError, tf.errors.OpError):
        return True


def _read_start(path: str) -> tuple[bytes, int]:
    """Returns the first bytes of a file, and the number of its layers of compression."""
    try:
        stream, layers = open_stream(path)
        with stream:
            return stream.peek(_SMALL)[:_SMALL], layers
    except (tf.errors.OpError, OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "message", None) or str(error)
        raise InputError(f"cannot read {path}: {reason}.") from error
