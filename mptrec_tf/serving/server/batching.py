"""Merges requests that wait into one run.

A run begins as soon as a thread is free and takes everything of its kind that has waited, up to a
number of rows. So a lone caller never waits for others, and callers who come faster than the model
answers share its runs. `batch_timeout` holds a run back for more, as TF Serving's does.

Requests are of one kind if they ask the same signature of the same version, and their rows have
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

from mptrec_tf.serving.server.batching_parameters import BatchingParameters
from mptrec_tf.serving.server.measuring import Metrics
from mptrec_tf.serving.server.models import Version
from mptrec_tf.serving.server.request_error import RequestError, invalid, of_tensorflow, unavailable
from mptrec_tf.serving.server.signature import Signature

_log = logging.getLogger("mptrec-serve")


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What requests have in common that run together."""

    version: Version
    signature: str
    shapes: tuple[tuple[int, ...], ...]
    alone: object = None  # an object that no other request has


@dataclasses.dataclass
class _Waiting:
    inputs: Mapping[str, np.ndarray]
    rows: int
    since: float
    answer: asyncio.Future


class Batcher:
    """Runs requests in threads, merged where that is allowed.

    Args:
      parameters: How.
      metrics: Where runs are counted.
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
        answer = asyncio.get_running_loop().create_future()
        item = _Waiting(inputs, rows, time.monotonic(), answer)
        self._kinds.setdefault(kind, collections.deque()).append(item)
        self._waiting += 1
        self._start_runs()
        return await item.answer

    def _start_runs(self) -> None:
        while self._free and self._kinds:
            now = time.monotonic()
            due = {kind: self._due(kind, queue) for kind, queue in self._kinds.items()}
            kind = min(due, key=due.get)
            if due[kind] > now:
                if self._alarm is None:
                    loop = asyncio.get_running_loop()
                    self._alarm = loop.call_later(due[kind] - now, self._ring)
                return
            batch = self._take(kind, self._kinds[kind])
            if batch:
                self._free -= 1
                task = asyncio.get_running_loop().create_task(self._run(kind, batch))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _due(self, kind: _Kind, queue: collections.deque[_Waiting]) -> float:
        """When a run of this kind may begin."""
        since = queue[0].since
        if kind.alone or not self._parameters.batch_timeout:
            return since
        full = sum(item.rows for item in queue) >= self._parameters.max_batch_size
        return since if full else since + self._parameters.batch_timeout

    def _ring(self) -> None:
        self._alarm = None
        self._start_runs()

    def _take(self, kind: _Kind, queue: collections.deque[_Waiting]) -> list[_Waiting]:
        batch, rows = [], 0
        while queue and (not batch or rows + queue[0].rows <= self._parameters.max_batch_size):
            item = queue.popleft()
            self._waiting -= 1
            if not item.answer.done():  # its caller may have given up
                batch.append(item)
                rows += item.rows
        if not queue:
            del self._kinds[kind]
        return batch

    async def _run(self, kind: _Kind, batch: Sequence[_Waiting]) -> None:
        self._metrics.batch_rows.observe(sum(item.rows for item in batch))
        try:
            # A caller may give up, but the version must stay while a thread is in it.
            with kind.version.used():
                answers = await asyncio.get_running_loop().run_in_executor(
                    self._threads, _run_batch, kind.version, kind.signature, batch
                )
        except RuntimeError as error:  # the threads are shut down
            answers = [unavailable(f"the server is shutting down ({error})")] * len(batch)
        finally:
            self._free += 1
        for item, answer in zip(batch, answers, strict=True):
            if item.answer.done():
                continue
            if isinstance(answer, Exception):
                item.answer.set_exception(answer)
            else:
                item.answer.set_result(answer)
        self._start_runs()

    def close(self) -> None:
        """Ends the threads when what runs is done."""
        self._threads.shutdown(wait=True)


def _run_batch(
    version: Version, signature: str, batch: Sequence[_Waiting]
) -> list[dict[str, np.ndarray] | RequestError]:
    """What each request of a batch is answered; one that is bad spoils no other."""
    if len(batch) > 1:
        try:
            merged = {
                name: np.concatenate([item.inputs[name] for item in batch])
                for name in batch[0].inputs
            }
            outputs = version.servable.run(signature, merged)
        # Each is then asked alone, and hears of its own mistake.
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
        return of_tensorflow(error)
    # TensorFlow quotes the bytes that it does not like, and fails where they are no text.
    except UnicodeDecodeError:
        return invalid("The model rejects the request: it holds bytes that are no text.")
    # A thread's surprise must reach its caller, and nobody else.
    except Exception as error:
        _log.exception("a run failed")
        return RequestError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
