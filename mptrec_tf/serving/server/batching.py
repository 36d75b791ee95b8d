"""Merges waiting requests into one run.

A run begins as soon as a thread is free and takes all waiting requests of its kind, up to a number
of rows. So a lone caller never waits for others, and callers who send requests faster than the
model predicts share its runs. `batch_timeout` delays a run to wait for more, as TF Serving's does.

Requests are of one kind if they use the same signature of the same version, and their rows have
the same shape. A request whose inputs differ in their first dimension runs alone.
"""

import asyncio
import collections
import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import tensorflow as tf

from mptrec_tf.serving.server.measuring import Metrics
from mptrec_tf.serving.server.models import Version
from mptrec_tf.serving.server.options import BatchingParameters
from mptrec_tf.serving.server.request_error import (
    RequestError,
    from_tensorflow,
    invalid,
    unavailable,
)
from mptrec_tf.serving.server.signature import Signature

_log = logging.getLogger("mptrec-serve")


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What requests that run together have in common."""

    version: Version
    signature: str
    shapes: tuple[tuple[int, ...], ...]
    alone: object = None  # an object of its own, for a request that runs alone


@dataclasses.dataclass
class _Waiting:
    inputs: Mapping[str, np.ndarray]
    rows: int
    since: float
    outputs: asyncio.Future


class Batcher:
    """Runs requests in threads, merged where that is allowed.

    Args:
      parameters: How requests are merged.
      metrics: Counts the runs.
      merge: Whether requests are merged at all.
    """

    def __init__(self, parameters: BatchingParameters, metrics: Metrics, merge: bool = True):
        self._parameters = parameters
        self._metrics = metrics
        self._merge = merge
        self._threads = ThreadPoolExecutor(parameters.num_batch_threads, "run")
        self._free = parameters.num_batch_threads
        self._kinds: dict[_Kind, collections.deque[_Waiting]] = {}
        self._waiting = 0
        self._tasks: set[asyncio.Task] = set()
        self._alarm: asyncio.TimerHandle | None = None

    async def submit(
        self, version: Version, signature: Signature, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Returns the outputs of one request.

        Raises:
          RequestError: if too many wait, or the model rejects it.
        """
        if self._waiting >= self._parameters.max_enqueued_requests:
            raise unavailable("The batch scheduling queue is full; try again.")
        firsts = {array.shape[:1] for array in inputs.values()}
        alone = not self._merge or not signature.batchable or len(firsts) != 1
        shapes = tuple(inputs[name].shape[1:] for name in signature.inputs)
        kind = _Kind(version, signature.name, shapes, object() if alone else None)
        rows = max((first[0] for first in firsts if first), default=1)
        outputs = asyncio.get_running_loop().create_future()
        item = _Waiting(inputs, rows, time.monotonic(), outputs)
        self._kinds.setdefault(kind, collections.deque()).append(item)
        self._waiting += 1
        self._start_runs()
        return await outputs

    def _start_runs(self) -> None:
        while self._free and self._kinds:
            now = time.monotonic()
            starts = {kind: self._earliest_start(kind, q) for kind, q in self._kinds.items()}
            kind = min(starts, key=starts.get)
            if starts[kind] > now:
                if self._alarm is None:
                    loop = asyncio.get_running_loop()
                    self._alarm = loop.call_later(starts[kind] - now, self._on_alarm)
                return
            batch = self._take(kind, self._kinds[kind])
            if batch:
                self._free -= 1
                task = asyncio.get_running_loop().create_task(self._run(kind, batch))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _earliest_start(self, kind: _Kind, queue: collections.deque[_Waiting]) -> float:
        """Returns when a run of this kind may begin."""
        since = queue[0].since
        if kind.alone or not self._parameters.batch_timeout:
            return since
        full = sum(item.rows for item in queue) >= self._parameters.max_batch_size
        return since if full else since + self._parameters.batch_timeout

    def _on_alarm(self) -> None:
        self._alarm = None
        self._start_runs()

    def _take(self, kind: _Kind, queue: collections.deque[_Waiting]) -> list[_Waiting]:
        batch, rows = [], 0
        while queue and (not batch or rows + queue[0].rows <= self._parameters.max_batch_size):
            item = queue.popleft()
            self._waiting -= 1
            if not item.outputs.done():  # its caller may have given up
                batch.append(item)
                rows += item.rows
        if not queue:
            del self._kinds[kind]
        return batch

    async def _run(self, kind: _Kind, batch: Sequence[_Waiting]) -> None:
        self._metrics.batch_rows.observe(sum(item.rows for item in batch))
        try:
            # A caller may give up, but the version must stay loaded while a thread runs it.
            with kind.version.hold():
                results = await asyncio.get_running_loop().run_in_executor(
                    self._threads, _run_batch, kind.version, kind.signature, batch
                )
        except RuntimeError as error:  # the threads are shut down
            results = [unavailable(f"the server is shutting down ({error})")] * len(batch)
        finally:
            self._free += 1
        for item, result in zip(batch, results, strict=True):
            if item.outputs.done():
                continue
            if isinstance(result, Exception):
                item.outputs.set_exception(result)
            else:
                item.outputs.set_result(result)
        self._start_runs()

    def close(self) -> None:
        """Ends the threads after their current runs."""
        self._threads.shutdown(wait=True)


def _run_batch(
    version: Version, signature: str, batch: Sequence[_Waiting]
) -> list[dict[str, np.ndarray] | RequestError]:
    """Returns the outputs or the error of each request; a bad one does not affect the others."""
    if len(batch) > 1:
        try:
            merged = {
                name: np.concatenate([item.inputs[name] for item in batch])
                for name in batch[0].inputs
            }
            outputs = version.servable.run(signature, merged)
        # Each request then runs alone, and gets its own error.
        except Exception:
            outputs = {}
        ends = np.cumsum([item.rows for item in batch])
        if outputs and all(len(array) == ends[-1] for array in outputs.values()):
            return [
                {name: array[end - item.rows : end] for name, array in outputs.items()}
                for item, end in zip(batch, ends, strict=True)
            ]
    return [_run_one(version, signature, item) for item in batch]


def _run_one(
    version: Version, signature: str, item: _Waiting
) -> dict[str, np.ndarray] | RequestError:
    try:
        return version.servable.run(signature, item.inputs)
    except tf.errors.OpError as error:
        return from_tensorflow(error)
    # TensorFlow quotes the bytes that it rejects, and fails where they are not UTF-8.
    except UnicodeDecodeError:
        return invalid("The model rejects the request: it holds bytes that are not UTF-8 text.")
    # An unexpected error must reach its caller, and nobody else.
    except Exception as error:
        _log.exception("a run failed")
        return RequestError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
