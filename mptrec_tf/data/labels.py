"""Reads weights from raw columns; for labels see `tasks.base`."""

import numpy as np

from mptrec_tf.data.sources.block import Block
from mptrec_tf.errors import InputError


def make_weights(name: str, block: Block) -> np.ndarray:
    """Returns the weights [n] of n rows.

    Raises:
      InputError: for a weight that is negative or not a number, with its place.
    """
    values = block.numbers(name)
    bad = np.flatnonzero(values < 0)
    if bad.size:
        raise InputError(
            f"{block.where(bad[0])}, column {name!r}: the weight {values[bad[0]]:g} is negative; "
            "it must be 0 or more."
        )
    return values
