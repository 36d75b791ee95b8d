"""Kinds of malformed requests: what they are made from, what they are, and what they may get.

A mutation is a function that makes a request from a good one; its decorator says what status it may
get, and how many rows of the prediction may be others than those of the good request.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

MAX_BYTES = 1 << 20  # what the server should be told to take (--max_request_bytes)
WRONG = ("INVALID_ARGUMENT",)
NAMED = ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION")
HARMLESS = ("OK", *NAMED)
PREDICT = "/tensorflow.serving.PredictionService/Predict"
CLOSED = "closed"  # a connection, without a response: only for what is no HTTP


class Good(NamedTuple):
    """What requests are mutated from: raw columns, the same as tf.Examples, and which rows."""

    columns: Mapping[str, Sequence[Any]]
    examples: Sequence[bytes]
    rows: Sequence[int] = ()

    def drawn(self, draw: random.Random) -> "Good":
        """Some of the rows."""
        count = draw.randint(1, 8)
        chosen = [draw.randrange(len(self.examples)) for _ in range(count)]
        columns = {name: [v[i] for i in chosen] for name, v in self.columns.items()}
        return Good(columns, [self.examples[i] for i in chosen], chosen)

    def texts(self) -> list[str]:
        """Names of the columns of text."""
        return [name for name, values in self.columns.items() if isinstance(values[0], str)]

    def numbers(self) -> list[str]:
        """Names of the columns of numbers."""
        return [name for name, values in self.columns.items() if not isinstance(values[0], str)]


class Mutation(NamedTuple):
    """A kind of malformed request.

    Attributes:
      name: What is done to it.
      protocol: "gRPC" or "REST".
      make: Makes one.
      allowed: Statuses that it may be answered with.
      changed: How many rows it may change; None where that is not known.
    """

    name: str
    protocol: str
    make: Callable[[random.Random, Good], Any]
    allowed: tuple[str, ...]
    changed: int | None


class Http(NamedTuple):
    """An HTTP request."""

    body: bytes
    path: str = "/v1/models/m:predict"
    method: str = "POST"
    headers: Mapping[str, str] = {}


class Raw(NamedTuple):
    """Bytes that a client of its own kind sends; it waits for the answer, or only for a while."""

    parts: Sequence[bytes]
    waits: bool = True


class Call(NamedTuple):
    """A gRPC request."""

    body: bytes
    method: str = PREDICT


MUTATIONS: list[Mutation] = []


def mutation(protocol: str, *allowed: str, changed: int | None = None):
    """Registers a function as a kind of malformed request; its name says what is done to it.

    Args:
      protocol: "gRPC" or "REST".
      *allowed: Statuses that it may get.
      changed: How many rows it may change; None where that is not known.
    """

    def register(make):
        name = make.__name__.removeprefix("_").removesuffix("_rest").replace("_", " ")
        MUTATIONS.append(Mutation(name, protocol, make, allowed, changed))
        return make

    return register


def good_rows(columns: Mapping[str, np.ndarray]) -> Good:
    """Plain values of raw columns, and the same rows as tf.Examples."""
    plain = {
        name: values.tolist() if values.dtype.kind in "fiu" else values.astype(str).tolist()
        for name, values in columns.items()
    }
    examples = []
    for row in zip(*plain.values(), strict=True):
        example = tf.train.Example()
        for name, value in zip(plain, row, strict=True):
            feature = example.features.feature[name]
            if isinstance(value, str):
                feature.bytes_list.value.append(value.encode())
            else:
                feature.float_list.value.append(value)
        examples.append(example.SerializeToString(deterministic=True))
    return Good(plain, examples)


def odd_name(draw: random.Random) -> str:
    """A name that nothing has."""
    return draw.choice(["colour", "", "\0", "hour ", "x" * 5000, "\N{GRINNING FACE}" * 3000])


def odd_text(draw: random.Random) -> bytes:
    """A value that no row should have, and that a server has to take."""
    return draw.choice([b"x" * 500_000, b"\0" * 9, b"\xff\xfe", b"\xc3(", draw.randbytes(99)])
