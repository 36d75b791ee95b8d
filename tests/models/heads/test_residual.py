import json

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.models.encoded import Encoded, HeadInputs, Layout, Standardized
from mptrec_tf.models.heads.registry import (
    HEADS,
    make_head,
    shape_from_plain,
    shape_to_plain,
)
from mptrec_tf.models.heads.residual import ResidualHead
from mptrec_tf.models.heads.residual_shape import ResidualConfig
from mptrec_tf.models.prompted import NewTask, PromptedMPTRec
from mptrec_tf.models.weights import named_weights

D, H, K, F = 7, 4, 3, 2
RANGES = ((0, 0, 3), (1, 5, 2))  # ids 3 and 4 are those of a feature that is too large


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def make(**config):
    fields = {"expert_units": 5, "tower_units": (6, 3), "id_ranges": RANGES}
    head = ResidualHead(
        ResidualConfig(**fields | config),
        Layout(D, shared=1, specific=K, width=H, tasks=K, ids=F),
    )
    rng = np.random.default_rng(2)
    for weight in named_weights(head).values():
        weight.assign(rng.normal(size=weight.shape))
    return head


def make_inputs(rows):
    rng = np.random.default_rng(rows)
    standard = Standardized(
        *(
            tf.constant(rng.normal(size=shape).astype(np.float32))
            for shape in ((rows, D), (rows, H), (rows, H), (rows, K))
        )
    )
    ids = tf.constant(np.stack([rng.integers(0, 3, rows), rng.integers(5, 7, rows)], 1))
    # Only ids and standardised values are read.
    return HeadInputs(Encoded(None, ids, None, None), None, None, standard)


@pytest.mark.parametrize("rows", [1, 6])
def test_equals_the_equations(rows):
    head = make()
    inputs = make_inputs(rows)
    outputs = head(inputs)
    w = {name: weight.numpy() for name, weight in named_weights(head).items()}
    for b in range(rows):
        x, h_0, h, old = (values.numpy()[b] for values in inputs.standard)
        g = np.exp(x @ w["gate/kernel"]) / np.exp(x @ w["gate/kernel"]).sum()
        z = g[0] * h * w["prompt/prompts"][0] + g[1] * h_0
        r = np.maximum(x @ w["expert/kernel_0"][0] + w["expert/bias_0"][0, 0], 0)
        v = np.concatenate([z, r, old])
        for i in range(3):
            v = v @ w[f"tower/kernel_{i}"][0] + w[f"tower/bias_{i}"][0, 0]
            v = np.maximum(v, 0) if i < 2 else v
        first, second = inputs.encoded.ids.numpy()[b]
        own = w["ids/weights"][first] + w["ids/weights"][3 + second - 5]
        np.testing.assert_allclose(outputs.logits[b], v[0] + own, rtol=2e-3, atol=1e-3)
        np.testing.assert_allclose(outputs.report["gate"][b], g[0], rtol=1e-3)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("residual", 20_388),
        ("residual_small", 10_596),
        ("prompt", 27_063),
        ("fixed", 10_743),
        ("own_embedding", 20_388 + 4 * (493 + 2 * 48)),
    ],
)
def test_parameters_on_census_income(kind, parameters):
    layout = Layout(28 * 4 + 11, shared=1, specific=2, width=128, tasks=2, ids=28)
    # 28 features of 493 ids, as education left out has them; what matters is their sum.
    ranges = ((0, 0, 250), (1, 250, 243))
    head = make_head(HEADS.get(kind).make_shape(ranges), layout, "education")
    assert sum(int(tf.size(w)) for w in head.trainable_weights) == parameters


@pytest.mark.parametrize("kind", HEADS.names())
def test_shapes_go_through_json(kind):
    config = HEADS.get(kind).make_shape(RANGES)
    assert shape_from_plain(json.loads(json.dumps(shape_to_plain(config)))) == config
    with pytest.raises(InputError, match="unknown head 'mine'; there are prompt, fixed,"):
        HEADS.get("mine")


def test_a_package_from_before_there_were_kinds():
    raw = {"attention": "fixed", "tower_units": [3]}
    assert shape_from_plain(raw).tower_units == (3,)


def test_config_round_trip():
    head, inputs = make(), make_inputs(6)
    copy = ResidualHead.from_config(json.loads(json.dumps(head.get_config())))
    assert copy.config == head.config
    copy.set_weights(head.get_weights())
    np.testing.assert_array_equal(copy(inputs).logits, head(inputs).logits)


def test_ids_too_many_for_weights_of_their_own():
    with pytest.raises(ValueError, match=r"at most 256 ids each. Received: \(\(0, 0, 257\),\)"):
        ResidualConfig(id_ranges=((0, 0, 257),))


def test_dropout_in_training_alone():
    head, inputs = make(tower_dropout=0.5), make_inputs(6)
    plain = head(inputs).logits.numpy()
    np.testing.assert_array_equal(head(inputs, training=False).logits, plain)
    assert not np.array_equal(head(inputs, training=True).logits, plain)


def test_heads_of_all_kinds_stand_side_by_side(backbone, batch):
    old = backbone()
    before = old(batch()).numpy()
    model = PromptedMPTRec(old)
    for kind in HEADS.names():
        config = HEADS.get(kind).make_shape(((0, 0, 12), (2, 0, 12)))
        model.add_task(BinaryTask(kind, kind, ("1",)), config)
    together = {name: prediction.numpy() for name, prediction in model(batch()).items()}
    assert set(together) == set(HEADS.names())
    for kind in HEADS.names():
        alone = PromptedMPTRec(
            old, {kind: NewTask(BinaryTask(kind, kind, ("1",)), model.heads[kind])}
        )
        np.testing.assert_array_equal(alone(batch())[kind], together[kind])
    np.testing.assert_array_equal(old(batch()), before)
