"""Numbers as text in canonical form."""

import numpy as np

from mptrec_tf.data import canonical


def format_numbers(values: np.ndarray) -> np.ndarray:
    """Returns numbers [n] as their shortest text in canonical form, [n] object array of str.

    `canonical_graph.format_numbers` gives the same for float32.
    """
    if values.dtype.kind != "f":
        return values.astype(str).astype(object)
    text = values.astype(np.float64).astype(str).astype(object)
    if values.dtype == np.float32:
        inexact = np.ones(len(values), bool)
        for digits in (6, 7, 8, 9):
            rows = np.flatnonzero(inexact)
            text[rows] = [f"{value:.{digits}g}" for value in values[rows].tolist()]
            inexact[rows] = text[rows].astype(np.float32) != values[rows]
    with np.errstate(invalid="ignore"):
        whole = (values == np.floor(values)) & (np.abs(values) < canonical.LARGEST)
    text[whole] = values[whole].astype(np.int64).astype(str)
    return text


def format_mixed(values: np.ndarray) -> np.ndarray:
    """Returns values [n], each text or a number of a tf.Example, as text."""
    text = values.copy()
    for row, value in enumerate(values):
        if isinstance(value, float):
            text[row] = format_numbers(np.array([value], np.float32))[0]
        elif not isinstance(value, str):
            text[row] = str(value)
    return text
