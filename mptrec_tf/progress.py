"""Progress of long work, on standard error: bars on a terminal, plain lines elsewhere.

A log file has no width and no colours: each event is one line, however long.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

# Without a terminal, seconds between two lines of progress.
_SECONDS = 60.0


def on_terminal() -> bool:
    """Whether standard error is a terminal that can draw bars (NO_COLOR turns off colours)."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


@contextlib.contextmanager
def report_progress(
    description: str, total: float, unit: str = "rows"
) -> Iterator[Callable[[int], None]]:
    """Shows how much work is done: by a bar with the remaining time, or by lines.

    Args:
      description: What is being done.
      total: Expected units of work, which may be an estimate; 0: unknown.
      unit: What is counted.

    Yields:
      A function to call with the units done since its last call.

    Example:
      with report_progress("preparing", total=10_000) as advance:
          for block in blocks:
              advance(len(block))
    """
    with (_bar if on_terminal() else _lines)(description, total, unit) as advance:
        yield advance


@contextlib.contextmanager
def _lines(description: str, total: float, unit: str) -> Iterator[Callable[[int], None]]:
    begin = last_printed = time.monotonic()
    done = 0
    lock = threading.Lock()  # Beam counts in threads

    def print_state(state: str) -> None:
        seconds = time.monotonic() - begin
        print(f"{description}: {state}, {seconds:.0f} s", file=sys.stderr, flush=True)

    def advance(more: int) -> None:
        nonlocal done, last_printed
        with lock:
            done += more
            if time.monotonic() - last_printed >= _SECONDS:
                last_printed = time.monotonic()
                of = f" of about {total:,.0f}" if total > done else ""
                print_state(f"{done:,.0f}{of} {unit}")

    yield advance
    print_state(f"{done:,.0f} {unit}")


@contextlib.contextmanager
def _bar(description: str, total: float, unit: str) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}} {unit}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total or None)
        yield lambda done: bar.advance(task, done)
        bar.update(task, total=bar.tasks[0].completed)  # an estimate may have been off


class EpochProgress:
    """Prints a line per epoch; on a terminal, also shows a bar over all planned steps.

    Args:
      run: The name of the training run.
      epochs: Planned epochs.
      steps: Steps per epoch.
    """

    def __init__(self, run: str, epochs: int, steps: int):
        self._run, self._epochs, self._steps = run, epochs, steps
        self._bar = None
        if on_terminal():
            self._make_bar()

    def _make_bar(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left at most"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )

    def start(self, first_epoch: int) -> None:
        """Shows the bar; epochs before `first_epoch` count as done."""
        if self._bar:
            total, done = self._epochs * self._steps, first_epoch * self._steps
            self._task = self._bar.add_task(self._run, total=total, completed=done)
            self._bar.start()

    def show(self, epoch: int, step: int) -> None:
        """Moves the bar to a step of an epoch, both from 0."""
        if self._bar:
            self._bar.update(
                self._task,
                completed=epoch * self._steps + step,
                description=f"{self._run}   epoch {epoch + 1} of {self._epochs}",
            )

    def print_epoch(self, epoch: int, parts: Sequence[str]) -> None:
        """Prints the line of a finished epoch."""
        begin = f"{self._run}   epoch {epoch + 1:>3} of {self._epochs}"
        if self._bar:
            console = self._bar.console
            text = wrap_parts([begin, *parts], console.width)
            console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            print("   ".join([begin, *parts]), file=sys.stderr, flush=True)

    def end(self, epochs: int) -> None:
        """Marks the bar as complete after `epochs` epochs."""
        if self._bar:
            done = self._bar.tasks[0].completed
            self._bar.update(self._task, total=done, description=f"{self._run}   {epochs} epochs")

    def stop(self) -> None:
        """Stops the bar."""
        if self._bar:
            self._bar.stop()


def wrap_parts(parts: Sequence[str], width: int) -> str:
    """Joins parts into lines of a terminal's width without breaking a part."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + 3 + len(part) < width:
            lines[-1] += f"   {part}"
        else:
            lines.append(f"    {part}")
    return "\n".join(lines)
