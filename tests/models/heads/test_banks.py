import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.layers.stable_ops import apply_in_whole_vectors
from mptrec_tf.models.encoded import Encoded, HeadInputs, Layout, Standardized
from mptrec_tf.models.heads.base import Head, HeadOutputs, PlainBank, make_banks
from mptrec_tf.models.heads.kind import HeadKind
from mptrec_tf.models.heads.prompt_shape import PromptConfig
from mptrec_tf.models.heads.registry import HEADS, make_head
from mptrec_tf.models.weights import named_weights

LAYOUT = Layout(5 * 4 + 3, shared=1, specific=3, width=16, tasks=3, ids=5)
RANGES = ((0, 0, 7), (2, 20, 9))
# Measured: 1.3e-6, over 400 rows and widths of 16 and 128.
FUSED_BOUND = 2e-6


def make(kind, number, layout=LAYOUT):
    """A head with random weights."""
    shape = HEADS.get(kind).make_shape(RANGES)
    head = make_head(shape, layout, f"{kind}_{number}")
    rng = np.random.default_rng(number)
    for name, weight in named_weights(head).items():
        weight.assign(rng.uniform(0.2 if name == "query/scale" else -0.5, 0.5, weight.shape))
    return head


def make_inputs(rows, layout=LAYOUT):
    rng = np.random.default_rng(rows)
    k, width = layout.tasks, layout.width
    x, shared, specific, logits, prompts, *standard = (
        tf.constant(rng.normal(size=size).astype(np.float32))
        for size in (
            (rows, layout.input_width),
            (rows, width),
            (k, rows, width),
            (k, rows),
            (k, width),
            (rows, layout.input_width),
            (rows, width),
            (rows, width),
            (rows, k),
        )
    )
    ids = np.stack(
        [rng.integers(0, 7, rows), rng.integers(7, 20, rows), rng.integers(20, 29, rows)]
    )
    ids = tf.constant(ids.T)
    shared = shared[tf.newaxis]
    encoded = Encoded(x, ids, shared, specific)
    return HeadInputs(encoded, prompts, logits, Standardized(*standard))


@tf.function
def predict(bank, inputs):
    """Probabilities by task, as binary tasks are served."""
    probabilities = apply_in_whole_vectors(tf.sigmoid, bank(inputs))
    return dict(zip(bank.tasks, tf.unstack(probabilities, num=len(bank.tasks)), strict=True))


@pytest.mark.parametrize("kind", HEADS.names())
@pytest.mark.parametrize("rows", [1, 9])
def test_a_bank_predicts_what_each_head_predicts(kind, rows):
    heads = {f"task{n}": make(kind, n) for n in range(5)}
    inputs = make_inputs(rows)
    [bank] = make_banks(heads, inputs.prompts.numpy())
    predictions = predict(bank, inputs)
    assert tuple(predictions) == tuple(heads)
    for task, head in heads.items():
        alone = tf.sigmoid(head(inputs).logits)
        np.testing.assert_allclose(predictions[task], alone, rtol=2e-5, atol=1e-6)
    different = {tuple(values.numpy()) for values in predictions.values()}
    assert len(different) == 5


@pytest.mark.parametrize("kind", HEADS.names())
@pytest.mark.parametrize("rows", [1, 3, 37])
def test_tasks_that_come_and_go_change_no_bit_of_another(kind, rows):
    heads = {f"task{n}": make(kind, n) for n in range(17)}
    every = list(heads)
    inputs = make_inputs(rows)

    def predict_tasks(some):
        [bank] = make_banks({task: heads[task] for task in some}, inputs.prompts.numpy())
        return predict(bank, inputs)

    whole = predict_tasks(every)
    for some in (every[3:4], every[:2], every[5:8], every[::-1]):
        predictions = predict_tasks(some)
        for task in some:
            np.testing.assert_array_equal(predictions[task], whole[task])


@pytest.mark.parametrize("kind", HEADS.names())
@pytest.mark.parametrize("old_tasks", [1, 2, 17])
def test_any_number_of_old_tasks_and_real_widths(kind, old_tasks):
    layout = dataclasses.replace(LAYOUT, specific=old_tasks, width=128, tasks=old_tasks)
    five = [make(kind, n, layout) for n in range(5)]
    heads = {f"task{n}": five[n % 5] for n in range(64)}
    inputs = make_inputs(37, layout)

    def predict_tasks(some):
        [bank] = make_banks({task: heads[task] for task in some}, inputs.prompts.numpy())
        return predict(bank, inputs)

    predictions = predict_tasks(heads)
    for task, head in list(heads.items())[:5]:
        alone = tf.sigmoid(head(inputs).logits)
        np.testing.assert_allclose(predictions[task], alone, rtol=1e-4, atol=1e-6)
    for count in (1, 3, 17):
        some = list(heads)[60 - count : 60]
        for task, prediction in predict_tasks(some).items():
            np.testing.assert_array_equal(
                prediction, predictions[task], err_msg=f"{task} of {count}"
            )


