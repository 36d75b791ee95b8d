"""Labels that are numbers, as raw values write them."""

import math

import numpy as np


def read_number(value: str) -> float:
    """Returns a number as a float32 holds it; NaN for text and infinite numbers.

    Example:
      >>> read_number("12.5"), read_number("1_000"), read_number("inf")
      (12.5, nan, nan)
    """
    try:
        number = float(value)
    except ValueError:
        return math.nan
    # Python reads 1_000 as a number; no file means one by it.
    fits = abs(number) < np.finfo(np.float32).max and "_" not in value
    return float(np.float32(number)) if fits else math.nan
