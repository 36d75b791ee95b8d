import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.layers.adversary import (
    Discriminator,
    assign_environments,
    reversal_strength,
    reverse_gradient,
)

H0 = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def test_reversal_changes_nothing_forwards():
    np.testing.assert_array_equal(reverse_gradient(tf.constant(H0), 0.7), H0)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_reversal_turns_the_gradient_of_a_plain_tape(strength):
    x = tf.constant(H0)
    upstream = tf.constant(np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32))

    def gradient(through):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(through(x)) * upstream)
        return tape.gradient(loss, x).numpy()

    plain = gradient(lambda x: x)
    turned = gradient(lambda x: reverse_gradient(x, strength))
    np.testing.assert_allclose(turned, -strength * plain, rtol=1e-6)


def test_reversal_by_a_strength_that_changes_inside_a_traced_function():
    strength = tf.Variable(0.25)

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(3.0 * reverse_gradient(x, strength))
        return tape.gradient(loss, x)

    np.testing.assert_allclose(gradient(tf.ones([2])), [-0.75, -0.75])
    strength.assign(1.0)
    np.testing.assert_allclose(gradient(tf.ones([2])), [-3, -3])


@pytest.mark.parametrize(
    ("progress", "strength"),
    [
        (0.0, 0.0),
        (0.5, 0.9866142981514305),  # 2 / (1 + e^-5) - 1
        (1.0, 0.9999092042625951),  # 2 / (1 + e^-10) - 1
    ],
)
def test_strength_of_the_reversal(progress, strength):
    np.testing.assert_allclose(reversal_strength(progress), strength, atol=1e-7)


def test_discriminator_equals_a_linear_layer_and_log_softmax():
    discriminator = Discriminator(3)
    discriminator.build(H0.shape)
    discriminator.bias.assign([0.5, -1, 2])
    guess = discriminator(H0).numpy()
    scores = H0 @ discriminator.kernel.numpy() + [0.5, -1, 2]
    expected = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(guess, expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(guess).sum(axis=1), 1, rtol=1e-6)
    assert [tuple(w.shape) for w in discriminator.weights] == [(4, 3), (3,)]


def test_discriminator_learns_while_what_it_reads_unlearns():
    discriminator = Discriminator(2)
    h = tf.constant(H0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(h)
        turned = -tf.reduce_mean(discriminator(h, strength=0.5)[:, 0])
        plain = -tf.reduce_mean(
            tf.nn.log_softmax(h @ discriminator.kernel + discriminator.bias)[:, 0]
        )
    np.testing.assert_allclose(
        tape.gradient(turned, h), -0.5 * tape.gradient(plain, h), rtol=1e-5, atol=1e-8
    )
    for weight in discriminator.weights:
        np.testing.assert_allclose(
            tape.gradient(turned, weight), tape.gradient(plain, weight), rtol=1e-5, atol=1e-8
        )


def test_discriminator_runs_saves_and_loads(check_layer):
    check_layer(Discriminator(3), H0)


# Task 0 is a click (half the rows), task 1 a conversion (one row, the last): without ranks its
# small losses win every row but its own.
LOSSES = tf.constant([[0.60, 0.20, 0.80, 0.50, 0.40], [0.04, 0.05, 0.01, 0.03, 3.00]])


def test_environment_is_the_task_with_the_smallest_loss():
    environment = assign_environments(LOSSES)
    np.testing.assert_array_equal(environment, [1, 1, 1, 1, 0])
    assert environment.dtype == tf.int32


def test_ranks_give_a_rare_task_no_more_than_its_share():
    # Ranks of task 0: 3 0 4 2 1; of task 1: 2 3 0 1 4.
    np.testing.assert_array_equal(assign_environments(LOSSES, normalize=True), [1, 0, 1, 1, 0])


def test_ranks_do_not_depend_on_the_scale_of_a_task():
    scaled = LOSSES * [[1000.0], [0.001]]
    np.testing.assert_array_equal(
        assign_environments(scaled, normalize=True), assign_environments(LOSSES, normalize=True)
    )


@pytest.mark.parametrize("normalize", [False, True])
def test_environment_of_a_batch_of_one(normalize):
    environment = assign_environments(tf.constant([[0.5], [0.2], [0.9]]), normalize)
    # Alone, a row ranks first for every task.
    np.testing.assert_array_equal(environment, [0 if normalize else 1])


def test_environments_of_samples_without_some_labels():
    """Sample 1 has no label of task 0, sample 2 none of task 1, sample 3 none at all."""
    losses = tf.constant([[0.9, np.inf, 0.8, np.inf], [0.1, 0.5, np.inf, np.inf]])
    np.testing.assert_array_equal(assign_environments(losses, partial=True), [1, 1, 0, 0])
    # Ranks among the labelled: task 0 has 1/2 and 0/2, task 1 has 0/2 and 1/2.
    ranked = assign_environments(losses, normalize=True, partial=True)
    np.testing.assert_array_equal(ranked, [1, 1, 0, 0])
    # Shares of four labels and of two: 0, 1/4, 2/4, 3/4, and 0, 1/2.
    losses = tf.constant([[0.1, 0.2, 0.3, 0.4], [np.inf, 0.1, 0.2, np.inf]])
    ranked = assign_environments(losses, normalize=True, partial=True)
    np.testing.assert_array_equal(ranked, [0, 1, 0, 0])