def test_heads_share_a_bank_if_their_shapes_agree():
    heads = {kind: make(kind, 1) for kind in HEADS.names()}
    other = HEADS.get("residual_small").make_shape(RANGES)
    other = type(other)(**{**vars(other), "tower_dropout": 0.5, "l2_dense": 0.1})
    heads["dropped_more"] = make_head(other, LAYOUT, "dropped_more")
    heads["second_prompt"] = make("prompt", 2)
    banks = make_banks(heads, np.zeros((3, 16)))
    assert sorted(bank.tasks for bank in banks) == [
        ("fixed",),
        ("prompt", "second_prompt"),
        ("residual",),
        ("residual_small", "dropped_more"),
        ("task_similarity",),
        ("tower",),
    ]
    assert make_banks({}, np.zeros((3, 16))) == []


@pytest.mark.parametrize("kind", HEADS.names())
@pytest.mark.parametrize("rows", [1, 3, 37])
def test_a_bank_of_its_own_predicts_what_the_plain_one_does(kind, rows):
    """Not bit for bit, as fused banks multiply out beforehand; see `FUSED_BOUND`."""
    heads = {f"task{n}": make(kind, n) for n in range(5)}
    inputs = make_inputs(rows)
    [bank] = make_banks(heads, inputs.prompts.numpy())
    own, plain = predict(bank, inputs), predict(PlainBank(heads, None), inputs)
    for task in heads:
        np.testing.assert_allclose(own[task], plain[task], rtol=0, atol=FUSED_BOUND)
        if type(bank) is PlainBank:
            np.testing.assert_array_equal(own[task], plain[task])


@pytest.mark.parametrize("kind", HEADS.names())
def test_the_plain_bank_gives_the_same_bits_whatever_stands_beside_a_head(kind):
    heads = {f"task{n}": make(kind, n) for n in range(4)}
    inputs = make_inputs(37)
    together = predict(PlainBank(heads, None), inputs)
    for task, head in heads.items():
        alone = predict(PlainBank({task: head}, None), inputs)
        np.testing.assert_array_equal(alone[task], together[task])


@dataclasses.dataclass(frozen=True)
class SumConfig:
    """The shape of a head that is no other's."""

    factor: float = 2.0


class SumHead(Head):
    shape_class = SumConfig

    def __init__(self, config, layout, **kwargs):
        super().__init__(config, layout, **kwargs)
        self.kernel = self.add_weight("kernel", (), initializer="ones")
        self.built = True

    def call(self, inputs, training=None):
        total = self.config.factor * self.kernel * tf.reduce_sum(inputs.encoded.x, axis=1)
        return HeadOutputs(total, {"total": total})

    def rescale(self, scale, shift):
        raise NotImplementedError


@pytest.fixture
def one_more_kind(monkeypatch):
    monkeypatch.setattr(HEADS, "_kinds", dict(HEADS._kinds))
    HEADS.register("sum", HeadKind(SumConfig, SumHead))


def test_a_third_kind_has_a_plain_bank_and_no_other_kinds(one_more_kind, tmp_path):
    heads = {"mine": make("sum", 1), "prompt": make("prompt", 1), "tower": make("tower", 1)}
    heads["mine"].kernel.assign(3.0)
    inputs = make_inputs(3)
    mine, prompt, tower = make_banks(heads, inputs.prompts.numpy())
    assert (mine.tasks, prompt.tasks, tower.tasks) == (("mine",), ("prompt",), ("tower",))
    assert type(mine) is type(tower) is PlainBank
    np.testing.assert_allclose(mine(inputs)[0], 6 * inputs.encoded.x.numpy().sum(1), rtol=1e-5)
    # As a part of a SavedModel.
    module = tf.Module()
    module.bank = mine
    features = tf.TensorSpec([None, LAYOUT.input_width])
    signature = tf.function(
        lambda x: {"logits": mine(inputs._replace(encoded=inputs.encoded._replace(x=x)))},
        input_signature=[features],
    )
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": signature})
    loaded = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    np.testing.assert_array_equal(loaded(x=inputs.encoded.x)["logits"], mine(inputs))


def test_kinds_of_different_layers_with_shapes_of_one_class_are_rejected(one_more_kind):
    HEADS.register("stolen", HeadKind(PromptConfig, SumHead))
    with pytest.raises(ValueError, match=r"PromptConfig should have one layer.*'stolen'"):
        make("prompt", 1)


def test_the_bits_stay_without_onednn():
    """TF Serving and TensorFlow multiply in another way where oneDNN is off, as on some CPUs."""
    flags = ["-q", "-p", "no:cacheprovider", "-k", "come_and_go or any_number"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *flags, __file__],
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
