import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import tensorflow as tf

from mptrec_tf.layers.gates import GateBank, fuse, mix_experts

X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def test_gates_equal_a_loop_over_tasks():
    gates = GateBank(3)
    weights = gates(X).numpy()
    assert weights.shape == (3, 5, 2)
    kernel = gates.kernel.numpy()
    for t in range(3):
        for b in range(5):
            score = X[b] @ kernel[:, 2 * t : 2 * t + 2]
            expected = np.exp(score) / np.exp(score).sum()
            np.testing.assert_allclose(weights[t, b], expected, rtol=1e-5)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)


def test_no_bias():
    gates = GateBank(3)
    np.testing.assert_array_equal(gates(tf.zeros([2, 4])), np.full((3, 2, 2), 0.5))
    assert [w.shape for w in gates.weights] == [(4, 6)]


def test_gates_of_any_number_of_experts_each_with_its_own_input():
    gates = GateBank(2, choices=3)
    own = np.stack([X, 2 * X])
    weights = gates(own).numpy()
    kernel = gates.kernel.numpy()
    assert (weights.shape, kernel.shape) == ((2, 5, 3), (4, 6))
    for t in range(2):
        for b in range(5):
            score = own[t, b] @ kernel[:, 3 * t : 3 * t + 3]
            expected = np.exp(score) / np.exp(score).sum()
            np.testing.assert_allclose(weights[t, b], expected, rtol=1e-5)
    np.testing.assert_allclose(gates(X)[0], weights[0], rtol=1e-5)  # one input for all


def test_runs_saves_and_loads(check_layer):
    check_layer(GateBank(3), X, output_batch_axis=1)
    check_layer(GateBank(2, choices=5), X, output_batch_axis=1)


def test_fuse_by_hand():
    weights = tf.constant([[[0.25, 0.75]], [[1.0, 0.0]]])  # two tasks, one row
    specific = tf.constant([[[4.0, 8.0]], [[1.0, 2.0]]])
    shared = tf.constant([[100.0, 200.0]])
    fused = fuse(weights, specific, shared)
    np.testing.assert_allclose(fused, [[[1 + 75, 2 + 150]], [[1, 2]]])


def test_fuse_equals_a_loop():
    rng = np.random.default_rng(1)
    weights, specific, shared = rng.random((3, 5, 2)), rng.random((3, 5, 4)), rng.random((5, 4))
    fused = fuse(tf.constant(weights), tf.constant(specific), tf.constant(shared)).numpy()
    for t in range(3):
        for b in range(5):
            expected = weights[t, b, 0] * specific[t, b] + weights[t, b, 1] * shared[b]
            np.testing.assert_allclose(fused[t, b], expected)


def test_mixed_experts_by_hand():
    weights = tf.constant([[[0.25, 0.75, 0.0]], [[0.0, 0.5, 0.5]]])  # two tasks, one row
    experts = tf.constant([[[4.0, 8.0]], [[100.0, 200.0]], [[2.0, 4.0]]])
    expected = [[[1 + 75, 2 + 150]], [[50 + 1, 100 + 2]]]
    np.testing.assert_allclose(mix_experts(weights, experts), expected)
    own = tf.stack([experts, 2 * experts])  # each task's own
    np.testing.assert_allclose(mix_experts(weights, own), [expected[0], [[102, 204]]])


def test_many_experts_are_mixed_in_the_same_way():
    rng = np.random.default_rng(1)
    weights, experts = rng.random((9, 5, 10)), rng.random((10, 5, 4))
    expected = np.einsum("tbe,ebh->tbh", weights, experts)
    np.testing.assert_allclose(mix_experts(tf.constant(weights), tf.constant(experts)), expected)
    few = mix_experts(tf.constant(weights[:2]), tf.constant(experts))
    np.testing.assert_allclose(few, expected[:2])
