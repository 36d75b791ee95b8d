"""Sends thousands of malformed requests: each must get an error of the right kind, in time."""

import collections
import concurrent.futures
import json
import random
import time
from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from mptrec_tf.serving.testing.malformed import make_malformed
from mptrec_tf.serving.testing.mutation import Mutation, make_good_rows
from mptrec_tf.serving.testing.target import THREADS, Target

TOLERANCE = 1e-5
_HUNDRED = 100


class Result:
    """The responses to malformed requests.

    Attributes:
      problems: Responses that are not allowed, and good requests that failed.
      good: Number of good requests in between that succeeded.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.good = 0
        self._codes: dict[tuple[str, str], collections.Counter[str]] = {}
        self._longest: collections.Counter[tuple[str, str]] = collections.Counter()

    def add(
        self, mutation: Mutation, code: str, wrong: str | None, seconds: float, shown: str
    ) -> None:
        """Counts a response.

        Args:
          mutation: The kind of its request.
          code: Its status.
          wrong: What is wrong with its outputs; None if nothing is.
          seconds: How long it took.
          shown: The request, for messages.
        """
        key = mutation.name, mutation.protocol
        self._codes.setdefault(key, collections.Counter())[code] += 1
        self._longest[key] = max(self._longest[key], seconds)
        if code not in mutation.allowed:
            self.problems.append(f"{mutation.protocol}, {mutation.name}: {code} for {shown}")
        elif wrong:
            self.problems.append(f"{mutation.protocol}, {mutation.name}: {wrong} for {shown}")

    def make_table(self) -> list[dict[str, Any]]:
        """Returns a row for each kind of request."""
        return [
            {
                "protocol": protocol,
                "mutation": name,
                "requests": sum(codes.values()),
                "responses": ", ".join(f"{code} {n}" for code, n in codes.most_common()),
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
      expected: The right predictions for these.
      count: How many malformed requests.
      seed: Chooses them.
    """
    draw, result, target = random.Random(seed), Result(), Target(server)
    rows, encoded = make_good_rows(columns), read_encode_outputs(server)

    def send(number: int) -> None:
        mutation, sample, request = make_malformed(rows, seed, number)
        start = time.monotonic()
        code, outputs = target.send(mutation, request)
        seconds = time.monotonic() - start
        wrong = None
        if outputs is not None:
            of_sample = {task: values[sample.rows] for task, values in expected.items()}
            wrong = describe_wrong_outputs(outputs, of_sample, mutation.changed, encoded)
        result.add(mutation, code, wrong, seconds, f"number {number}: {request!r:.300}")

    numbers = list(range(count))
    draw.shuffle(numbers)
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        clients = [server.make_client(kind) for kind in ("gRPC", "REST")]
        for start in range(0, count, _HUNDRED):
            list(pool.map(send, numbers[start : start + _HUNDRED]))
            for client in clients:
                try:
                    predictions = client.predict(columns)
                    for task, values in expected.items():
                        np.testing.assert_allclose(predictions[task], values, rtol=TOLERANCE)
                    result.good += 1
                # Whatever the error is, the good request failed.
                except Exception as error:
                    result.problems.append(f"a good request after {start + _HUNDRED}: {error!r}")
            if server.process.poll() is not None:
                result.problems.append(f"the server ended: {server.log.read_text()[-2000:]}")
                break
        for client in clients:
            client.close()
    target.close()
    return result


def read_encode_outputs(server: Any) -> frozenset[str]:
    """Returns the names of the signature `encode`'s outputs, by the served model's metadata."""
    metadata = json.loads(server.get("/v1/models/m/metadata"))["metadata"]
    return frozenset(metadata["signature_def"]["signature_def"]["encode"]["outputs"])


def describe_wrong_outputs(
    outputs: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    changed: int | None,
    encoded: Set[str] = frozenset(),
) -> str | None:
    """Returns what is wrong with the outputs of a harmless request; None if nothing is.

    Args:
      outputs: The outputs.
      expected: The right probabilities for the good request.
      changed: How many rows may differ; None if all of them may, and if there may be more or fewer
        rows and fewer tasks.
      encoded: Names of the signature `encode`'s outputs: representations, not probabilities.
    """
    if not outputs or not all(np.isfinite(values).all() for values in outputs.values()):
        return f"no finite numbers ({', '.join(outputs)})"
    if len({len(values) for values in outputs.values()}) > 1:
        return "outputs of different length"
    if outputs.keys() == encoded:
        return None
    if not all(((v >= 0) & (v <= 1)).all() for v in outputs.values()):
        return "no probabilities"
    if not outputs.keys() <= expected.keys():
        return f"predictions of {', '.join(outputs)}"
    if changed is None:
        return None
    if outputs.keys() != expected.keys():
        return f"no predictions of {', '.join(expected.keys() - outputs.keys())}"
    differ = np.zeros(len(next(iter(expected.values()))), bool)
    for task, values in expected.items():
        if outputs[task].shape != values.shape:
            return f"{task} of shape {outputs[task].shape} instead of {values.shape}"
        differ |= ~np.isclose(outputs[task], values, rtol=TOLERANCE, atol=0)
    return f"{differ.sum()} rows differ" if differ.sum() > changed else None
