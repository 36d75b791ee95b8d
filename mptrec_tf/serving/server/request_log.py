"""Logs a share of the requests, as TF Serving logs them: TFRecords of PredictionLogs.

A request is drawn at random, put on a queue and written by a thread of its own, so that no response
waits for a disk. A file appears under its name when it is complete; until then its name ends in
`.incomplete-...`. What cannot be written (a full disk, or requests faster than it) is lost and said
in the server's log, once for each file; requests are served on.
"""

import contextlib
import dataclasses
import logging
import os
import queue
import random
import socket
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, prediction_log_pb2

from mptrec_tf.serving.server import tensors
from mptrec_tf.serving.server.options import RequestLogOptions
from mptrec_tf.storage.file_systems import explain_failure
from mptrec_tf.storage.staging import remove_all_leftovers, staging_file

_log = logging.getLogger("mptrec-serve")
_END = None
_TEXT_BYTES = 48  # that a text takes beside its own, which are measured by the first of a column
_Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Request:
    spec: model_pb2.ModelSpec
    inputs: _Arrays
    outputs: _Arrays
    output_filter: tuple[str, ...]
    seconds: float

    def measure(self) -> int:
        """Returns about how many bytes of memory it takes."""
        return sum(
            array.size * (_TEXT_BYTES + len(array.flat[0]))
            if array.dtype == object and array.size
            else array.nbytes
            for array in (*self.inputs.values(), *self.outputs.values())
        )


class RequestLogger:
    """Writes a share of the requests to files.

    Args:
      options: Where, and how many.

    Attributes:
      lost: int. Requests that could not be written.

    Raises:
      InputError: if the directory cannot be written.
    """

    def __init__(self, options: RequestLogOptions):
        self._options = options
        self._random = random.Random()
        self._queue: queue.Queue = queue.Queue(options.most_waiting)
        self.lost = 0
        self._waiting, self._lock = 0, threading.Lock()
        self._number = 0
        self._ended = False
        self._prefix = f"requests-{socket.gethostname()}-{os.getpid()}"
        with explain_failure(f"cannot write {options.directory} (--log_requests)"):
            os.makedirs(options.directory, exist_ok=True)
            remove_all_leftovers(options.directory)
            with staging_file(os.path.join(options.directory, self._prefix)) as (_, descriptor):
                os.close(descriptor)
        self._thread = threading.Thread(target=self._write_all, name="log-requests", daemon=True)
        self._thread.start()

    def log(
        self,
        spec: model_pb2.ModelSpec,
        inputs: _Arrays,
        outputs: _Arrays,
        output_filter: Sequence[str] = (),
    ) -> None:
        """Logs a request that was answered, if it is drawn; returns at once.

        Args:
          spec: The model, version and signature that answered.
          inputs: All inputs.
          outputs: The outputs that were returned.
          output_filter: The outputs that were asked for; empty for all.
        """
        if self._random.random() >= self._options.share:
            return
        request = _Request(spec, inputs, outputs, tuple(output_filter), time.time())
        size = request.measure()
        with self._lock:
            fits = self._waiting + size <= self._options.most_waiting_bytes
            self._waiting += size if fits else 0
        if not fits:
            self.lost += 1
            return
        try:
            self._queue.put_nowait(request)
        except queue.Full:
            self._release(size)
            self.lost += 1

    def _release(self, size: int) -> None:
        with self._lock:
            self._waiting -= size

    def close(self) -> None:
        """Writes what waits, and ends.

        A disk that does not respond holds a server up for `closing_seconds` at most; what waits
        then is lost.
        """
        end = time.monotonic() + self._options.closing_seconds
        with contextlib.suppress(queue.Full):
            self._queue.put(_END, timeout=self._options.closing_seconds)
        self._thread.join(max(0.0, end - time.monotonic()))
        if self._thread.is_alive():
            _log.error(
                "%s did not respond within %g s; about %d requests that waited are not logged",
                self._options.directory,
                self._options.closing_seconds,
                self._queue.qsize(),
            )

    def _write_all(self) -> None:
        while not self._ended:
            request = self._take()
            if request is None:
                return
            before = self.lost
            try:
                self._write_file(request)
            # A disk may be full for a while; the server must not notice. Nothing else may end this
            # thread either: requests would be lost from then on, and nobody would know.
            except Exception as error:
                _log.error("requests are not logged for now: %s", _one_line(error))
                self._drop(self._options.seconds)
            if self.lost > before:
                _log.warning("%d requests were not logged in all", self.lost)

    def _take(self, seconds: float | None = None) -> _Request | None:
        """Returns the next request; None at the end, and if none comes for so many seconds."""
        with contextlib.suppress(queue.Empty):
            request = self._queue.get(timeout=seconds)
            self._ended = request is _END
            if request is not _END:
                self._release(request.measure())
            return request
        return None

    def _drop(self, seconds: float) -> None:
        """Takes requests off the queue for a while, or up to the end."""
        end = time.monotonic() + seconds
        while not self._ended and (left := end - time.monotonic()) > 0:
            self.lost += self._take(left) is not None

    def _write_file(self, request: _Request) -> None:
        """Writes a file that begins with a request."""
        options = self._options
        self._number += 1
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(request.seconds))
        name = f"{self._prefix}-{stamp}-{self._number:06d}.tfrecord"
        target = os.path.join(options.directory, name)
        end, size, count = time.monotonic() + options.seconds, 0, 0
        next_: _Request | None = request
        try:
            with staging_file(target) as (staging, descriptor):
                os.close(descriptor)
                with tf.io.TFRecordWriter(staging) as writer:
                    while next_ is not None:
                        count += 1
                        record = _make_record(next_, options.share)
                        writer.write(record)
                        size, left = size + len(record), end - time.monotonic()
                        next_ = self._take(left) if size < options.most_bytes and left > 0 else None
                os.replace(staging, target)
        except Exception:
            self.lost += max(1, count)
            raise


def _make_record(request: _Request, share: float) -> bytes:
    log = prediction_log_pb2.PredictionLog()
    log.log_metadata.model_spec.CopyFrom(request.spec)
    log.log_metadata.sampling_config.sampling_rate = share
    log.log_metadata.timestamp_secs = int(request.seconds)
    log.predict_log.request.model_spec.CopyFrom(request.spec)
    log.predict_log.request.output_filter.extend(request.output_filter)
    for name, array in request.inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tensors.to_proto(array))
    log.predict_log.response.model_spec.CopyFrom(request.spec)
    for name, array in request.outputs.items():
        log.predict_log.response.outputs[name].CopyFrom(tensors.to_proto(array))
    return log.SerializeToString()


def _one_line(error: Exception) -> str:
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    return " ".join(text.split())[:300] or type(error).__name__
