import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.layers.statistics import Standardize
from mptrec_tf.models import head_kinds
from mptrec_tf.models.backbone import BackboneConfig, Encoded, named_weights
from mptrec_tf.models.head_banks import head_banks

SHAPE = BackboneConfig(("a", "b", "c"), 40, 5, 3, expert_units=(32, 16))
RANGES = ((0, 0, 7), (2, 20, 9))


def make(kind, number, backbone=SHAPE):
    """A head with random weights and statistics."""
    shape = head_kinds.head_config(kind, RANGES)
    head = head_kinds.make_head(shape, backbone, f"{kind}_{number}")
    rng = np.random.default_rng(number)
    for name, weight in named_weights(head).items():
        low = 0.2 if name.endswith("scale") else -0.5
        weight.assign(rng.uniform(low, 0.5, weight.shape))
    return head


def inputs(rows, shape=SHAPE):
    rng = np.random.default_rng(rows)
    k, width = len(shape.tasks), shape.width
    x, shared, specific, logits, prompts = (
        tf.constant(rng.normal(size=size).astype(np.float32))
        for size in (
            (rows, shape.input_width),
            (rows, width),
            (k, rows, width),
            (k, rows),
            (k, width),
        )
    )
    ids = np.stack(
        [rng.integers(0, 7, rows), rng.integers(7, 20, rows), rng.integers(20, 29, rows)]
    )
    return Encoded(x, shared, specific, tf.constant(ids.T), logits), prompts


@pytest.mark.parametrize("kind", head_kinds.KINDS)
@pytest.mark.parametrize("rows", [1, 9])
def test_a_bank_says_what_each_head_says(kind, rows):
    heads = {f"task{n}": make(kind, n) for n in range(5)}
    encoded, prompts = inputs(rows)
    [bank] = head_banks(heads, prompts.numpy())
    answers = bank(encoded)
    assert tuple(answers) == tuple(heads)
    for task, head in heads.items():
        alone = tf.sigmoid(head(encoded, prompts).logits)
        np.testing.assert_allclose(answers[task], alone, rtol=2e-5, atol=1e-6)
    different = {tuple(values.numpy()) for values in answers.values()}
    assert len(different) == 5


@pytest.mark.parametrize("kind", head_kinds.KINDS)
@pytest.mark.parametrize("rows", [1, 3, 37])
def test_tasks_that_come_and_go_change_no_bit_of_another(kind, rows):
    heads = {f"task{n}": make(kind, n) for n in range(17)}
    every = list(heads)
    encoded, prompts = inputs(rows)

    def ask(some):
        [bank] = head_banks({task: heads[task] for task in some}, prompts.numpy())
        return tf.function(bank)(encoded)

    whole = ask(every)
    for some in (every[3:4], every[:2], every[5:8], every[::-1]):
        answers = ask(some)
        for task in some:
            np.testing.assert_array_equal(answers[task], whole[task])


@pytest.mark.parametrize("kind", ["residual", "residual_small"])
@pytest.mark.parametrize("rows", [1, 3, 37])
@pytest.mark.parametrize("old_tasks", [1, 3])
def test_a_task_of_other_rows_changes_no_bit_of_those_that_share_statistics(kind, rows, old_tasks):
    shape = dataclasses.replace(SHAPE, tasks=SHAPE.tasks[:old_tasks])
    encoded, prompts = inputs(rows, shape)
    heads = {f"task{n}": make(kind, n, shape) for n in range(5)}
    others = {f"other{n}": make(kind, 9 + n, shape) for n in range(3)}
    for number, head in enumerate((heads | others).values()):
        for layer in head.submodules:
            if isinstance(layer, Standardize) and number not in (5, 6):
                layer.mean.assign(tf.ones_like(layer.mean) / 3)
                layer.scale.assign(tf.ones_like(layer.scale) * (0.7 if number < 5 else 0.6))

    def ask(some):
        [bank] = head_banks(some, prompts.numpy())
        return tf.function(bank)(encoded)

    shared = ask(heads)
    for together in (
        {"task4": heads["task4"]} | others,  # all apart
        others | heads,
        heads | others,
        {"other0": others["other0"], "task4": heads["task4"], "task0": heads["task0"]},
    ):
        mixed = ask(together)
        for task in together.keys() & heads.keys():
            np.testing.assert_array_equal(mixed[task], shared[task])
        for task, head in together.items():
            alone = tf.sigmoid(head(encoded, prompts).logits)
            np.testing.assert_allclose(mixed[task], alone, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["residual", "residual_small"])
def test_statistics_that_heads_share_are_kept_once(kind):
    heads = [head_kinds.make_head(head_kinds.head_config(kind), SHAPE, f"h{n}") for n in range(3)]

    def size():
        [bank] = head_banks({head.name: head for head in heads}, np.zeros((3, 16)))
        return sum(variable.shape.num_elements() for variable in bank.variables)

    once = size()
    heads[1].standard_shared.set_statistics(np.zeros(16), np.full(16, 0.5))
    d, h, k = SHAPE.input_width, SHAPE.width, len(SHAPE.tasks)
    assert size() == once + 2 * d + h + k * h


def test_heads_share_a_bank_if_their_shapes_agree():
    heads = {kind: make(kind, 1) for kind in head_kinds.KINDS}
    other = head_kinds.head_config("residual_small", RANGES)
    other = type(other)(**{**vars(other), "tower_dropout": 0.5, "l2_dense": 0.1})
    heads["dropped_more"] = head_kinds.make_head(other, SHAPE, "dropped_more")
    heads["second_prompt"] = make("prompt", 2)
    banks = head_banks(heads, np.zeros((3, 16)))
    assert sorted(bank.tasks for bank in banks) == [
        ("fixed",),
        ("prompt", "second_prompt"),
        ("residual",),
        ("residual_small", "dropped_more"),
        ("task_similarity",),
    ]
    assert head_banks({}, np.zeros((3, 16))) == []
