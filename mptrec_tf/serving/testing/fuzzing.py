"""Malformed requests by the thousand: each gets an error of the right kind, in time."""

import collections
import concurrent.futures
import json
import random
import time
from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from mptrec_tf.serving.testing.malformed import malformed
from mptrec_tf.serving.testing.mutation import Mutation, good_rows
from mptrec_tf.serving.testing.target import THREADS, Target

TOLERANCE = 1e-5
_HUNDRED = 100


class Result:
    """What was answered.

    Attributes:
      problems: Responses that are none of the allowed ones, and good requests that failed.
      good: Number of good requests that were answered in between.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.good = 0
        self._codes: dict[tuple[str, str], collections.Counter[str]] = {}
        self._longest: collections.Counter[tuple[str, str]] = collections.Counter()

    def add(
        self, mutation: Mutation, code: str, wrong: str | None, seconds: float, shown: str
    ) -> None:
        """Counts an answer.

        Args:
          mutation: What it answers.
          code: Its status.
          wrong: What is wrong with its outputs; None if nothing is.
          seconds: How long it took.
          shown: The request.
        """
        key = mutation.name, mutation.protocol
        self._codes.setdefault(key, collections.Counter())[code] += 1
        self._longest[key] = max(self._longest[key], seconds)
        if code not in mutation.allowed:
            self.problems.append(f"{mutation.protocol}, {mutation.name}: {code} for {shown}")
        elif wrong:
            self.problems.append(f"{mutation.protocol}, {mutation.name}: {wrong} for {shown}")

    def table(self) -> list[dict[str, Any]]:
        """A row for each kind of request."""
        return [
            {
                "protocol": protocol,
                "mutation": name,
                "requests": sum(codes.values()),
                "answers": ", ".join(f"{code} {n}" for code, n in codes.most_common()),
                "longest_s": round(self._longest[name, protocol], 2),
            }
            for (name, protocol), codes in sorted(self._codes.items())
        ]


def fuzz(
    server: Any,
    columns: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    count: int,
    seed: int,
) -> Result:
    """Sends malformed requests, several at a time, and good ones after each hundred.

    Args:
      server: A `LocalServer` whose limit of a request's size is `MAX_BYTES`.
      columns: Raw columns of good rows.
      expected: What is due for these.
      count: How many malformed requests.
      seed: Chooses them.
    """
    draw, result, target = random.Random(seed), Result(), Target(server)
    rows, encoded = good_rows(columns), encode_outputs(server)

    def send(number: int) -> None:
        mutation, drawn, request = malformed(rows, seed, number)
        start = time.monotonic()
        code, outputs = target.send(mutation, request)
        seconds = time.monotonic() - start
        wrong = None
        if outputs is not None:
            due = {task: values[drawn.rows] for task, values in expected.items()}
            wrong = wrong_outputs(outputs, due, mutation.changed, encoded)
        result.add(mutation, code, wrong, seconds, f"number {number}: {request!r:.300}")

    numbers = list(range(count))
    draw.shuffle(numbers)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        clients = [server.client(kind) for kind in ("gRPC", "REST")]
        for start in range(0, count, _HUNDRED):
            list(pool.map(send, numbers[start : start + _HUNDRED]))
            for client in clients:
                try:
                    answer = client.predict(columns)
                    for task, values in expected.items():
                        np.testing.assert_allclose(answer[task], values, rtol=TOLERANCE)
                    result.good += 1
                # Whatever it is, the good request was not answered.
                except Exception as error:
                    result.problems.append(f"a good request after {start + _HUNDRED}: {error!r}")
            if server.process.poll() is not None:
                result.problems.append(f"the server ended: {server.log.read_text()[-2000:]}")
                break
        for client in clients:
            client.close()
    target.close()
    return result


def encode_outputs(server: Any) -> frozenset[str]:
    """Names of what the signature `encode` returns, as the served model says."""
    metadata = json.loads(server.get("/v1/models/m/metadata"))["metadata"]
    return frozenset(metadata["signature_def"]["signature_def"]["encode"]["outputs"])


def wrong_outputs(
    outputs: Mapping[str, np.ndarray],
    due: Mapping[str, np.ndarray],
    changed: int | None,
    encoded: Set[str] = frozenset(),
) -> str | None:
    """Says what is wrong with the answer to a harmless request; None if nothing is.

    Args:
      outputs: The answer.
      due: Probabilities that are due for the good request.
      changed: How many rows may have others; None if all of them, and if there may be more or fewer
        rows and fewer tasks.
      encoded: What the signature `encode` returns: representations, which are no probabilities.
    """
    if not outputs or not all(np.isfinite(values).all() for values in outputs.values()):
        return f"no finite numbers ({', '.join(outputs)})"
    if len({len(values) for values in outputs.values()}) > 1:
        return "outputs of different length"
    if outputs.keys() == encoded:
        return None
    if not all(((v >= 0) & (v <= 1)).all() for v in outputs.values()):
        return "no probabilities"
    if not outputs.keys() <= due.keys():
        return f"answers of {', '.join(outputs)}"
    if changed is None:
        return None
    if outputs.keys() != due.keys():
        return f"no answers of {', '.join(due.keys() - outputs.keys())}"
    other = np.zeros(len(next(iter(due.values()))), bool)
    for task, values in due.items():
        if outputs[task].shape != values.shape:
            return f"{task} of shape {outputs[task].shape} instead of {values.shape}"
        other |= ~np.isclose(outputs[task], values, rtol=TOLERANCE, atol=0)
    return f"{other.sum()} rows are answered as others" if other.sum() > changed else None
