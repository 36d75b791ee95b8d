"""Pieces of numbers against NumPy, and by hand."""

import numpy as np
import tensorflow as tf

from mptrec_tf.layers.piecewise import Pieces


def test_pieces(check_layer):
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 6, [9, 3]).astype(np.float32)
    positions[::3, 1] = 0
    output = check_layer(Pieces((5, 2, 4), name="piecewise"), positions)
    for row, of in zip(output, positions, strict=True):
        parts = np.split(row, [5, 7, 11])
        for size, position, pieces in zip((5, 2, 4), of, parts, strict=False):
            np.testing.assert_allclose(pieces, np.clip(position - 1 - np.arange(size), 0, 1))
        np.testing.assert_allclose(parts[3], np.maximum(1 - of, 0))


def test_a_linear_layer_bends_at_the_knots():
    # Knots 0, 10, 30 at positions 1, 2, 3; slopes 0.5 and -0.2, and 7 where the number is missing.
    pieces = Pieces((2,))(tf.constant([[1.0], [1.5], [2.0], [2.5], [3.0], [0.0]])).numpy()
    values = pieces @ np.array([10 * 0.5, 20 * -0.2, 7])
    assert values.tolist() == [0, 2.5, 5, 3, 1, 7]
