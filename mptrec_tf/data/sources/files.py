"""Finds files of raw rows, local or remote, and reads each by its format, see `formats`."""

import os
from collections.abc import Iterator, Sequence

from mptrec_tf.data.sources.bad_rows import OnBadRow
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.file_kinds import START, is_blank, is_tfrecord, read_start
from mptrec_tf.data.sources.formats import Wanted, find_format
from mptrec_tf.data.sources.streams import (
    READ_ERRORS,
    open_stream,
    reason_of,
)
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError
from mptrec_tf.storage.arrow_file_systems import find_file_system


def find_files(patterns: Sequence[str]) -> list[str]:
    """Returns the files that match `patterns` (paths, globs or folders), sorted within each.

    A folder stands for all files in it and in folders below, such as partitions. Names that begin
    with _ or . are skipped in folders and globs: they are markers of engines (_SUCCESS).

    Raises:
      InputError: for a pattern that matches no file.
    """
    files: dict[str, None] = {}  # ordered; a file that two patterns match comes once
    for pattern in patterns:
        try:
            file_system = find_file_system(pattern)
            if file_system.isdir(pattern):
                matches = _list_folder(pattern)
            else:
                matches = sorted(
                    f
                    for f in file_system.glob(pattern)
                    if f == pattern or not (_is_marker(f, pattern) or file_system.isdir(f))
                )
        except READ_ERRORS as error:
            raise InputError(f"cannot look for {pattern!r}: {reason_of(error)}.") from error
        if not matches:
            raise InputError(f"no file matches {pattern!r}; give an existing file or a glob.")
        files |= dict.fromkeys(matches)
    return list(files)


def _list_folder(folder: str) -> list[str]:
    """Returns the files in a folder and in those below, sorted."""
    files = []
    folder = folder.rstrip("/") or "/"
    for above, folders, names in find_file_system(folder).walk(folder):
        if "_delta_log" in (name.rstrip("/") for name in folders):
            raise InputError(
                f"{above} is a Delta table, whose files hold deleted rows, too; write its rows to "
                "plain Parquet files."
            )
        folders[:] = [name for name in folders if not name.startswith(("_", "."))]
        files += [f"{above.rstrip('/')}/{n}" for n in names if not n.startswith(("_", "."))]
    if not files:
        raise InputError(f"folder {folder!r} holds no file; give one that does.")
    return sorted(files)


def _is_marker(path: str, pattern: str) -> bool:
    name = os.path.basename(path)
    return name.startswith(("_", ".")) and not os.path.basename(pattern).startswith(name[0])


def read_file(
    path: str,
    text_format: TextFormat,
    on_bad_row: OnBadRow | None = None,
    needed: Sequence[str] = (),
    lists: Sequence[str] = (),
    optional: Sequence[str] = (),
    given: Sequence[str] = (),
) -> Iterator[Block]:
    """Yields the rows of a file of any format; see `tabular.read_file`.

    Raises:
      InputError: for another kind of file, or as the reader of its format does.
    """
    start, layers = _read_start(path, text_format)
    wanted = Wanted(text_format, on_bad_row, needed, lists, optional, given)
    return _read(path, start, layers, wanted)


def estimate_rows(path: str) -> int:
    """Returns an estimate of a file's rows; 0: unknown."""
    try:
        start, layers = _read_start(path, TextFormat())
        if is_blank(start):
            return 0
        return find_format(path, start, layers, TextFormat()).estimate_rows(path)
    except InputError:
        return 0  # reading it reports the error


def has_rows(path: str, text_format: TextFormat) -> bool:
    """Whether a file has rows; True if it cannot be read, since reading it reports the error.

    Engines write a file, empty or with only a header, for each partition without rows.
    """
    try:
        start, layers = _read_start(path, text_format)
        if is_tfrecord(start) and len(start) >= START:
            return True  # a block of records takes a while
        return any(len(block) for block in _read(path, start, layers, Wanted(text_format)))
    except (InputError, *READ_ERRORS):
        return True


def _read(path: str, start: bytes, layers: Sequence[str], wanted: Wanted) -> Iterator[Block]:
    if is_blank(wanted.text_format.to_utf8(start)):
        return iter(())
    return find_format(path, start, layers, wanted.text_format).read(path, layers, wanted)


def _read_start(path: str, text_format: TextFormat) -> tuple[bytes, tuple[str, ...]]:
    """Returns a file's first bytes, some of them not blank, and the names of its compressions."""
    try:
        stream, layers = open_stream(path)
        with stream:
            return read_start(stream, text_format), layers
    except READ_ERRORS as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}.") from error
