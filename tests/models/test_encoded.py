"""How what a model makes of rows is put side by side, and taken apart."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.models.encoded import Encoded, Layout

D, H, K = 4, 3, 2
COUNTS = pytest.mark.parametrize(
    ("shared", "specific"), [(s, t) for s in (0, 1, 2) for t in (0, 1, 3)]
)
IDS = pytest.mark.parametrize("ids", [0, 3])


def make_values(layout, rows):
    """What a model may make of rows, and its logits."""
    rng = np.random.default_rng(rows)
    x, shared, specific, logits = (
        tf.constant(rng.normal(size=size).astype(np.float32))
        for size in (
            (rows, layout.input_width),
            (layout.shared, rows, layout.width),
            (layout.specific, rows, layout.width),
            (layout.tasks, rows),
        )
    )
    ids = tf.constant(rng.integers(0, 9, (rows, layout.ids)))
    return Encoded(x, ids, shared, specific), logits


@COUNTS
@IDS
@pytest.mark.parametrize("rows", [1, 5])
def test_parts_stand_side_by_side_and_come_back_bit_for_bit(shared, specific, ids, rows):
    layout = Layout(D, shared, specific, H, K, ids)
    encoded, logits = make_values(layout, rows)
    packed = layout.pack(encoded, logits)
    assert packed.shape == (rows, sum(layout.sizes)) == (rows, D + (shared + specific) * H + K)
    for b in range(rows):
        parts = [encoded.x[b]]
        parts += [encoded.shared[s, b] for s in range(shared)]
        parts += [encoded.specific[t, b] for t in range(specific)]
        parts += [logits[:, b]]
        np.testing.assert_array_equal(packed[b], np.concatenate(parts))
    again, logits_again = layout.unpack(packed, encoded.ids)
    for one, other in zip((*again, logits_again), (*encoded, logits), strict=True):
        assert one.shape == other.shape
        np.testing.assert_array_equal(one, other)


@COUNTS
def test_shapes_are_known_in_a_graph_but_for_the_number_of_rows(shared, specific):
    layout = Layout(D, shared, specific, H, K, ids=3)
    actual = {}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, sum(layout.sizes)]),
            tf.TensorSpec([None, 3], tf.int64),
        ]
    )
    def there_and_back(packed, ids):
        encoded, logits = layout.unpack(packed, ids)
        actual.update(encoded._asdict(), logits=logits)
        return layout.pack(encoded, logits)

    packed = tf.reshape(tf.range(2.0 * sum(layout.sizes)), [2, -1])
    np.testing.assert_array_equal(there_and_back(packed, tf.zeros([2, 3], tf.int64)), packed)
    assert {name: value.shape.as_list() for name, value in actual.items()} == {
        "x": [None, D],
        "ids": [None, 3],
        "shared": [shared, None, H],
        "specific": [specific, None, H],
        "logits": [K, None],
    }


@COUNTS
def test_moments_are_taken_apart_like_rows(shared, specific):
    layout = Layout(D, shared, specific, H, K, ids=0)
    values = np.arange(sum(layout.sizes), dtype=np.float64)
    moments = layout.moments(values)
    assert moments.x.shape == (D,)
    assert moments.shared.shape == (shared, H)
    assert moments.specific.shape == (specific, H)
    assert moments.logits.shape == (K,)
    expected = iter(values)
    for value in moments.x:
        assert value == next(expected)
    for part in (*moments.shared, *moments.specific):
        for value in part:
            assert value == next(expected)
    for value in moments.logits:
        assert value == next(expected)
    assert next(expected, None) is None


@pytest.mark.parametrize(
    ("layout", "sizes", "row_bytes"),
    [
        (Layout(4, 1, 3, 3, 2, 3), [4, 3, 9, 2], 4 * 18 + 8 * 3),
        (Layout(4, 0, 3, 3, 2, 0), [4, 0, 9, 2], 4 * 15),
        (Layout(4, 2, 0, 3, 2, 1), [4, 6, 0, 2], 4 * 12 + 8),
        (Layout(4, 0, 0, 3, 2, 0), [4, 0, 0, 2], 4 * 6),
        # Census-Income: 28 features of width 4 and 11 numbers, two tasks.
        (Layout(123, 1, 2, 128, 2, 28), [123, 128, 256, 2], 4 * 509 + 8 * 28),
    ],
)
def test_sizes_and_bytes_by_hand(layout, sizes, row_bytes):
    assert layout.sizes == sizes
    assert layout.row_bytes == row_bytes
