"""Resolves the path of an output: follows links, and tells files from pipes and devices."""

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
_standard_output = 1  # descriptor of standard output; `reserve_standard_output` moves it
_MOST_LINKS = 40  # Linux's own limit
_DESCRIPTORS = re.compile(r"/proc/(self|thread-self|[0-9]+)(?:/task/[0-9]+)?/fd")


@dataclasses.dataclass(frozen=True)
class Destination:
    """The target of a local output path.

    Attributes:
      path: str. The path with its links resolved.
      is_file: bool. Whether it is, or may become, a regular file. Others (pipes, devices, open
        descriptors) are written directly, and never replaced or removed.
      descriptor: Optional int. The descriptor that this process has open under this path.
    """

    path: str
    is_file: bool = True
    descriptor: int | None = None

    def open_directly(self, mode: str) -> IO:
        """Opens a target that is not a regular file for writing.

        Raises:
          OSError: if it cannot be opened.
        """
        if self.descriptor is not None:
            if sys.stdout is not None:
                sys.stdout.flush()  # earlier output comes first
            # A duplicate shares the position in the file; opened again it would begin at 0.
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
    target = path
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(target)
        folder = os.path.realpath(folder)
        target = os.path.join(folder, name)
        descriptor = _parse_descriptor(folder, name)
        if descriptor is not None:
            return Destination(target, is_file=False, descriptor=descriptor)
        if not os.path.islink(target):
            return Destination(target, is_file=_is_file(folder, target))
        if _is_below(folder, "/proc"):  # the text of such a link is not a path
            return Destination(target, is_file=False)
        target = os.path.join(folder, os.readlink(target))
    raise InputError(f"cannot write {path}: its links lead in a circle; name another file.")


def check_destination(path: str) -> None:
    """Rejects an output file that cannot be written.

    Raises:
      InputError: if the path is a directory or a socket, its directory is missing or not writable,
        or it names a descriptor that is not open for writing.
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
            raise InputError(f"cannot write {display_path(path)}: it is open for reading only.")
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
    """Rejects an output file that is also one of the other files, such as an input.

    Args:
      path: The output.
      others: By other path, what it is called in the message.

    Raises:
      InputError: naming both.
    """
    for other, what in others.items():
        remote = is_remote(path) or is_remote(other)
        if path == other if remote else _same_file(path, other):
            raise InputError(f"{display_path(path)} is {what} too; name another file to write.")


def display_path(path: str) -> str:
    """Returns the name of an output in messages."""
    return "standard output" if path == STANDARD_OUTPUT else path


def is_standard_output(path: str) -> bool:
    """Whether an output is a descriptor of this process that goes where standard output goes."""
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
    """Reserves standard output for the data of `path`; everything else goes to standard error.

    Args:
      path: A path for which `is_standard_output` holds.

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
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 1)
    sys.stdout = sys.stderr or sys.stdout  # one stream, so that lines stay in order
    _standard_output = copy
    return STANDARD_OUTPUT


def _same_file(path: str, other: str) -> bool:
    """Whether two outputs, or an output and an input, are one file or one pipe."""
    stats = []
    for to in (resolve_destination(path), resolve_destination(other)):
        try:
            stats.append(os.stat(to.path) if to.descriptor is None else os.fstat(to.descriptor))
        except OSError:  # does not exist yet
            stats.append(None)
    if None in stats:
        return resolve_destination(path) == resolve_destination(other)
    # Two outputs may share a terminal or /dev/null; a socket has two directions.
    written_once = stat.S_ISREG(stats[0].st_mode) or stat.S_ISFIFO(stats[0].st_mode)
    return written_once and os.path.samestat(*stats)


def _parse_descriptor(folder: str, name: str) -> int | None:
    """Returns this process's descriptor that `folder`/`name` names; None if it names none."""
    match = _DESCRIPTORS.fullmatch(folder)
    if not match or not re.fullmatch(r"[0-9]{1,9}", name):
        return None
    mine = {"self", "thread-self"}
    with contextlib.suppress(OSError):
        mine.add(os.readlink("/proc/self"))  # the id of this process in this /proc
    return int(name) if match.group(1) in mine else None


def _is_file(folder: str, path: str) -> bool:
    if _is_below(folder, "/proc"):
        return False
    if _is_below(folder, "/dev") and not _is_below(path, "/dev/shm"):
        return False
    try:
        mode = os.stat(path).st_mode
    except OSError:  # does not exist yet
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")
