"""Where something is written until it is whole: beside its place, under a name of its own.

Whoever writes holds a lock on what it writes, which a kill releases. What can be locked was left
by a run that is no more, and the next run that writes to the same place removes it. Where a file
system has no such locks, nothing is removed.
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
    """A name beside `target` that nothing else has."""
    return f"{target}{_MARK}{uuid.uuid4().hex[:8]}"


@contextlib.contextmanager
def staging_directory(target: str) -> Iterator[str]:
    """Yields a new directory beside `target`, which is gone after the block if it is still there.

    Raises:
      OSError: if it cannot be made.
    """
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    remove_leftovers(target)
    path, lock = _locked(target, os.mkdir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield path
    finally:
        if os.path.isdir(path):
            shutil.rmtree(path)
        os.close(lock)


@contextlib.contextmanager
def staging_file(target: str) -> Iterator[tuple[str, int]]:
    """Yields a new file beside `target`, which is gone after the block if it is still there.

    Yields:
      Its path, and a descriptor that is the block's to close.

    Raises:
      OSError: if it cannot be made.
    """
    remove_leftovers(target)
    path, lock = _locked(target, _make_file, os.O_RDWR)
    try:
        yield path, os.dup(lock)
    finally:
        if os.path.lexists(path):
            os.remove(path)
        os.close(lock)


def remove_leftovers(target: str) -> None:
    """Removes what runs that were killed left beside `target`.

    Of a version (its name is a number) the leftovers of all versions: the next run makes a higher
    one.
    """
    folder, name = os.path.split(target)
    name = r"[0-9]+" if re.fullmatch(r"[0-9]+", name) else re.escape(name)
    pattern = re.compile(f"{name}{re.escape(_MARK)}[0-9a-f]{{8}}")
    with contextlib.suppress(OSError):  # what cannot be read, or is another user's, stays
        for found in os.listdir(folder or "."):
            if pattern.fullmatch(found):
                _remove_if_left(os.path.join(folder, found))


def _remove_if_left(path: str) -> None:
    with contextlib.suppress(OSError):
        mode = os.lstat(path).st_mode
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            return
        access = os.O_RDONLY if stat.S_ISDIR(mode) else os.O_RDWR
        lock = os.open(path, access | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not take_lock(lock) or not _is_at(lock, path):
                return  # a run is writing it, or it has its own name by now
            if stat.S_ISDIR(mode):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.remove(path)
        finally:
            os.close(lock)


def _make_file(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def _locked(target: str, make: Callable[[str], None], access: int) -> tuple[str, int]:
    """Makes something new beside `target`; returns its path and a descriptor that locks it."""
    while True:
        path = make_staging_name(target)
        make(path)
        # Until it is locked, another run may take it for a leftover.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, access)
            if take_lock(lock) is not False and _is_at(lock, path):
                return path, lock
            os.close(lock)


def take_lock(descriptor: int) -> bool | None:
    """Locks what is open, for as long as it is.

    Returns:
      Whether no other process had it locked; None where the file system has no such locks.
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
