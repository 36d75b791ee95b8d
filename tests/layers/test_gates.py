import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import tensorflow as tf

from mptrec_tf.layers.gates import GateBank, fuse

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


def test_runs_saves_and_loads(check_layer):
    check_layer(GateBank(3), X, output_batch_axis=1)


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
