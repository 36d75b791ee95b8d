import json

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.models.encoded import Encoded, HeadInputs, Layout
from mptrec_tf.models.heads.prompt import PromptHead
from mptrec_tf.models.heads.prompt_shape import ATTENTIONS, PromptConfig

D, H, K = 7, 4, 3
LAYOUT = Layout(D, shared=1, specific=K, width=H, tasks=K, ids=0)


def softmax(x):
    return np.exp(x) / np.exp(x).sum()


def make(**config):
    head = PromptHead(PromptConfig(**({"tau": 2.0, "tower_units": (5, 3)} | config)), LAYOUT)
    rng = np.random.default_rng(2)
    for weight in head.weights:
        weight.assign(rng.normal(size=weight.shape))
    return head


def make_inputs(rows):
    rng = np.random.default_rng(rows)
    x, shared, specific, prompts = (
        tf.constant(rng.normal(size=shape).astype(np.float32))
        for shape in ((rows, D), (rows, H), (K, rows, H), (K, H))
    )
    # Neither ids nor logits nor standardised values are read.
    encoded = Encoded(x, None, shared[tf.newaxis], specific)
    return HeadInputs(encoded, prompts, None, None)


@pytest.mark.parametrize("rows", [1, 6])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_equals_the_equations_of_stage_2(attention, rows):
    head = make(attention=attention)
    inputs = make_inputs(rows)
    outputs = head(inputs)
    assert outputs.logits.shape == (rows,)
    assert outputs.report["gate"].shape == (rows,)
    p_n = head.prompt.prompts.numpy()[0]
    for b in range(rows):
        x = inputs.encoded.x.numpy()[b]
        if attention == "prompt":
            v = np.maximum(x @ head.query.hidden.numpy(), 0) @ head.query.output_kernel.numpy()
            v = (v - v.mean()) / np.sqrt(v.var() + 1e-5)
            u = v * head.query.scale.numpy() + head.query.shift.numpy()
            w = softmax(np.array([u @ p_k for p_k in inputs.prompts.numpy()]) / 2.0)
        elif attention == "fixed":
            w = np.full(K, 1 / K)
        else:
            w = softmax(np.array([p_n @ p_k for p_k in inputs.prompts.numpy()]) / 2.0)
        h_n = sum(w[k] * inputs.encoded.specific.numpy()[k, b] for k in range(K))
        gate = softmax(x @ head.gate.kernel.numpy())
        h = gate[0] * (h_n * p_n) + gate[1] * inputs.encoded.shared.numpy()[0, b]
        for i in range(3):
            h = h @ head.tower.kernels[i].numpy()[0] + head.tower.biases[i].numpy()[0, 0]
            h = np.maximum(h, 0) if i < 2 else h
        np.testing.assert_allclose(head.attention(inputs)[b], w, rtol=1e-4)
        np.testing.assert_allclose(outputs.report["gate"][b], gate[0], rtol=1e-4)
        np.testing.assert_allclose(outputs.logits[b], h[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_permuted_old_tasks_change_nothing(attention):
    head = make(attention=attention)
    inputs = make_inputs(6)
    order = [2, 0, 1]
    specific = tf.gather(inputs.encoded.specific, order)
    permuted = inputs._replace(
        encoded=inputs.encoded._replace(specific=specific),
        prompts=tf.gather(inputs.prompts, order),
    )
    np.testing.assert_allclose(head(permuted).logits, head(inputs).logits, rtol=1e-4, atol=1e-5)
    expected = head.attention(inputs).numpy()[:, order]
    np.testing.assert_allclose(head.attention(permuted), expected, rtol=1e-5)


def three_to_one(kl_weight, log_ratio=1.0986123):
    """A head that gives the first of two tasks 3/4 and the second 1/4: scores ln 3 and 0."""
    head = make(attention="task_similarity", tau=4.0, kl_weight=kl_weight, l2_dense=0.0)
    head.prompt.prompts.assign([[1, 0, 0, 0]])
    inputs = make_inputs(6)
    prompts = tf.constant([[4.0 * log_ratio, 0, 0, 0], [0, 5.0, 0, 0]], tf.float32)
    encoded = inputs.encoded._replace(specific=inputs.encoded.specific[:2])
    inputs = inputs._replace(encoded=encoded, prompts=prompts)
    head(inputs)
    return head, head.attention(inputs)


def test_divergence_from_even_attention_by_hand():
    head, attention = three_to_one(kl_weight=2.0)
    np.testing.assert_allclose(attention, np.tile([0.75, 0.25], (6, 1)), rtol=1e-5)
    expected = 2 * (0.75 * np.log(0.75 * 2) + 0.25 * np.log(0.25 * 2))
    np.testing.assert_allclose(sum(head.losses), expected, rtol=1e-5)


def test_no_divergence_where_attention_is_even_or_kl_weight_is_zero():
    head = make(attention="fixed", kl_weight=2.0, l2_dense=0.0)
    head(make_inputs(6))
    np.testing.assert_allclose(sum(head.losses), 0, atol=1e-6)
    head, _ = three_to_one(kl_weight=0.0)
    assert head.losses == []


def test_divergence_pulls_attention_towards_even():
    head = make(attention="task_similarity", tau=4.0, kl_weight=2.0, l2_dense=0.0)
    inputs = make_inputs(6)
    for _ in range(200):
        with tf.GradientTape() as tape:
            head(inputs)
            loss = head.losses[0]
        head.prompt.prompts.assign_sub(tape.gradient(loss, head.prompt.prompts))
    np.testing.assert_allclose(head.attention(inputs), 1 / 3, atol=0.02)


def test_divergence_of_attention_to_one_task_alone_is_finite():
    with tf.GradientTape() as tape:
        head, _ = three_to_one(kl_weight=1.0, log_ratio=1000.0)
        loss = head.losses[0]
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-5)
    assert np.isfinite(tape.gradient(loss, head.prompt.prompts)).all()


def test_l2_of_the_tower_alone():
    head = make(l2_dense=0.5)
    head(make_inputs(6))
    expected = 0.25 * sum((kernel.numpy() ** 2).sum() for kernel in head.tower.kernels)
    np.testing.assert_allclose(sum(head.losses), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("attention", "parameters"),
    [("prompt", 27_063), ("fixed", 10_743), ("task_similarity", 10_743)],
)
def test_parameters_on_census_income(attention, parameters):
    head = PromptHead(PromptConfig(attention), Layout(28 * 4 + 11, 1, 2, 128, 2, 28))
    assert sum(int(tf.size(w)) for w in head.trainable_weights) == parameters
    assert len(head.weights) == len(head.trainable_weights)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_config_round_trip(attention):
    head = make(attention=attention, kl_weight=0.1, tower_dropout=0.2)
    config = head.get_config()
    copy = PromptHead.from_config(json.loads(json.dumps(config)))
    assert copy.config == head.config
    assert copy.get_config() == config
    copy.set_weights(head.get_weights())
    inputs = make_inputs(6)
    np.testing.assert_array_equal(copy(inputs).logits, head(inputs).logits)


def test_checkpoint_saves_and_loads(tmp_path):
    head, inputs = make(tower_dropout=0.5), make_inputs(6)
    head(inputs, training=True)
    path = tf.train.Checkpoint(head=head).write(f"{tmp_path}/checkpoint")
    loaded = PromptHead(head.config, LAYOUT)
    tf.train.Checkpoint(head=loaded).read(path).assert_consumed()
    np.testing.assert_array_equal(loaded(inputs).logits, head(inputs).logits)
    np.testing.assert_array_equal(
        loaded(inputs, training=True).logits, head(inputs, training=True).logits
    )


def test_dropout_in_training_alone():
    head, inputs = make(tower_dropout=0.5), make_inputs(6)
    plain = head(inputs).logits.numpy()
    np.testing.assert_array_equal(head(inputs, training=False).logits, plain)
    assert not np.array_equal(head(inputs, training=True).logits, plain)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"attention": "learned"}, "attention should be one of .* Received: 'learned'"),
        ({"tau": 0.0}, "tau should be positive. Received: 0.0"),
        ({"tau": -1.0}, "tau should be positive. Received: -1.0"),
    ],
)
def test_wrong_settings_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        PromptConfig(**config)
