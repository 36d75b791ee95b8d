import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.layers.masks import MaskedExpertBank, prune_smallest

X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


@pytest.mark.parametrize("separate", [False, True])
def test_each_task_reads_its_subnet(separate):
    bank = MaskedExpertBank(2, (3, 2), separate=separate)
    bank(X)
    assert [w.shape[0] for w in bank.trainable_weights] == [2 if separate else 1] * 4
    rng = np.random.default_rng(1)
    for mask in bank.masks:
        mask.assign(rng.integers(0, 2, mask.shape))
    for weight in bank.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    h = bank(X).numpy()
    assert h.shape == (2, 5, 2)
    for t in range(2):
        expected = X
        for kernel, bias, mask in zip(bank.kernels, bank.biases, bank.masks, strict=True):
            own = t if separate else 0
            expected = np.maximum(expected @ (kernel[own] * mask[t]).numpy() + bias[own], 0)
        np.testing.assert_allclose(h[t], expected, rtol=1e-4, atol=1e-6)


def test_a_weight_is_trained_by_the_tasks_whose_mask_has_it():
    bank = MaskedExpertBank(2, (1,))
    bank.build((None, 2))
    bank.kernels[0].assign([[[1.0], [1.0]]])
    bank.masks[0].assign([[[1.0], [0.0]], [[1.0], [0.0]]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(bank(tf.constant([[3.0, 5.0]])) * tf.constant([[[2.0]], [[7.0]]]))
    [gradient] = tape.gradient(loss, bank.kernels)
    np.testing.assert_allclose(gradient, [[[3.0 * 2 + 3.0 * 7], [0.0]]])
    bank.masks[0].assign([[[1.0], [1.0]], [[0.0], [1.0]]])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(bank(tf.constant([[3.0, 5.0]])) * tf.constant([[[2.0]], [[7.0]]]))
    [gradient] = tape.gradient(loss, bank.kernels)
    np.testing.assert_allclose(gradient, [[[3.0 * 2], [5.0 * 2 + 5.0 * 7]]])


def test_masks_are_stored_and_never_trained():
    bank = MaskedExpertBank(2, (3,))
    bank(X)
    assert bank.fixed_weights == bank.masks
    assert not {id(mask) for mask in bank.masks} & {id(w) for w in bank.trainable_weights}


def test_runs_saves_and_loads(check_layer):
    check_layer(MaskedExpertBank(2, (3, 2)), X, output_batch_axis=1)


def test_the_smallest_weights_left_are_removed_over_all_layers():
    kernels = [
        np.array([[[0.1, -5.0], [3.0, -0.2]], [[9.0, 8.0], [7.0, 6.0]]]),
        np.array([[[0.3], [4.0]], [[0.5], [-0.4]]]),
    ]
    ones = [np.ones_like(kernel) for kernel in kernels]
    once = prune_smallest(kernels, ones, 0.5)  # 3 of 6
    np.testing.assert_array_equal(once[0], [[[0, 1], [1, 0]], [[1, 1], [1, 0]]])
    np.testing.assert_array_equal(once[1], [[[0], [1]], [[0], [0]]])
    twice = prune_smallest(kernels, once, 0.5)  # 1 of 3, rounded down
    np.testing.assert_array_equal(twice[0], [[[0, 1], [0, 0]], [[1, 1], [0, 0]]])
    np.testing.assert_array_equal(twice[1], [[[0], [1]], [[0], [0]]])
    np.testing.assert_array_equal(ones[0], np.ones((2, 2, 2)))  # unchanged


def test_at_least_one_weight_is_left():
    kernels, masks = [np.ones((1, 3, 1))], [np.ones((1, 3, 1))]
    for _ in range(5):
        masks = prune_smallest(kernels, masks, 0.99)
    assert masks[0].sum() == 1
