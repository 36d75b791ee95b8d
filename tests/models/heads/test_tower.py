import json

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.models.encoded import HeadInputs, Layout, Standardized
from mptrec_tf.models.heads.tower import TowerHead
from mptrec_tf.models.heads.tower_shape import TowerConfig

INPUTS = HeadInputs(
    *[None] * 3,
    Standardized(tf.constant([[1.0, 2.0]]), tf.constant([[3.0]]), tf.constant([[-1.0]]), None),
)


def make(shared, **config):
    layout = Layout(2, shared=shared, specific=1, width=1, tasks=1, ids=0)
    return TowerHead(TowerConfig(**{"tower_units": (2,), **config}), layout)


def set_by_hand(head):
    """relu(x_1 - h), relu(x_2 + h - 1); the first twice, less the second, and 1/2."""
    first, last = head.tower.kernels
    first.assign([[[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]]])
    last.assign([[[2.0], [-1.0]]])
    head.tower.biases[0].assign([[[0.0, -1.0]]])
    head.tower.biases[1].assign([[[0.5]]])
    return head


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        (1, 0.5 - 4),  # relu(1 - 3) = 0, relu(2 + 3 - 1) = 4
        (0, 0.5 + 4),  # no shared representations, so h = -1: relu(1 + 1) = 2, relu(2 - 1 - 1) = 0
    ],
)
def test_logit_by_hand(shared, expected):
    head = set_by_hand(make(shared))
    outputs = head(INPUTS)
    np.testing.assert_allclose(outputs.logits, [expected])
    assert outputs.report == {}
    head.rescale(2.0, 0.25)
    np.testing.assert_allclose(head(INPUTS).logits, [2 * expected + 0.25])


def test_config_round_trip():
    head = set_by_hand(make(1, l2_dense=0.25))
    copy = TowerHead.from_config(json.loads(json.dumps(head.get_config())))
    assert (copy.config, copy.layout) == (head.config, head.layout)
    copy.set_weights(head.get_weights())
    np.testing.assert_array_equal(copy(INPUTS).logits, head(INPUTS).logits)


def test_l2_of_the_tower_alone():
    head = set_by_hand(make(1, l2_dense=0.5))
    head(INPUTS)
    # Kernels: 1 + 1 + 1 + 1 and 4 + 1; half of the sum of squares, weighed by one half.
    np.testing.assert_allclose(sum(head.losses), 0.25 * 9)
