"""Runs cells in processes of their own, in the order of their needs.

A cell that fails stops only those that need it. Processes are forked from one that has imported
TensorFlow, which takes many seconds; it has computed nothing.
"""

import contextlib
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import connection
from typing import Any

from mptrec_tf.benchmark.cells import Cell
from mptrec_tf.benchmark.machine import describe_machine, describe_versions
from mptrec_tf.benchmark.place import Place, remove
from mptrec_tf.errors import InputError

_PRELOADED = ["mptrec_tf.benchmark.training_cells", "mptrec_tf.benchmark.serving_cells"]
# Exit status of a cell that wrote the reason of its failure.
_EXPLAINED = 3


def list_cells(wanted: Sequence[Cell]) -> list[Cell]:
    """Returns cells and all that they need, each once, after what it needs."""
    found: dict[str, Cell] = {}

    def add(cell: Cell) -> None:
        if cell.key not in found:
            for needed in cell.needs:
                add(needed)
            found[cell.key] = cell

    for cell in wanted:
        add(cell)
    return list(found.values())


class Progress:
    """Prints a line for each finished cell, with the time that is left.

    Args:
      total: Number of cells, finished ones included.
      done: Number of those that were finished before.
      workers: How many run at a time.
    """

    def __init__(self, total: int, done: int, workers: int):
        self._total, self._done, self._workers = total, done, workers
        self._seconds: dict[str, list[float]] = {}

    def show(self, cell: Cell, outcome: str, seconds: float, waiting: Sequence[Cell]) -> None:
        """Prints the line of a finished cell.

        Args:
          cell: The cell.
          outcome: Its scores, or why it failed.
          seconds: How long it took.
          waiting: The cells that are not finished.
        """
        self._done += 1
        self._seconds.setdefault(cell.kind, []).append(seconds)
        left = self.estimate(waiting)
        about = f"; about {format_duration(left)} left" if waiting else ""
        print(
            f"{self._done} of {self._total}   {cell.title}   {outcome}   {seconds:.0f} s{about}",
            file=sys.stderr,
            flush=True,
        )

    def estimate(self, waiting: Sequence[Cell]) -> float:
        """Returns the seconds that other cells will take, from those that are finished."""
        known = [s for of in self._seconds.values() for s in of]
        total = 0.0
        for cell in waiting:
            of = self._seconds.get(cell.kind, known)
            total += sum(of) / len(of) / (1 if cell.exclusive else self._workers)
        return total


def format_duration(seconds: float) -> str:
    """Returns a duration in words.

    Example:
      >>> format_duration(3700)
      '1 h 2 min'
    """
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if not minutes:
        return f"{seconds:.0f} s"
    return f"{hours} h {minutes - 60 * hours} min" if hours else f"{minutes} min"


def run_cells(
    cells: Sequence[Cell],
    place: Place,
    workers: int,
    commit: str | None = None,
    on_end: Callable[[], None] = lambda: None,
) -> None:
    """Runs all cells that have no result yet.

    Args:
      cells: The cells, each after what it needs.
      place: The output directory.
      workers: How many run at a time. Each gets its share of the cores.
      commit: The commit of the code, for the results.
      on_end: Called after each cell.
    """
    waiting = {cell.key: cell for cell in cells if not place.is_done(cell)}
    progress = Progress(len(cells), len(cells) - len(waiting), workers)
    failed: dict[str, str] = {}
    running: dict[int, tuple[Any, Cell, float]] = {}
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(_PRELOADED)
    threads = max(1, len(os.sched_getaffinity(0)) // workers)

    def finish(cell: Cell, seconds: float) -> None:
        waiting.pop(cell.key)
        if place.is_done(cell):
            outcome = _describe_scores(place.read(cell))
        else:
            failed[cell.key] = place.read_failure(cell) or "no result"
            outcome = f"FAILED: {failed[cell.key]}"
        progress.show(cell, outcome, seconds, list(waiting.values()))
        on_end()

    try:
        while waiting:
            for cell in [c for c in waiting.values() if any(n.key in failed for n in c.needs)]:
                needed = next(n for n in cell.needs if n.key in failed)
                place.write_failure(cell, f"it needs {needed.title!r}, which failed")
                finish(cell, 0.0)
            while len(running) < workers:
                cell = _choose(waiting, running)
                if cell is None:
                    break
                arguments = (cell, place, threads, commit)
                process = forks.Process(target=_run_cell, args=arguments, name=cell.title)
                process.start()
                running[process.sentinel] = (process, cell, time.monotonic())
            for sentinel in connection.wait(list(running)) if running else ():
                process, cell, start = running.pop(sentinel)
                process.join()
                if not place.is_done(cell) and process.exitcode != _EXPLAINED:
                    place.write_failure(cell, _describe_exit(process.exitcode, place.log(cell)))
                finish(cell, time.monotonic() - start)
    finally:
        for process, _, _ in running.values():
            process.terminate()


def _choose(waiting: dict[str, Cell], running: dict[int, tuple]) -> Cell | None:
    """Returns the next cell to start; one that measures time waits until nothing else is left."""
    busy = {cell.key: cell for _, cell, _ in running.values()}
    if any(cell.exclusive for cell in busy.values()):
        return None
    ready = [
        cell
        for key, cell in waiting.items()
        if key not in busy and not any(n.key in waiting for n in cell.needs)
    ]
    together = [cell for cell in ready if not cell.exclusive]
    if together:
        return together[0]
    return ready[0] if ready and not busy else None


def _describe_scores(result: dict[str, Any]) -> str:
    scores = result.get("scores", {}).get("test", {})
    return ", ".join(f"{task} {value:.4f}" for task, value in scores.items() if value) or "done"


def _describe_exit(status: int, log: str) -> str:
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return f"its process ended with {how}; see {log}"


def _run_cell(cell: Cell, place: Place, threads: int, commit: str | None) -> None:
    """Runs one cell in this process, and writes its result, or why it failed."""
    _end_with_parent()
    log = os.open(place.log(cell), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115 (until the process ends)
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    start = time.time()
    try:
        result = cell.run(place)
    except InputError as error:
        traceback.print_exc()
        place.write_failure(cell, str(error))
        os._exit(_EXPLAINED)
    except Exception as error:
        traceback.print_exc()
        place.write_failure(cell, f"{type(error).__name__}: {error}")
        os._exit(_EXPLAINED)
    made_with = {
        "versions": describe_versions(),
        "machine": describe_machine(),
        "commit": commit,
        "threads": threads,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start)),
        "cell_seconds": time.time() - start,
        "processor_seconds": time.process_time(),
    }
    place.write(cell, {**result, **made_with})
    remove([place.work(cell)])
    sys.stdout.flush()
    os._exit(0)  # TensorFlow's threads need no orderly end


def _end_with_parent() -> None:
    """Ends this process when the benchmark does, however that ends: the next run continues."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        with contextlib.suppress(OSError):
            connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
