import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.models import head_kinds
from mptrec_tf.models.backbone import BackboneConfig, Encoded, named_weights
from mptrec_tf.models.head_banks import head_banks

SHAPE = BackboneConfig(("a", "b", "c"), 40, 5, 3, expert_units=(32, 16))
RANGES = ((0, 0, 7), (2, 20, 9))


def make(kind, number, **config):
    """A head with random weights and statistics."""
    shape = head_kinds.head_config(kind, RANGES)
    head = head_kinds.make_head(shape, SHAPE, f"{kind}_{number}")
    rng = np.random.default_rng(number)
    for name, weight in named_weights(head).items():
        low = 0.2 if name.endswith("scale") else -0.5
        weight.assign(rng.uniform(low, 0.5, weight.shape))
    return head


def inputs(rows):
    rng = np.random.default_rng(rows)
    k, width = len(SHAPE.tasks), SHAPE.width
    x, shared, specific, logits, prompts = (
        tf.constant(rng.normal(size=shape).astype(np.float32))
        for shape in (
            (rows, SHAPE.input_width),
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
