"""Hides what native code writes to standard error, unless it explains a crash.

TensorFlow, XLA and gRPC write notes from C++ straight to file descriptor 2, into the middle of a
progress bar; no setting suppresses all of them. So a program gets a standard error of its own, and
descriptor 2 becomes a pipe. Its reader is another process: a thread would end with its process, and
lose what is written just before an abort.

The reader runs this file alone, without the package:

    python -I -S native_messages.py <descriptor to read> <program>
"""

import collections
import contextlib
import logging
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

# How the program reports its end to the reader; without a report, a signal ended it.
_ORDERLY, _FAILED = b"orderly", b"failed"
# Information and warnings, in the forms of absl, of older TensorFlow and of gRPC.
_NOTE = re.compile(
    rb"[IW]\d{4} \d\d:\d\d|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] "
    rb"|WARNING: All log messages before absl::InitializeLog"
)
_LINES = 40  # shown after a crash
_LONGEST_LINE = 1 << 14  # bytes
_PATIENCE = 10.0  # seconds that the program waits for its reader to print


@contextlib.contextmanager
def hide_native_messages(
    program: str, orderly: Sequence[type[BaseException]] = ()
) -> Iterator[None]:
    """Hides native messages while the block runs, and until the process ends.

    Python's own standard error, and a traceback of `faulthandler`, go where they went before. After
    an exception, and where a signal ends the process, the last native messages follow them.

    Nothing is changed where `TF_CPP_MIN_LOG_LEVEL` enables notes (0 to 2), or where standard error
    is closed or not a file.

    Args:
      program: The program's name.
      orderly: Exceptions that are not a crash, beside SystemExit and KeyboardInterrupt.
    """
    reader = _start_reader(program)
    if reader is None:
        yield
        return
    end = _ORDERLY
    try:
        yield
    except Exception as error:
        end = _ORDERLY if isinstance(error, tuple(orderly)) else _FAILED
        raise
    finally:
        sys.stderr.flush()
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            reader.communicate(end, timeout=_PATIENCE)


def _start_reader(program: str) -> subprocess.Popen | None:
    """Moves Python's standard error, and starts the reader of descriptor 2; None if it cannot."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3") in ("0", "1", "2"):
        return None
    try:
        if sys.stderr.fileno() != 2:
            return None
        own = os.dup(2)
    # `sys.stderr` may be None, or not a file, as under a test.
    except (AttributeError, OSError, ValueError):
        return None
    read, write = os.pipe()
    try:
        reader = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(read), program],
            stdin=subprocess.PIPE,
            stdout=own,
            stderr=own,
            pass_fds=(read,),
            # Ctrl-C, which interrupts the program, must not end its reader first.
            start_new_session=True,
        )
    except OSError:
        os.close(own)
        os.close(write)
        return None
    finally:
        os.close(read)
    _move_python(own)
    os.dup2(write, 2)
    os.close(write)
    return reader


def _move_python(descriptor: int) -> None:
    """Redirects Python's standard error, and the logs that went there, to a descriptor."""
    import faulthandler

    old = sys.stderr
    old.flush()
    sys.stderr = sys.__stderr__ = open(  # noqa: SIM115 (until the process ends)
        descriptor, "w", buffering=1, encoding=old.encoding, errors="backslashreplace"
    )
    for handler in _list_handlers():
        if getattr(handler, "stream", None) is old:
            handler.setStream(sys.stderr)
    if faulthandler.is_enabled():
        faulthandler.enable(sys.stderr)


def _list_handlers() -> list[logging.Handler]:
    from absl import logging as absl_logging

    return [absl_logging.get_absl_handler().python_handler, *logging.getLogger().handlers]


class _Last:
    """The last lines that are not notes."""

    def __init__(self) -> None:
        self._lines: collections.deque[bytes] = collections.deque(maxlen=_LINES)
        self._begun = b""

    def add(self, content: bytes) -> None:
        """Adds what was read, which may end in the middle of a line."""
        *whole, begun = (self._begun + content).split(b"\n")
        self._begun = begun[-_LONGEST_LINE:]
        self._lines += [line for line in whole if line.strip() and not _NOTE.match(line)]

    def lines(self) -> list[bytes]:
        """Returns the lines."""
        self.add(b"\n")
        return list(self._lines)


def _watch(descriptor: int, program: str) -> None:
    """Reads until the program ends, and prints the last lines if it crashed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    last, control = _Last(), 0
    os.set_blocking(descriptor, False)
    sources = {control, descriptor}
    while True:
        ready, _, _ = select.select(sources, [], [])
        if descriptor in ready and not _drain(descriptor, last):
            sources.discard(descriptor)
        if control in ready:
            break
    end = os.read(control, 64)
    _drain(descriptor, last)
    if end == _ORDERLY:
        return
    if lines := last.lines():
        title = f"{program}: the last messages of native code before the crash:".encode()
        with contextlib.suppress(OSError):  # a terminal that is gone
            os.write(1, b"\n".join([title, *(b"  " + line for line in lines), b""]))


def _drain(descriptor: int, last: _Last) -> bool:
    """Reads the available bytes; returns whether there may be more."""
    try:
        while content := os.read(descriptor, 1 << 16):
            last.add(content)
    except BlockingIOError:
        return True
    return False


if __name__ == "__main__":
    _watch(int(sys.argv[1]), sys.argv[2])
