"""Malformed requests by number: the same for the same seed."""

import random

# Importing them registers their mutations.
from mptrec_tf.serving.testing import grpc_mutations, rest_mutations  # noqa: F401
from mptrec_tf.serving.testing.mutation import MUTATIONS, Call, Good, Http, Mutation, Raw

# A few kinds take long or much, and come less often than others.
_RARE = {
    "slow body": 0.1,
    "damaged chunks": 0.1,
    "oversized when unpacked": 0.3,
    "oversized": 0.3,
    "deep": 0.5,
}


def malformed(good: Good, seed: int, number: int) -> tuple[Mutation, Good, Call | Http | Raw]:
    """Makes a request: how, from which rows, and what it is; the same for the same numbers.

    Args:
      good: The rows to choose from.
      seed: Of all requests.
      number: Of this one.
    """
    own = random.Random(f"{seed} {number}")
    weights = [_RARE.get(mutation.name, 1.0) for mutation in MUTATIONS]
    [mutation] = own.choices(MUTATIONS, weights)
    drawn = good.drawn(own)
    return mutation, drawn, mutation.make(own, drawn)
