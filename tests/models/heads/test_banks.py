import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.layers.stable_ops import apply_in_whole_vectors
from mptrec_tf.models.encoded import Encoded, HeadInputs, InputExperts, Layout, Standardized
from mptrec_tf.models.heads.base import Head, HeadOutputs, PlainBank, make_banks
from mptrec_tf.models.heads.kind import PLAIN_BANK, HeadKind
from mptrec_tf.models.heads.prompt_shape import PromptConfig
from mptrec_tf.models.heads.registry import HEADS, make_head
from mptrec_tf.models.weights import named_weights

LAYOUT = Layout(
    5 * 4 + 3, shared=1, specific=3, width=16, tasks=3, ids=5, experts=2, expert_units=(6, 16)
)
# Those that have banks of their own; what holds of the plain one is tested for all kinds, and for
# one where a test makes many heads.
BANKS = [name for name, kind in HEADS.all().items() if kind.bank != PLAIN_BANK]
RANGES = ((0, 0, 7), (1, 7, 13), (2, 20, 9))
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
    return HeadInputs(encoded, prompts, logits, Standardized(*standard), make_experts(layout))


def make_experts(layout):
    rng = np.random.default_rng(3)
    count, units = layout.experts, layout.expert_units
    ends = [*zip((layout.input_width, *units[:-1]), units, strict=True)]
    kernels = [rng.normal(scale=0.2, size=(count, *of)).astype(np.float32) for of in ends]
    biases = [rng.normal(scale=0.2, size=(count, 1, of)).astype(np.float32) for _, of in ends]
    return InputExperts(tuple(map(tf.constant, kernels)), tuple(map(tf.constant, biases)))


def trace(bank, layout=LAYOUT):
    """A function of inputs of any number of rows, traced once.

    Returns probabilities by task, as binary tasks are served.
    """

    def predict(inputs):
        probabilities = apply_in_whole_vectors(tf.sigmoid, bank(inputs))
        return dict(zip(bank.tasks, tf.unstack(probabilities, num=len(bank.tasks)), strict=True))

    def make_spec(two, three):
        shape = [m if m == n else None for m, n in zip(two.shape, three.shape, strict=True)]
        return tf.TensorSpec(shape, two.dtype)

    spec = tf.nest.map_structure(make_spec, make_inputs(2, layout), make_inputs(3, layout))
    return tf.function(predict, input_signature=[spec], autograph=False)


def trace_tasks(heads, prompts, layout=LAYOUT):
    """The function of the one bank of these heads."""
    [bank] = make_banks(heads, prompts.numpy())
    return trace(bank, layout)


@pytest.mark.parametrize("kind", HEADS.names())
def test_a_bank_predicts_what_each_head_predicts(kind):
    heads = {f"task{n}": make(kind, n) for n in range(5)}
    prompts = make_inputs(9).prompts
    predict = trace_tasks(heads, prompts)
    for rows in (1, 9):
        inputs = make_inputs(rows)._replace(prompts=prompts)
        predictions = predict(inputs)
        assert set(predictions) == set(heads)
        for task, head in heads.items():
            alone = tf.sigmoid(head(inputs).logits)
            np.testing.assert_allclose(predictions[task], alone, rtol=2e-5, atol=1e-6)
        different = {tuple(values.numpy()) for values in predictions.values()}
        assert len(different) == 5


@pytest.mark.parametrize("kind", [*BANKS, "tower"])
def test_tasks_that_come_and_go_change_no_bit_of_another(kind):
    heads = {f"task{n}": make(kind, n) for n in range(17)}
    every = list(heads)
    prompts = make_inputs(1).prompts
    inputs = [make_inputs(rows)._replace(prompts=prompts) for rows in (1, 3, 37)]

    def predict_tasks(some):
        predict = trace_tasks({task: heads[task] for task in some}, prompts)
        return [predict(of) for of in inputs]

    whole = predict_tasks(every)
    for some in (every[3:4], every[:2], every[5:8], every[::-1]):
        for predictions, expected in zip(predict_tasks(some), whole, strict=True):
            for task in some:
                np.testing.assert_array_equal(predictions[task], expected[task])


@pytest.mark.parametrize("kind", BANKS)
@pytest.mark.parametrize(("old_tasks", "new_tasks"), [(1, 18), (17, 64)])
def test_any_number_of_tasks_and_real_widths(kind, old_tasks, new_tasks):
    layout = dataclasses.replace(LAYOUT, specific=old_tasks, width=128, tasks=old_tasks)
    five = [make(kind, n, layout) for n in range(5)]
    heads = {f"task{n}": five[n % 5] for n in range(new_tasks)}
    inputs = make_inputs(37, layout)

    def predict_tasks(some):
        predict = trace_tasks({task: heads[task] for task in some}, inputs.prompts, layout)
        return predict(inputs)

    predictions = predict_tasks(heads)
    for task, head in list(heads.items())[:5]:
        alone = tf.sigmoid(head(inputs).logits)
        np.testing.assert_allclose(predictions[task], alone, rtol=1e-4, atol=1e-6)
    for count in (1, 17):
        some = list(heads)[-count - 1 : -1]
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
        ("gate_tower",),
        ("lora",),
        ("own_embedding",),
        ("own_expert",),
        ("prompt", "second_prompt"),
        ("residual",),
        ("residual_small", "dropped_more"),
        ("task_similarity",),
        ("tower",),
    ]
    assert make_banks({}, np.zeros((3, 16))) == []


@pytest.mark.parametrize("kind", BANKS)
def test_a_bank_of_its_own_predicts_what_the_plain_one_does(kind):
    """Not bit for bit, as fused banks multiply out beforehand; see `FUSED_BOUND`."""
    heads = {f"task{n}": make(kind, n) for n in range(5)}
    prompts = make_inputs(1).prompts
    predict_own, predict_plain = trace_tasks(heads, prompts), trace(PlainBank(heads, None))
    for rows in (1, 37):
        inputs = make_inputs(rows)._replace(prompts=prompts)
        own, plain = predict_own(inputs), predict_plain(inputs)
        for task in heads:
            np.testing.assert_allclose(own[task], plain[task], rtol=0, atol=FUSED_BOUND)


@pytest.mark.parametrize("kind", HEADS.names())
def test_the_plain_bank_gives_the_same_bits_whatever_stands_beside_a_head(kind):
    heads = {f"task{n}": make(kind, n) for n in range(4)}
    inputs = make_inputs(37)
    together = trace(PlainBank(heads, None))(inputs)
    for task, head in heads.items():
        alone = trace(PlainBank({task: head}, None))(inputs)
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


def test_the_bits_stay_without_onednn(run_nested):
    """TF Serving and TensorFlow multiply in another way where oneDNN is off, as on some CPUs."""
    some = "come_and_go or (any_number and 17)"
    passed = run_nested(__file__, some, TF_ENABLE_ONEDNN_OPTS="0")
    assert passed.startswith(f"{2 * len(BANKS) + 1} passed")
