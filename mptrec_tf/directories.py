"""Output directories that appear whole or not at all."""

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator
from typing import IO

from mptrec_tf.errors import InputError
from mptrec_tf.file_systems import file_system, is_remote, open_file, saying


def check_absent(directory: str) -> None:
    """Refuses an output directory that something is already in.

    Raises:
      InputError: if it exists and is not empty, cannot be looked into, or has no name.
    """
    if not directory.rstrip("/"):
        raise InputError(f"{directory!r} is no path for an output directory; name a new one.")
    files = file_system(directory)
    with saying(f"cannot look into {directory}"):
        taken = files.exists(directory) and (not files.isdir(directory) or files.listdir(directory))
    if taken:
        raise InputError(f"{directory} already exists; give another output directory or remove it.")


@contextlib.contextmanager
def written_aside(directory: str) -> Iterator[str]:
    """Yields a fresh directory beside `directory` that becomes it when the block ends well.

    After an error, `directory` is as it was and what was written is removed.

    Raises:
      InputError: if `directory` exists and is not empty, or cannot be written.
    """
    directory = directory.rstrip("/")
    check_absent(directory)
    aside = f"{directory}.incomplete-{uuid.uuid4().hex[:8]}"
    files = file_system(directory)
    with saying(f"cannot write {directory}"):
        files.makedirs(aside)
    try:
        yield aside
        check_absent(directory)
        if files.exists(directory):
            files.rmtree(directory)
        files.rename(aside, directory)
    finally:
        if files.exists(aside):
            files.rmtree(aside)


def copy_directory(source: str, target: str) -> None:
    """Copies a directory tree, local or remote.

    Raises:
      InputError: if it cannot be read or written.
    """
    files = file_system(source, target)
    with saying(f"cannot copy {source} to {target}"):
        for folder, _, names in files.walk(source):
            into = os.path.join(target, os.path.relpath(folder, source))
            files.makedirs(into)
            for name in names:
                files.copy(os.path.join(folder, name), os.path.join(into, name))


def check_writable(path: str) -> None:
    """Refuses an output file that could not be written, before any work is done for it.

    Raises:
      InputError: if the path is a directory, or its parent is none.
    """
    if file_system(path).isdir(path) or not os.path.basename(path):
        raise InputError(f"{path!r} is a directory; name a file to write.")
    parent = os.path.dirname(path)
    if parent and not is_remote(path) and not os.path.isdir(parent):
        raise InputError(f"cannot write {path}: there is no directory {parent}.")


@contextlib.contextmanager
def held_alone(directory: str) -> Iterator[None]:
    """Keeps every other process out of a directory, as long as the block runs.

    On file systems without locks (remote ones) it keeps nobody out.

    Raises:
      InputError: if another process is in it.
    """
    if is_remote(directory):
        yield
        return
    with open(os.path.join(directory, "lock"), "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a kill releases it
        except OSError as error:
            raise InputError(
                f"another process is at work in {directory}; wait until it ends, or give another "
                "output directory."
            ) from error
        yield


@contextlib.contextmanager
def file_written_aside(path: str, mode: str = "w") -> Iterator[IO]:
    """Yields an open file that becomes `path`, replacing it, when the block ends well.

    Raises:
      InputError: if it cannot be written.
    """
    aside = f"{path}.incomplete-{uuid.uuid4().hex[:8]}"
    files = file_system(path)
    try:
        with saying(f"cannot write {path}"):
            with open_file(aside, mode) as file:
                yield file
            files.rename(aside, path, overwrite=True)
    finally:
        if files.exists(aside):
            files.remove(aside)


def write_file(path: str, content: str | bytes) -> None:
    """Writes a file aside and renames it, so that a reader sees the old one or the new one.

    Raises:
      InputError: if it cannot be written.
    """
    with file_written_aside(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)
