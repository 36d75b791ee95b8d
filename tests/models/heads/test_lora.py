"""Low-rank changes of the frozen experts."""

import json

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.layers.banks import ExpertBank
from mptrec_tf.layers.low_rank import LowRankExperts
from mptrec_tf.models.encoded import Layout
from mptrec_tf.models.heads.lora import LoRAHead
from mptrec_tf.models.heads.lora_shape import LoRAConfig
from mptrec_tf.models.heads.registry import HEADS, make_head
from mptrec_tf.models.heads.residual_shape import ResidualConfig
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.weights import count_parameters, named_weights

FITTING = [name for name, kind in MODELS.all().items() if "experts" in kind.offers]


def make(layout, rank=2):
    head = make_head(LoRAConfig(rank, tower_units=(6, 3)), layout, "new")
    rng = np.random.default_rng(2)
    for weight in named_weights(head).values():
        weight.assign(rng.normal(size=weight.shape))
    return head


def changed_network(w, old, layers, e, x):
    """The first expert's layers of a model, changed, on one row."""
    for i in range(layers):
        kernel = old[f"kernel_{i}"][e] + w[f"experts/down_{i}"][e] @ w[f"experts/up_{i}"][e]
        x = np.maximum(x @ kernel + old[f"bias_{i}"][e, 0], 0)
    return x


@pytest.mark.parametrize("kind", FITTING)
def test_equals_the_equations(backbone, batch, kind, plain_network):
    model = backbone(kind=kind)
    head = make(model.layout)
    inputs = model.head_inputs(model.encode(batch()))
    logits = head(inputs).logits
    w = {name: weight.numpy() for name, weight in named_weights(head).items()}
    name = "experts_0/" if kind == "ple" else "experts/"
    old = {k.removeprefix(name): v.numpy() for k, v in model.named_weights().items()}
    for b, x in enumerate(inputs.encoded.x.numpy()):
        h = [changed_network(w, old, 2, e, x) for e in range(model.layout.experts)]
        scores = x @ w["gate/kernel"] if len(h) > 1 else np.zeros(1)
        mixed = np.exp(scores) / np.exp(scores).sum() @ np.array(h)
        expected = plain_network(w, "tower", 0, mixed, linear_end=True)
        np.testing.assert_allclose(logits[b], expected, rtol=1e-3, atol=1e-3)


def test_the_experts_begin_as_they_are():
    x = tf.random.normal([5, 7])
    experts = ExpertBank(3, (6, 4), kernel_initializer="he_normal")
    before = experts(x)
    changed = LowRankExperts(3, (6, 4), rank=2)
    np.testing.assert_allclose(changed(x, experts.kernels, experts.biases), before, rtol=1e-5)
    copy = LowRankExperts.from_config(json.loads(json.dumps(changed.get_config())))
    assert (copy.count, copy.units, copy.rank) == (3, (6, 4), 2)
    with pytest.raises(ValueError, match=r"should be positive. Received: count=3, rank=0"):
        LowRankExperts(3, (6, 4), rank=0)


@pytest.mark.parametrize("logits", [1, 3])
def test_as_many_parameters_as_the_residual_head_on_census_income(logits):
    d = 28 * 4 + 11
    layout = Layout(d, 1, 2, 128, tasks=2, ids=28, experts=3, expert_units=(256, 128))
    head = LoRAHead(LoRAConfig(), layout, logits=logits)
    tower = 128 * 64 + 64 + 64 * 32 + 32 + logits * (32 + 1)
    of_rank_4 = 3 * 4 * (d + 256 + 256 + 128)
    assert head.config.rank == 4
    parameters = count_parameters(head.trainable_weights)
    assert parameters == tower + 3 * d + of_rank_4
    residual = make_head(ResidualConfig(), layout, "residual", logits)
    assert 0 <= count_parameters(residual.trainable_weights) - parameters < of_rank_4 / 4
    # A tower that is larger than all of it, and a rank that is asked for.
    assert LoRAHead(LoRAConfig(tower_units=(500,)), layout).config.rank == 1
    assert LoRAHead(LoRAConfig(rank=7), layout).config.rank == 7


def test_a_copy_keeps_the_rank_that_was_chosen(backbone, batch):
    model = backbone()
    inputs = model.head_inputs(model.encode(batch()))
    head = make(model.layout, rank=0)
    copy = LoRAHead.from_config(json.loads(json.dumps(head.get_config())))
    assert (copy.config, copy.layout) == (head.config, head.layout)
    assert copy.config.rank > 0
    copy.set_weights(head.get_weights())
    before = head(inputs).logits
    np.testing.assert_array_equal(copy(inputs).logits, before)
    head.rescale(2.0, 0.25)
    np.testing.assert_allclose(head(inputs).logits, 2 * before + 0.25, rtol=1e-5, atol=1e-5)


def test_a_model_without_such_experts_is_rejected(backbone):
    with pytest.raises(ValueError, match=r"should have experts that read x\. It has none"):
        make_head(HEADS.get("lora").make_shape(), backbone(kind="stem").layout, "new")
