"""Workers and parameter servers: processes that a coordinator gives work to, until it ends."""

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence

import tensorflow as tf

from mptrec_tf.errors import InputError
from mptrec_tf.training.cluster import SERVER, WORKER, ServerCluster

_POLL_SECONDS = 1.0
# A coordinator that several attempts in a row do not reach is gone.
_ATTEMPTS = 5
_REMIND_SECONDS = 60.0
_LOGGERS = ("tensorflow", "absl")


def allow_failures() -> None:
    """Makes calls of a process that is gone fail at once, rather than wait for it.

    It has to be called before TensorFlow opens a connection.
    """
    os.environ.setdefault("GRPC_FAIL_FAST", "use_caller")


def note(sentence: str) -> None:
    """Prints what happened to the cluster."""
    print(f"note: {sentence}", file=sys.stderr, flush=True)


def answers(address: str) -> bool:
    """Whether something listens at host:port."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError, ValueError):
        socket.create_connection((host.strip("[]"), int(port)), timeout=_POLL_SECONDS).close()
        return True
    return False


def serve_until_the_end(cluster: ServerCluster, is_finished: Callable[[], bool]) -> str:
    """Runs a worker or a parameter server until the coordinator has ended.

    Args:
      cluster: The cluster, with this process's place.
      is_finished: Whether the results of the training are there.

    Returns:
      A sentence about the end.

    Raises:
      InputError: if the address is taken, or the coordinator ended without results.
    """
    if is_finished():
        return "the training has ended already."
    allow_failures()
    spec, config = tf.train.ClusterSpec(cluster.to_spec()), tf.compat.v1.ConfigProto()
    # With fewer threads than processes that ask at once, these may wait for one another for ever.
    config.inter_op_parallelism_threads = max(
        len(os.sched_getaffinity(0)), len(cluster.workers) + 1
    )
    try:
        server = tf.distribute.Server(
            spec, job_name=cluster.role, task_index=cluster.index, protocol="grpc", config=config
        )
    except tf.errors.OpError as error:
        address = cluster.to_spec()[cluster.role][cluster.index]
        raise InputError(
            f"{cluster.role} {cluster.index} cannot listen at {address}: {error.message}"
        ) from error
    _wait_for_end(cluster.chief, is_finished)
    del server
    if not is_finished():
        raise InputError(
            f"the coordinator at {cluster.chief} ended before the training did; start all "
            "processes again with the same flags, and the training goes on after the last epoch."
        )
    return "the training has ended."


def _wait_for_end(chief: str, is_finished: Callable[[], bool]) -> None:
    """Returns after the coordinator was there and is gone."""
    seen, missed, last = False, 0, time.monotonic()
    while missed < _ATTEMPTS:
        if answers(chief):
            seen, missed = True, 0
        elif seen or is_finished():
            missed += 1
        elif time.monotonic() - last > _REMIND_SECONDS:
            last = time.monotonic()
            note(f"waiting for the coordinator at {chief}.")
        time.sleep(_POLL_SECONDS)


def wait_until_all_answer(cluster: ServerCluster) -> None:
    """Waits until every worker and parameter server listens, and says for which it waits."""
    processes = {f"{SERVER} {i}": address for i, address in enumerate(cluster.servers)}
    processes |= {f"{WORKER} {i}": address for i, address in enumerate(cluster.workers)}
    last = time.monotonic()
    while True:
        missing = [f"{name} at {at}" for name, at in processes.items() if not answers(at)]
        if not missing:
            return
        if time.monotonic() - last > _REMIND_SECONDS:
            last = time.monotonic()
            note(f"waiting for {', '.join(missing)}.")
        time.sleep(_POLL_SECONDS)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a message is not TensorFlow's own, with a traceback, of what is said here."""
    return record.filename != "cluster_coordinator.py"


class WatchWorkers:
    """Says which workers end and come back, while a block runs.

    Args:
      addresses: host:port of each worker.
    """

    def __init__(self, addresses: Sequence[str]):
        self._addresses = addresses
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "WatchWorkers":
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(_is_news)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(_is_news)

    def _watch(self) -> None:
        there = [True] * len(self._addresses)
        while not self._end.wait(_POLL_SECONDS):
            for i, address in enumerate(self._addresses):
                before, there[i] = there[i], answers(address)
                if before and not there[i]:
                    left = sum(there)
                    note(
                        f"{WORKER} {i} at {address} ended or does not answer; "
                        + (
                            f"its files go to the others; {left} of {len(there)} answer."
                            if left
                            else "the training waits until a worker is started again."
                        )
                    )
                elif there[i] and not before:
                    note(f"{WORKER} {i} at {address} is back, and gets files again.")
