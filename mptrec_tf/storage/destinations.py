"""Where the path of an output leads: links are followed; pipes and devices are no files."""

import contextlib
import dataclasses
import fcntl
import os
import re
import stat
import sys
from typing import IO

from mptrec_tf.errors import InputError
from mptrec_tf.storage.file_systems import get_text_options, is_remote

STANDARD_OUTPUT = "-"
_standard_output = 1  # what is open as standard output; `reserve_standard_output` moves it
_MOST_LINKS = 40  # as many as Linux follows
_DESCRIPTORS = re.compile(r"/proc/(self|thread-self|[0-9]+)(?:/task/[0-9]+)?/fd")


@dataclasses.dataclass(frozen=True)
class Destination:
    """Where a local output goes.

    Attributes:
      path: str. Where its links lead.
      is_file: bool. Whether it is, or may become, a regular file. Others (pipes, devices, what is
        open already) are written as they are, and never replaced or removed.
      descriptor: Optional int. What this process has open already under this path.
    """

    path: str
    is_file: bool = True
    descriptor: int | None = None

    def open_as_it_is(self, mode: str) -> IO:
        """Opens what is no regular file for writing.

        Raises:
          OSError: if that cannot be.
        """
        if self.descriptor is not None:
            if sys.stdout is not None:
                sys.stdout.flush()  # what was said before stands before
            # A copy of what is open, for its place in the file; opened anew it would begin at 0.
            opened = os.dup(self.descriptor)
        else:
            opened = os.open(self.path, os.O_WRONLY | os.O_TRUNC | os.O_NOCTTY)
        return os.fdopen(opened, mode, **get_text_options(mode))


def resolve_destination(path: str) -> Destination:
    """Follows the links of a local path, or "-" for standard output.

    Raises:
      InputError: if the links lead in a circle.
    """
    if path == STANDARD_OUTPUT:
        return Destination(display_path(path), is_file=False, descriptor=_standard_output)
    found = path
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(found)
        folder = os.path.realpath(folder)
        found = os.path.join(folder, name)
        descriptor = _descriptor(folder, name)
        if descriptor is not None:
            return Destination(found, is_file=False, descriptor=descriptor)
        if not os.path.islink(found):
            return Destination(found, is_file=_is_file(folder, found))
        if _is_below(folder, "/proc"):  # such a link is no path
            return Destination(found, is_file=False)
        found = os.path.join(folder, os.readlink(found))
    raise InputError(f"cannot write {path}: its links lead in a circle; name another file.")


def check_destination(path: str) -> None:
    """Rejects an output file that could not be written.

    Raises:
      InputError: if the path is a directory or a socket, its directory is not there or may not be
        written, or it names something open that is not open for writing.
    """
    to = resolve_destination(path)
    if to.descriptor is not None:
        try:
            access = fcntl.fcntl(to.descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        except OSError as error:
            raise InputError(
                f"cannot write {display_path(path)}: it is not open ({error.strerror})."
            ) from error
        if access == os.O_RDONLY:
            raise InputError(f"cannot write {display_path(path)}: it is open for reading alone.")
        return
    folder, name = os.path.split(to.path)
    if not name or os.path.isdir(to.path):
        raise InputError(f"{path!r} is a directory; name a file to write.")
    if to.is_file:
        if not os.path.islink(path):
            folder = os.path.dirname(path) or os.curdir  # as it was given
        if not os.path.isdir(folder):
            raise InputError(f"cannot write {path}: there is no directory {folder}.")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"cannot write {path}: the directory {folder} may not be written.")
        return
    if not os.path.exists(to.path):
        raise InputError(f"cannot write {path}: there is no device {to.path}.")
    if stat.S_ISSOCK(os.stat(to.path).st_mode):
        raise InputError(f"cannot write {path}: it is a socket; name a file, a pipe or a device.")
    if not os.access(to.path, os.W_OK):
        raise InputError(f"cannot write {path}: it may not be written.")


def check_not_among(path: str, others: dict[str, str]) -> None:
    """Rejects an output file that is also something else, such as an input.

    Args:
      path: The output.
      others: What each other path is, for the message.

    Raises:
      InputError: naming both.
    """
    for other, what in others.items():
        remote = is_remote(path) or is_remote(other)
        if path == other if remote else _same_file(path, other):
            raise InputError(f"{display_path(path)} is {what} too; name another file to write.")


def display_path(path: str) -> str:
    """What an output is called in messages."""
    return "standard output" if path == STANDARD_OUTPUT else path


def is_standard_output(path: str) -> bool:
    """Whether an output goes to where standard output goes, as what is open in this process."""
    if is_remote(path):
        return False
    descriptor = resolve_destination(path).descriptor
    if descriptor is None:
        return False
    try:
        return os.path.samestat(os.fstat(descriptor), os.fstat(_standard_output))
    except OSError:  # one of them is closed
        return False


def reserve_standard_output(path: str) -> str:
    """Reserves standard output for the data of `path`; what else is printed goes to standard error.

    Args:
      path: What `is_standard_output`.

    Returns:
      The path to write the data to.
    """
    global _standard_output
    if sys.stdout is not None:
        sys.stdout.flush()
    copy = os.dup(resolve_destination(path).descriptor)
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
    sys.stdout = sys.stderr or sys.stdout  # in order with what else is said there
    _standard_output = copy
    return STANDARD_OUTPUT


def _same_file(path: str, other: str) -> bool:
    """Whether two outputs, or an output and an input, are one file or one pipe."""
    found = []
    for to in (resolve_destination(path), resolve_destination(other)):
        try:
            found.append(os.stat(to.path) if to.descriptor is None else os.fstat(to.descriptor))
        except OSError:  # not there yet
            found.append(None)
    if None in found:
        return resolve_destination(path) == resolve_destination(other)
    # Two outputs may well go to one terminal, or to nowhere; a socket has two directions.
    written_once = stat.S_ISREG(found[0].st_mode) or stat.S_ISFIFO(found[0].st_mode)
    return written_once and os.path.samestat(*found)


def _descriptor(folder: str, name: str) -> int | None:
    """The number of what this process has open as `folder`/`name`; None if that is none."""
    found = _DESCRIPTORS.fullmatch(folder)
    if not found or not re.fullmatch(r"[0-9]{1,9}", name):
        return None
    mine = {"self", "thread-self"}
    with contextlib.suppress(OSError):
        mine.add(os.readlink("/proc/self"))  # the number that this process has in this /proc
    return int(name) if found.group(1) in mine else None


def _is_file(folder: str, path: str) -> bool:
    if _is_below(folder, "/proc"):
        return False
    if _is_below(folder, "/dev") and not _is_below(path, "/dev/shm"):
        return False
    try:
        mode = os.stat(path).st_mode
    except OSError:  # not there yet
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")
