import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import tensorflow as tf

from mptrec_tf.layers.transfer import InformationTransfer


def test_attention_by_hand():
    transfer = InformationTransfer()
    transfer.build((None, 1))
    transfer.kernel.assign([[10.0, 1.0, 1.0]])  # h_1(u) = 10 u, h_2(u) = h_3(u) = u; H = 1
    root = np.sqrt(np.log(3.0))
    z = transfer(tf.constant([[root], [2.0]]), tf.constant([[0.0], [2.0]]))
    # Scores log 3 and 0: weights 3/4 and 1/4. Equal ones: 1/2 and 1/2.
    np.testing.assert_allclose(z, [[0.75 * 10 * root], [20.0]], rtol=1e-5)


def test_equals_a_loop():
    rng = np.random.default_rng(0)
    p, q = rng.normal(size=(2, 5, 4)).astype(np.float32)
    transfer = InformationTransfer()
    z = transfer(tf.constant(p), tf.constant(q)).numpy()
    value, key, query = np.split(transfer.kernel.numpy(), 3, axis=1)
    for b in range(5):
        scores = np.array([(u @ key) @ (u @ query) / 2 for u in (p[b], q[b])])
        w = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(z[b], w[0] * p[b] @ value + w[1] * q[b] @ value, rtol=1e-4)


def test_kernels_are_initialised_one_by_one():
    transfer = InformationTransfer()
    transfer.build((None, 50))
    assert np.abs(transfer.kernel).max() <= np.sqrt(6 / 100)
    parts = np.split(transfer.kernel.numpy(), 3, axis=1)
    assert not (parts[0] == parts[1]).any()
