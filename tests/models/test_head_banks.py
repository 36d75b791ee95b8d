import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.models import head_banks as head_banks_module
from mptrec_tf.models import head_kinds
from mptrec_tf.models.encoded import HeadInputs, Layout, Standardized
from mptrec_tf.models.head_banks import head_banks
from mptrec_tf.models.weights import named_weights

LAYOUT = Layout(5 * 4 + 3, shared=1, specific=3, width=16, tasks=3, ids=5)
RANGES = ((0, 0, 7), (2, 20, 9))


def make(kind, number, layout=LAYOUT):
    """A head with random weights."""
    shape = head_kinds.head_config(kind, RANGES)
    head = head_kinds.make_head(shape, layout, f"{kind}_{number}")
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
    return HeadInputs(x, ids, shared, specific, prompts, logits, Standardized(*standard))


@tf.function
def predict(bank, inputs):
    """Probabilities by task, as binary tasks are served."""
    probabilities = head_banks_module.in_whole_vectors(tf.sigmoid, bank(inputs))
    return dict(zip(bank.tasks, tf.unstack(probabilities, num=len(bank.tasks)), strict=True))


@pytest.mark.parametrize("kind", head_kinds.KINDS)
@pytest.mark.parametrize("rows", [1, 9])
def test_a_bank_says_what_each_head_says(kind, rows):
    heads = {f"task{n}": make(kind, n) for n in range(5)}
    inputs = make_inputs(rows)
    [bank] = head_banks(heads, inputs.prompts.numpy())
    answers = predict(bank, inputs)
    assert tuple(answers) == tuple(heads)
    for task, head in heads.items():
        alone = tf.sigmoid(head(inputs).logits)
        np.testing.assert_allclose(answers[task], alone, rtol=2e-5, atol=1e-6)
    different = {tuple(values.numpy()) for values in answers.values()}
    assert len(different) == 5


@pytest.mark.parametrize("kind", head_kinds.KINDS)
@pytest.mark.parametrize("rows", [1, 3, 37])
def test_tasks_that_come_and_go_change_no_bit_of_another(kind, rows):
    heads = {f"task{n}": make(kind, n) for n in range(17)}
    every = list(heads)
    inputs = make_inputs(rows)

    def ask(some):
        [bank] = head_banks({task: heads[task] for task in some}, inputs.prompts.numpy())
        return predict(bank, inputs)

    whole = ask(every)
    for some in (every[3:4], every[:2], every[5:8], every[::-1]):
        answers = ask(some)
        for task in some:
            np.testing.assert_array_equal(answers[task], whole[task])


@pytest.mark.parametrize("kind", head_kinds.KINDS)
@pytest.mark.parametrize("old_tasks", [1, 2, 17])
def test_any_number_of_old_tasks_and_real_widths(kind, old_tasks):
    layout = dataclasses.replace(LAYOUT, specific=old_tasks, width=128, tasks=old_tasks)
    made = [make(kind, n, layout) for n in range(5)]
    heads = {f"task{n}": made[n % 5] for n in range(64)}
    inputs = make_inputs(37, layout)

    def ask(some):
        [bank] = head_banks({task: heads[task] for task in some}, inputs.prompts.numpy())
        return predict(bank, inputs)

    answers = ask(heads)
    for task, head in list(heads.items())[:5]:
        alone = tf.sigmoid(head(inputs).logits)
        np.testing.assert_allclose(answers[task], alone, rtol=1e-4, atol=1e-6)
    for count in (1, 3, 17):
        some = list(heads)[60 - count : 60]
        for task, answer in ask(some).items():
            np.testing.assert_array_equal(answer, answers[task], err_msg=f"{task} of {count}")


@pytest.mark.parametrize(("width", "count"), [(128, 65), (128, 100), (256, 40), (4096, 3)])
def test_no_width_and_number_of_heads_changes_a_mixture(width, count):
    """On both sides of where Eigen multiplies in another way."""
    rng = np.random.default_rng(width)
    weights, specific = (
        tf.constant(rng.normal(size=size).astype(np.float32))
        for size in ((5, count, 7), (5, 7, width))
    )
    mixed = tf.function(head_banks_module._mixed)
    whole = mixed(weights, specific)
    np.testing.assert_allclose(whole, np.einsum("knb,kbh->bnh", weights, specific), atol=1e-5)
    for some in (2, 3, count - 1):
        np.testing.assert_array_equal(mixed(weights[:, :some], specific), whole[:, :some])


def test_heads_share_a_bank_if_their_shapes_agree():
    heads = {kind: make(kind, 1) for kind in head_kinds.KINDS}
    other = head_kinds.head_config("residual_small", RANGES)
    other = type(other)(**{**vars(other), "tower_dropout": 0.5, "l2_dense": 0.1})
    heads["dropped_more"] = head_kinds.make_head(other, LAYOUT, "dropped_more")
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


def test_the_bits_stay_without_onednn():
    """TF Serving and TensorFlow multiply in another way where oneDNN is off, as on some CPUs."""
    flags = ["-q", "-p", "no:cacheprovider", "-k", "come_and_go or any_number or mixture"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *flags, __file__],
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
