"""Writes directories and files atomically.

They are written under a staging name beside their target (see `staging`) and renamed. Links are
followed: their target is written, and the links stay. Outputs that are not regular files (see
`destinations`) are written directly.
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
    """Rejects an output directory that already holds something.

    Raises:
      InputError: if it exists and is not empty, cannot be read or replaced, or has no name.
    """
    if not directory.rstrip("/"):
        raise InputError(f"{directory!r} cannot be an output directory; name a new one.")
    files = get_file_system(directory)
    with explain_failure(f"cannot look into {directory}"):
        if not is_remote(directory):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.stat(directory)  # fails for circular links, which `exists` takes for missing
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
    target = os.path.realpath(directory)
    return os.path.ismount(target) or os.path.samefile(target, os.curdir)


@contextlib.contextmanager
def create_directory(directory: str) -> Iterator[str]:
    """Yields a new staging directory that is renamed to `directory` when the block succeeds.

    After an error, `directory` is unchanged and the staging directory is removed, as are those of
    earlier runs that were killed.

    Raises:
      InputError: if `directory` exists and is not empty, or cannot be written.

    Example:
      with create_directory("output") as staging:
          write_file(f"{staging}/data.json", "{}")
    """
    check_absent(directory)
    directory = directory.rstrip("/")
    create = _create_remote_directory if is_remote(directory) else _create_local_directory
    with create(directory) as staging:
        yield staging


@contextlib.contextmanager
def _create_local_directory(directory: str) -> Iterator[str]:
    target = os.path.realpath(directory)
    with contextlib.ExitStack() as stack:
        with explain_failure(f"cannot write {directory}"):
            staging = stack.enter_context(staging_directory(target))
        yield staging
        with explain_failure(f"cannot write {directory}"):
            if os.path.isdir(target):
                _copy_permissions(staging, os.stat(target))
            try:
                os.rename(staging, target)  # replaces an empty directory at most
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise InputError(
                        f"{directory} already exists: another run created it meanwhile; start "
                        "again, or give another output directory."
                    ) from error
                raise


@contextlib.contextmanager
def _create_remote_directory(directory: str) -> Iterator[str]:
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
    """Rejects an output file that cannot be written, before any work is done for it.

    Args:
      path: A file, a pipe or a device, or "-" for standard output.
      others: Paths that it must not be, such as an input, and what each is called in messages.

    Raises:
      InputError: if the path is a directory or a socket, its parent is not a writable directory,
        its links lead in a circle, or it is one of the others.
    """
    if not is_remote(path):
        check_destination(path)
    elif get_file_system(path).isdir(path) or not os.path.basename(path):
        raise InputError(f"{path!r} is a directory; name a file to write.")
    check_not_among(path, others or {})


@contextlib.contextmanager
def exclusive_lock(directory: str) -> Iterator[None]:
    """Locks a directory against every other process while the block runs.

    File systems without locks (remote ones) are not locked.

    Raises:
      InputError: if another process holds the lock.
    """
    if is_remote(directory):
        yield
        return
    with contextlib.ExitStack() as stack:
        with explain_failure(f"cannot write {directory}"):
            file = stack.enter_context(open_file(os.path.join(directory, "lock"), "w"))
        if take_lock(file.fileno()) is False:  # a kill releases the lock
            raise InputError(
                f"another process is at work in {directory}; wait until it ends, or give another "
                "output directory."
            )
        yield


@contextlib.contextmanager
def create_file(path: str, mode: str = "w") -> Iterator[IO]:
    """Yields an open file that replaces `path` when the block succeeds.

    The permissions of a replaced file are retained. Pipes, devices and standard output ("-") are
    written directly.

    Raises:
      InputError: if it cannot be written.
      BrokenPipeError: if it is a pipe that has no reader any more.
    """
    with explain_failure(f"cannot write {display_path(path)}"):
        if is_remote(path):
            with _create_remote_file(path, mode) as file:
                yield file
            return
        to = resolve_destination(path)
        with _create_local_file(to, mode) if to.is_file else to.open_directly(mode) as file:
            yield file


@contextlib.contextmanager
def _create_remote_file(path: str, mode: str) -> Iterator[IO]:
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
def _create_local_file(to: Destination, mode: str) -> Iterator[IO]:
    with staging_file(to.path) as (staging, descriptor):
        with os.fdopen(descriptor, mode, **get_text_options(mode)) as file:
            yield file
        with contextlib.suppress(FileNotFoundError):
            _copy_permissions(staging, os.stat(to.path))
        try:
            os.replace(staging, to.path)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            # A mounted file (as in containers) cannot be replaced.
            shutil.copyfile(staging, to.path)


def _copy_permissions(path: str, replaced: os.stat_result) -> None:
    with contextlib.suppress(OSError):  # another user's, or a file system without owners
        os.chown(path, replaced.st_uid, replaced.st_gid)
    with contextlib.suppress(OSError):
        os.chmod(path, stat.S_IMODE(replaced.st_mode))


def write_file(path: str, content: str | bytes) -> None:
    """Writes a file atomically: a reader sees the old content or the new one.

    Raises:
      InputError: if it cannot be written.
    """
    with create_file(path, "wb" if isinstance(content, bytes) else "w") as file:
        file.write(content)
