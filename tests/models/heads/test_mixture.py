"""Gate and tower on frozen experts, and with an expert of the task's own."""

import json

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.models.encoded import Encoded, HeadInputs, Layout
from mptrec_tf.models.heads.mixture import MixtureHead
from mptrec_tf.models.heads.mixture_shape import MixtureConfig
from mptrec_tf.models.heads.registry import HEADS, make_head
from mptrec_tf.models.weights import count_parameters, named_weights

KINDS = ("gate_tower", "own_expert")
D, H = 7, 4


def make(kind, shared=3):
    shape = HEADS.get(kind).make_shape(own_units=(5,), tower_units=(6, 3))
    head = make_head(shape, Layout(D, shared, specific=0, width=H, tasks=2, ids=0), "new")
    rng = np.random.default_rng(2)
    for weight in named_weights(head).values():
        weight.assign(rng.normal(size=weight.shape))
    return head


def make_inputs(rows=4, shared=3):
    rng = np.random.default_rng(rows)
    x, h = (rng.normal(size=s).astype(np.float32) for s in ((rows, D), (shared, rows, H)))
    return HeadInputs(Encoded(tf.constant(x), None, tf.constant(h), None), None, None, None)


@pytest.mark.parametrize("shared", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_equations(kind, shared, plain_network):
    head, inputs = make(kind, shared), make_inputs(shared=shared)
    outputs = head(inputs)
    w = {name: weight.numpy() for name, weight in named_weights(head).items()}
    assert ("gate/kernel" in w) == (kind == "own_expert" or shared > 1)
    for b, x in enumerate(inputs.encoded.x.numpy()):
        h = list(inputs.encoded.shared.numpy()[:, b])
        if kind == "own_expert":
            h.append(plain_network(w, "expert", 0, x))
        gate = np.ones(1)
        if len(h) > 1:
            gate = np.exp(x @ w["gate/kernel"]) / np.exp(x @ w["gate/kernel"]).sum()
        expected = plain_network(w, "tower", 0, gate @ np.array(h), linear_end=True)
        np.testing.assert_allclose(outputs.logits[b], expected, rtol=1e-3, atol=1e-3)
        if kind == "own_expert":
            np.testing.assert_allclose(outputs.report["gate"][b], gate[-1], rtol=1e-4)
    assert outputs.report.keys() == ({"gate"} if kind == "own_expert" else set())


def test_parameters_on_census_income():
    d, tower = 28 * 4 + 11, 128 * 64 + 64 + 64 * 32 + 32 + 32 + 1
    expert = d * 256 + 256 + 256 * 128 + 128
    for kind, shared, parameters in (
        ("gate_tower", 1, tower),  # on a frozen Shared-Bottom
        ("gate_tower", 3, tower + 3 * d),  # on a frozen MMoE of two tasks
        ("own_expert", 1, tower + 2 * d + expert),  # on a frozen PLE of two tasks
    ):
        layout = Layout(d, shared, specific=2, width=128, tasks=2, ids=28)
        head = make_head(HEADS.get(kind).make_shape(), layout, "education")
        assert count_parameters(head.trainable_weights) == parameters


@pytest.mark.parametrize("kind", KINDS)
def test_config_round_trip_and_rescaling(kind):
    head, inputs = make(kind), make_inputs()
    copy = MixtureHead.from_config(json.loads(json.dumps(head.get_config())))
    assert (copy.config, copy.layout) == (head.config, head.layout)
    copy.set_weights(head.get_weights())
    before = head(inputs).logits
    np.testing.assert_array_equal(copy(inputs).logits, before)
    head.rescale(2.0, 0.25)
    np.testing.assert_allclose(head(inputs).logits, 2 * before + 0.25, rtol=1e-5, atol=1e-5)


def test_l2_of_expert_and_tower():
    head = MixtureHead(MixtureConfig(True, (2,), (2,), l2_dense=0.5), make("own_expert").layout)
    head(make_inputs())
    squares = sum(np.square(k).sum() for k in (*head.expert.kernels, *head.tower.kernels))
    np.testing.assert_allclose(sum(head.losses), 0.25 * squares, rtol=1e-5)
