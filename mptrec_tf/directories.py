"""Output directories that appear whole or not at all."""

import contextlib
import fcntl
import os
import uuid
from collections.abc import Iterator

import tensorflow as tf

from mptrec_tf.errors import InputError


def check_absent(directory: str) -> None:
    """Refuses an output directory that something is already in.

    Raises:
      InputError: if it exists and is not empty, cannot be looked into, or has no name.
    """
    if not directory.rstrip("/"):
        raise InputError(f"{directory!r} is no path for an output directory; name a new one.")
    try:
        taken = tf.io.gfile.exists(directory) and (
            not tf.io.gfile.isdir(directory) or tf.io.gfile.listdir(directory)
        )
    except tf.errors.OpError as error:
        raise InputError(f"cannot look into {directory}: {error.message}.") from error
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
    try:
        tf.io.gfile.makedirs(aside)
    except tf.errors.OpError as error:
        raise InputError(f"cannot write {directory}: {error.message}.") from error
    try:
        yield aside
        check_absent(directory)
        if tf.io.gfile.exists(directory):
            tf.io.gfile.rmtree(directory)
        tf.io.gfile.rename(aside, directory)
    finally:
        if tf.io.gfile.exists(aside):
            tf.io.gfile.rmtree(aside)


def copy_directory(source: str, target: str) -> None:
    """Copies a directory tree, local or remote."""
    for folder, _, files in tf.io.gfile.walk(source):
        into = os.path.join(target, os.path.relpath(folder, source))
        tf.io.gfile.makedirs(into)
        for name in files:
            tf.io.gfile.copy(os.path.join(folder, name), os.path.join(into, name))


def check_writable(path: str) -> None:
    """Refuses an output file that could not be written, before any work is done for it.

    Raises:
      InputError: if the path is a directory, or its parent is none.
    """
    if tf.io.gfile.isdir(path) or not os.path.basename(path):
        raise InputError(f"{path!r} is a directory; name a file to write.")
    parent = os.path.dirname(path)
    if parent and "://" not in path and not tf.io.gfile.isdir(parent):
        raise InputError(f"cannot write {path}: there is no directory {parent}.")


@contextlib.contextmanager
def held_alone(directory: str) -> Iterator[None]:
    """Keeps every other process out of a directory, as long as the block runs.

    On file systems without locks (remote ones) it keeps nobody out.

    Raises:
      InputError: if another process is in it.
    """
    if "://" in directory:
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
def file_written_aside(path: str, mode: str = "w") -> Iterator[tf.io.gfile.GFile]:
    """Yields an open file that becomes `path`, replacing it, when the block ends well.

    Raises:
      InputError: if it cannot be written.
    """
    aside = f"{path}.incomplete-{uuid.uuid4().hex[:8]}"
    try:
        with tf.io.gfile.GFile(aside, mode) as file:
            yield file
        tf.io.gfile.rename(aside, path, overwrite=True)
    except tf.errors.OpError as error:
        raise InputError(f"cannot write {path}: {error.message}.") from error
    finally:
        if tf.io.gfile.exists(aside):
            tf.io.gfile.remove(aside)


def write_file(path: str, content: str | bytes) -> None:
    """Writes a file aside and renames it, so that a reader sees the old one or the new one.

    Raises:
      InputError: if it cannot be written.
    """
    with file_written_aside(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)
