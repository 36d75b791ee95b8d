"""Kinds of malformed requests: what they are made from, and which responses are allowed.

A mutation is a function that makes a request from a good one; its decorator lists the allowed
statuses, and how many rows of the prediction may differ from those of the good request.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

MAX_BYTES = 1 << 20  # the server's --max_request_bytes
WRONG = ("INVALID_ARGUMENT",)
NAMED = ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION")
HARMLESS = ("OK", *NAMED)
PREDICT = "/tensorflow.serving.PredictionService/Predict"
CLOSED = "closed"  # a connection, without a response: only for what is not HTTP


class Good(NamedTuple):
    """The rows that requests are made from: raw columns, tf.Examples, and the rows' numbers."""

    columns: Mapping[str, Sequence[Any]]
    examples: Sequence[bytes]
    rows: Sequence[int] = ()

    def sample(self, draw: random.Random) -> "Good":
        """Returns some of the rows."""
        count = draw.randint(1, 8)
        chosen = [draw.randrange(len(self.examples)) for _ in range(count)]
        columns = {name: [v[i] for i in chosen] for name, v in self.columns.items()}
        return Good(columns, [self.examples[i] for i in chosen], chosen)

    def texts(self) -> list[str]:
        """Returns the names of the text columns."""
        return [name for name, values in self.columns.items() if isinstance(values[0], str)]

    def numbers(self) -> list[str]:
        """Returns the names of the number columns."""
        return [name for name, values in self.columns.items() if not isinstance(values[0], str)]


class Mutation(NamedTuple):
    """A kind of malformed request.

    Attributes:
      name: What is done to it.
      protocol: "gRPC" or "REST".
      make: Makes one.
      allowed: Statuses that its response may have.
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
    """Raw bytes on a connection; the sender waits for a response, or hangs up."""

    parts: Sequence[bytes]
    waits: bool = True


class Call(NamedTuple):
    """A gRPC request."""

    body: bytes
    method: str = PREDICT


MUTATIONS: list[Mutation] = []


def mutation(protocol: str, *allowed: str, changed: int | None = None):
    """Registers a function, whose name describes the mutation, as a kind of malformed request.

    Args:
      protocol: "gRPC" or "REST".
      *allowed: Statuses that its response may have.
      changed: How many rows it may change; None where that is not known.
    """

    def register(make):
        name = make.__name__.removeprefix("_").removesuffix("_rest").replace("_", " ")
        MUTATIONS.append(Mutation(name, protocol, make, allowed, changed))
        return make

    return register


def make_good_rows(columns: Mapping[str, np.ndarray]) -> Good:
    """Returns plain values of raw columns, and the same rows as tf.Examples."""
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


def pick_odd_name(draw: random.Random) -> str:
    """Returns a name that does not exist in the model."""
    return draw.choice(["colour", "", "\0", "hour ", "x" * 5000, "\N{GRINNING FACE}" * 3000])


def pick_odd_text(draw: random.Random) -> bytes:
    """Returns an odd value that a server has to accept."""
    return draw.choice([b"x" * 500_000, b"\0" * 9, b"\xff\xfe", b"\xc3(", draw.randbytes(99)])
