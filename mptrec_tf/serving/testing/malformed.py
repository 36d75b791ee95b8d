"""Makes malformed requests by number: the same for the same seed."""

import random

# Importing them registers their mutations.
from mptrec_tf.serving.testing import grpc_mutations, rest_mutations  # noqa: F401
from mptrec_tf.serving.testing.mutation import MUTATIONS, Call, Good, Http, Mutation, Raw

# A few kinds take much time or memory, and come less often than others.
_RARE = {
    "slow body": 0.1,
    "damaged chunks": 0.1,
    "oversized when unpacked": 0.3,
    "oversized": 0.3,
    "deep": 0.5,
}


def make_malformed(good: Good, seed: int, number: int) -> tuple[Mutation, Good, Call | Http | Raw]:
    """Returns a mutation, the rows that it was applied to, and the malformed request.

    Args:
      good: The rows to choose from.
      seed: The seed of all requests.
      number: This request's number.
    """
    own = random.Random(f"{seed} {number}")
    weights = [_RARE.get(mutation.name, 1.0) for mutation in MUTATIONS]
    [mutation] = own.choices(MUTATIONS, weights)
    sample = good.sample(own)
    return mutation, sample, mutation.make(own, sample)
