"""Counts rows while they are read, in several processes of one machine.

The steps of a pipeline are pickled, and callbacks cannot be: each thread that reads rows makes a
file as long as their number, without content, and this process looks at the lengths.
"""

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

# Seconds between two looks.
_SECONDS = 0.2


class RowCounts:
    """Counts rows; it can be pickled.

    Args:
      directory: A local directory. On machines that do not have it nothing is counted.
    """

    def __init__(self, directory: str):
        self._directory = directory

    def add(self, rows: int) -> None:
        """Adds rows that this thread read."""
        path = f"{self._directory}/{os.getpid()}-{threading.get_ident()}"
        with contextlib.suppress(OSError), open(path, "ab") as file:
            file.truncate(file.tell() + rows)

    def total(self) -> int:
        """Returns the rows that were read so far."""
        with contextlib.suppress(OSError), os.scandir(self._directory) as files:
            return sum(file.stat().st_size for file in files)
        return 0


@contextlib.contextmanager
def watch_rows(on_rows: Callable[[int], Any]) -> Iterator[RowCounts]:
    """Reports the rows that are read in the context.

    Args:
      on_rows: Called with the rows since its last call, by another thread.

    Yields:
      What counts them.
    """
    directory = tempfile.mkdtemp(prefix="mptrec-rows-")
    counts, ended, reported = RowCounts(directory), threading.Event(), 0

    def report() -> None:
        nonlocal reported
        total = counts.total()
        if total > reported:
            on_rows(total - reported)
            reported = total

    def watch() -> None:
        while not ended.wait(_SECONDS):
            report()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield counts
    finally:
        ended.set()
        thread.join()
        report()
        shutil.rmtree(directory, ignore_errors=True)
