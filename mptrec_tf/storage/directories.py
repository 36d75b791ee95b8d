"""Outputs that appear whole or not at all: directories and files.

They are written beside their place (see `staging`) and renamed. Links are followed: what they lead
to is written, and they stay. What is no regular file (see `destinations`) is written as it is.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from typing import IO

from mptrec_tf.errors import InputError
from mptrec_tf.storage.destinations import (
    Destination,
    check_destination,
    check_not_among,
    display_path,
    resolve_destination,
)
from mptrec_tf.storage.file_systems import (
    explain_failure,
    get_file_system,
    get_text_options,
    is_remote,
    open_file,
)
from mptrec_tf.storage.staging import make_staging_name, staging_directory, staging_file, take_lock


def check_absent(directory: str) -> None:
    """Rejects an output directory that something is already in.

    Raises:
      InputError: if it exists and is not empty, cannot be looked into or replaced, or has no name.
    """
    if not directory.rstrip("/"):
        raise InputError(f"{directory!r} is no path for an output directory; name a new one.")
    files = get_file_system(directory)
    with explain_failure(f"cannot look into {directory}"):
        if not is_remote(directory):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.stat(directory)  # fails for links in a circle, which else are not there
        there = files.exists(directory)
        if there and (not files.isdir(directory) or files.listdir(directory)):
            raise InputError(
                f"{directory} already exists; give another output directory or remove it."
            )
        if there and not is_remote(directory) and _is_in_use(directory):
            raise InputError(
                f"{directory} is where a file system is mounted, or where this program was "
                "started, so it cannot be replaced; name a new directory in it."
            )


def _is_in_use(directory: str) -> bool:
    found = os.path.realpath(directory)
    return os.path.ismount(found) or os.path.samefile(found, os.curdir)


@contextlib.contextmanager
def create_directory(directory: str) -> Iterator[str]:
    """Yields a fresh directory beside `directory` that becomes it when the block ends well.

    After an error, `directory` is as it was and what was written is removed. What a run that was
    killed left there is removed, too.

    Raises:
      InputError: if `directory` exists and is not empty, or cannot be written.
    """
    check_absent(directory)
    directory = directory.rstrip("/")
    writing = _remote_directory if is_remote(directory) else _local_directory
    with writing(directory) as staging:
        yield staging


@contextlib.contextmanager
def _local_directory(directory: str) -> Iterator[str]:
    target = os.path.realpath(directory)
    with contextlib.ExitStack() as stack:
        with explain_failure(f"cannot write {directory}"):
            staging = stack.enter_context(staging_directory(target))
        yield staging
        with explain_failure(f"cannot write {directory}"):
            if os.path.isdir(target):
                _take_permissions(staging, os.stat(target))
            try:
                os.rename(staging, target)  # over an empty directory, and nothing else
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise InputError(
                        f"{directory} already exists: another run made it meanwhile; start again, "
                        "or give another output directory."
                    ) from error
                raise


@contextlib.contextmanager
def _remote_directory(directory: str) -> Iterator[str]:
    staging = make_staging_name(directory)
    files = get_file_system(directory)
    with explain_failure(f"cannot write {directory}"):
        files.makedirs(staging)
    try:
        yield staging
        check_absent(directory)
        with explain_failure(f"cannot write {directory}"):
            if files.exists(directory):
                files.rmtree(directory)
            files.rename(staging, directory)
    finally:
        if files.exists(staging):
            files.rmtree(staging)


def copy_directory(source: str, target: str) -> None:
    """Copies a directory tree, local or remote.

    Raises:
      InputError: if it cannot be read or written.
    """
    files = get_file_system(source, target)
    with explain_failure(f"cannot copy {source} to {target}"):
        for folder, _, names in files.walk(source):
            into = os.path.join(target, os.path.relpath(folder, source))
            files.makedirs(into)
            for name in names:
                files.copy(os.path.join(folder, name), os.path.join(into, name))


def check_writable(path: str, others: Mapping[str, str] | None = None) -> None:
    """Rejects an output file that could not be written, before any work is done for it.

    Args:
      path: A file, a pipe or a device, or "-" for standard output.
      others: What other paths are that it must not be, as an input, by path.

    Raises:
      InputError: if the path is a directory or a socket, its parent is no directory or may not be
        written, its links lead in a circle, or it is one of the others.
    """
    if not is_remote(path):
        check_destination(path)
    elif get_file_system(path).isdir(path) or not os.path.basename(path):
        raise InputError(f"{path!r} is a directory; name a file to write.")
    check_not_among(path, others or {})


@contextlib.contextmanager
def exclusive_lock(directory: str) -> Iterator[None]:
    """Keeps every other process out of a directory, as long as the block runs.

    On file systems without locks (remote ones) it keeps nobody out.

    Raises:
      InputError: if another process is in it.
    """
    if is_remote(directory):
        yield
        return
    with contextlib.ExitStack() as stack:
        with explain_failure(f"cannot write {directory}"):
            file = stack.enter_context(open_file(os.path.join(directory, "lock"), "w"))
        if take_lock(file.fileno()) is False:  # a kill releases it
            raise InputError(
                f"another process is at work in {directory}; wait until it ends, or give another "
                "output directory."
            )
        yield


@contextlib.contextmanager
def create_file(path: str, mode: str = "w") -> Iterator[IO]:
    """Yields an open file that becomes `path`, replacing it, when the block ends well.

    A file that is replaced hands on its permissions. Pipes, devices and standard output ("-") are
    written straight away.

    Raises:
      InputError: if it cannot be written.
      BrokenPipeError: if it is a pipe that nobody reads any more.
    """
    with explain_failure(f"cannot write {display_path(path)}"):
        if is_remote(path):
            with _remote_file(path, mode) as file:
                yield file
            return
        to = resolve_destination(path)
        with _local_file(to, mode) if to.is_file else to.open_as_it_is(mode) as file:
            yield file


@contextlib.contextmanager
def _remote_file(path: str, mode: str) -> Iterator[IO]:
    staging = make_staging_name(path)
    files = get_file_system(path)
    try:
        with open_file(staging, mode) as file:
            yield file
        files.rename(staging, path, overwrite=True)
    finally:
        if files.exists(staging):
            files.remove(staging)


@contextlib.contextmanager
def _local_file(to: Destination, mode: str) -> Iterator[IO]:
    with staging_file(to.path) as (staging, descriptor):
        with os.fdopen(descriptor, mode, **get_text_options(mode)) as file:
            yield file
        with contextlib.suppress(FileNotFoundError):
            _take_permissions(staging, os.stat(to.path))
        try:
            os.replace(staging, to.path)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            # A file that is mounted, as into a container, cannot be replaced.
            shutil.copyfile(staging, to.path)


def _take_permissions(path: str, replaced: os.stat_result) -> None:
    with contextlib.suppress(OSError):  # another user's, or a file system without owners
        os.chown(path, replaced.st_uid, replaced.st_gid)
    with contextlib.suppress(OSError):
        os.chmod(path, stat.S_IMODE(replaced.st_mode))


def write_file(path: str, content: str | bytes) -> None:
    """Writes a file aside and renames it, so that a reader sees the old one or the new one.

    Raises:
      InputError: if it cannot be written.
    """
    with create_file(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)
