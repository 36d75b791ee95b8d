"""Staging files and directories: outputs are written under a unique name beside their target.

A writer holds a lock on its staging file or directory, which a kill releases. One that can be
locked is a leftover of a run that was killed; the next run that writes to the same target removes
it. On file systems without such locks nothing is removed.
"""

import contextlib
import fcntl
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator

_MARK = ".incomplete-"


def make_staging_name(target: str) -> str:
    """Returns a unique path beside `target`."""
    return f"{target}{_MARK}{uuid.uuid4().hex[:8]}"


def is_staging_name(path: str) -> bool:
    """Whether a path is one that `make_staging_name` returns: not complete yet, or a leftover."""
    return bool(re.search(rf"{re.escape(_MARK)}[0-9a-f]{{8}}$", path))


@contextlib.contextmanager
def staging_directory(target: str) -> Iterator[str]:
    """Yields a new directory beside `target`, and removes it after the block if it is still there.

    Raises:
      OSError: if it cannot be created.
    """
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    remove_leftovers(target)
    path, lock = _make_locked(target, os.mkdir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield path
    finally:
        if os.path.isdir(path):
            shutil.rmtree(path)
        os.close(lock)


@contextlib.contextmanager
def staging_file(target: str) -> Iterator[tuple[str, int]]:
    """Yields a new file beside `target`, and removes it after the block if it is still there.

    Yields:
      Its path, and a descriptor that the block has to close.

    Raises:
      OSError: if it cannot be created.
    """
    remove_leftovers(target)
    path, lock = _make_locked(target, _make_file, os.O_RDWR)
    try:
        yield path, os.dup(lock)
    finally:
        if os.path.lexists(path):
            os.remove(path)
        os.close(lock)


def remove_leftovers(target: str) -> None:
    """Removes what killed runs left beside `target`.

    If the target is a version (its name is a number), removes the leftovers of all versions, since
    the next run writes a higher one.
    """
    folder, name = os.path.split(target)
    name = r"[0-9]+" if re.fullmatch(r"[0-9]+", name) else re.escape(name)
    pattern = re.compile(f"{name}{re.escape(_MARK)}[0-9a-f]{{8}}")
    with contextlib.suppress(OSError):  # unreadable files and those of other users stay
        for entry in os.listdir(folder or "."):
            if pattern.fullmatch(entry):
                _remove_if_unlocked(os.path.join(folder, entry))


def remove_all_leftovers(folder: str) -> None:
    """Removes what killed runs left of any file in a folder that is one program's alone."""
    with contextlib.suppress(OSError):
        for entry in os.listdir(folder):
            if is_staging_name(entry):
                _remove_if_unlocked(os.path.join(folder, entry))


def _remove_if_unlocked(path: str) -> None:
    with contextlib.suppress(OSError):
        mode = os.lstat(path).st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            return
        access = os.O_RDONLY if stat.S_ISDIR(mode) else os.O_RDWR
        lock = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not take_lock(lock) or not _is_at(lock, path):
                return  # a run is writing it, or has renamed it
            if stat.S_ISDIR(mode):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.remove(path)
        finally:
            os.close(lock)


def _make_file(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def _make_locked(target: str, make: Callable[[str], None], access: int) -> tuple[str, int]:
    """Makes a file or directory beside `target`; returns its path and a locked descriptor."""
    while True:
        path = make_staging_name(target)
        make(path)
        # Before it is locked, another run may remove it as a leftover.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, access)
            if take_lock(lock) is not False and _is_at(lock, path):
                return path, lock
            os.close(lock)


def take_lock(descriptor: int) -> bool | None:
    """Locks an open file or directory until it is closed.

    Returns:
      Whether the lock was free; None on file systems without such locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
