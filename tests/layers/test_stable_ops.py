"""What `stable_ops` promises of each release of TensorFlow: one that changes it fails here."""

import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.layers import stable_ops


def normal(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def test_this_release_was_tried():
    """A new one: run this file with and without oneDNN, and add it to `TRIED` if all passes."""
    assert tf.__version__ in stable_ops.TRIED


@pytest.mark.parametrize("function", [tf.sigmoid, tf.exp, tf.math.rsqrt, tf.nn.softplus])
@pytest.mark.parametrize("count", [1, 3, 64])
def test_a_value_has_the_same_bits_in_any_number_of_rows(function, count):
    values = tf.constant(np.abs(normal(count, 100)) + 0.1)
    apply = tf.function(lambda v: stable_ops.apply_in_whole_vectors(function, v))
    whole = apply(values).numpy()
    np.testing.assert_allclose(whole, function(values), rtol=1e-6)
    for rows in (1, 2, 7, 16, 17, 33):
        np.testing.assert_array_equal(apply(values[:, :rows]), whole[:, :rows])
    for row in range(count):
        np.testing.assert_array_equal(apply(values[row : row + 1])[0], whole[row])


@pytest.mark.parametrize("rows", [1, 37])
def test_a_matrix_has_the_same_product_in_any_batch_of_two_or_more(rows):
    x, kernels = normal(1, rows, 40), normal(9, 40, 24)
    product = tf.function(lambda k: tf.constant(x) @ k)
    whole = product(tf.constant(kernels))
    for some in (2, 3, 8):
        np.testing.assert_array_equal(product(tf.constant(kernels[:some])), whole[:some])
    alone = stable_ops.at_least_two([kernels[0]])
    assert len(alone) == 2
    np.testing.assert_array_equal(product(tf.constant(np.stack(alone)))[0], whole[0])
    assert stable_ops.at_least_two([1, 2, 3]) == [1, 2, 3]


@pytest.mark.parametrize(("rows", "expected"), [(1, 2), (2, 2), (5, 5)])
def test_rows_have_company(rows, expected):
    values = tf.constant(normal(rows, 3, 4))
    more = stable_ops.at_least_two_rows(values)
    assert more.shape == (expected, 3, 4)
    np.testing.assert_array_equal(more[:rows], values)
    assert not more[rows:].numpy().any()


@pytest.mark.parametrize("count", [1, 5, 16, 17, 64])
def test_a_column_has_the_same_product_beside_any_others(count):
    x, columns = normal(37, 123), normal(123, count)

    @tf.function
    def product(x, groups, count):
        return stable_ops.multiply_columns(x, groups, count)

    def of(some):
        groups = tf.constant(stable_ops.split_columns(columns[:, some]))
        return product(tf.constant(x), groups, groups.shape[0] * 16)

    whole = of(slice(None))[:count].numpy()
    np.testing.assert_allclose(whole, (x @ columns).T, atol=1e-4)
    for column in range(0, count, 3):
        np.testing.assert_array_equal(of(slice(column, column + 1))[0], whole[column])


@pytest.mark.parametrize("count", [1, 2, 17, 40])
def test_a_sum_has_one_order(count):
    values = tf.constant(normal(count, 9, 37))
    add = tf.function(lambda v: stable_ops.sum_in_order(v, count))
    whole = add(values).numpy()
    np.testing.assert_allclose(whole, values.numpy().sum(0), atol=1e-5)
    for some in (1, 2, 8):
        np.testing.assert_array_equal(add(values[:, :some]), whole[:some])
        np.testing.assert_array_equal(add(values[..., :some]), whole[..., :some])


@pytest.mark.parametrize(("width", "count"), [(128, 65), (128, 100), (256, 40), (4096, 3)])
def test_no_width_and_number_of_heads_changes_a_mixture(width, count):
    """On both sides of where Eigen multiplies in another way."""
    rng = np.random.default_rng(width)
    weights, specific = (
        tf.constant(rng.normal(size=size).astype(np.float32))
        for size in ((5, count, 7), (5, 7, width))
    )
    mixed = tf.function(stable_ops.mix)
    whole = mixed(weights, specific)
    np.testing.assert_allclose(whole, np.einsum("knb,kbh->bnh", weights, specific), atol=1e-5)
    for some in (2, 3, count - 1):
        np.testing.assert_array_equal(mixed(weights[:, :some], specific), whole[:, :some])


def test_the_bits_stay_without_onednn(run_nested):
    """TF Serving and TensorFlow multiply in another way where oneDNN is off, as on some CPUs."""
    passed = run_nested(__file__, "not without_onednn", TF_ENABLE_ONEDNN_OPTS="0")
    assert passed.startswith("31 passed")
