import mptrec_tf  # noqa: F401  isort: skip  (first: it selects Keras 2)
import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.layers.embedding import PackedEmbedding

IDS = [[0, 3, 4], [1, 3, 5]]


def with_table(**kwargs):
    layer = PackedEmbedding(6, 2, **kwargs)
    layer.build((None, 3))
    layer.table.assign(np.arange(12.0).reshape(6, 2))  # row i is (2i, 2i + 1)
    return layer


def test_rows_are_put_side_by_side_in_the_order_of_features():
    embedded = with_table()(tf.constant(IDS))
    np.testing.assert_array_equal(embedded, [[0, 1, 6, 7, 8, 9], [2, 3, 6, 7, 10, 11]])


@pytest.mark.parametrize("l2_over", ["table", "batch"])
def test_runs_saves_and_loads(check_layer, l2_over):
    layer = PackedEmbedding(6, 2, l2=0.1, l2_over=l2_over)
    output = check_layer(layer, np.array(IDS, np.int64))
    assert output.shape == (2, 6)
    assert layer.get_config()["l2_over"] == l2_over


def test_one_table_for_all_features():
    layer = with_table()
    assert [w.shape for w in layer.weights] == [(6, 2)]


def test_l2_over_the_table():
    layer = with_table(l2=0.5, l2_over="table")
    layer(tf.constant(IDS))
    # 0.5 / 2 * (0 + 1 + 4 + ... + 121)
    np.testing.assert_allclose(layer.losses, [0.25 * 506])


def test_l2_over_the_batch_counts_each_row_read_once():
    layer = with_table(l2=0.5, l2_over="batch")
    layer(tf.constant(IDS))
    # Row 2 (4, 5) is not read; row 3 is read twice and counts once.
    np.testing.assert_allclose(layer.losses, [0.25 * (506 - 16 - 25)])


def test_no_l2_no_loss():
    layer = with_table()
    layer(tf.constant(IDS))
    assert layer.losses == []


def test_frozen_table_has_no_loss():
    layer = with_table(l2=0.5)
    layer.trainable = False
    layer(tf.constant(IDS))
    assert layer.losses == []


@pytest.mark.parametrize("l2_over", ["table", "batch"])
def test_gradient_is_the_upstream_of_every_read_and_the_l2_of_every_row_once(l2_over):
    layer = with_table(l2=0.5, l2_over=l2_over)
    upstream = np.arange(12.0, dtype=np.float32).reshape(2, 6)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant(IDS)) * upstream) + layer.losses[0]
    gradient = tape.gradient(loss, layer.table)
    if l2_over == "batch":  # a table too large to touch is not touched
        assert isinstance(gradient, tf.IndexedSlices)

    table = layer.table.numpy()
    expected = np.zeros((6, 2))
    for row in range(2):
        for feature in range(3):
            expected[IDS[row][feature]] += upstream[row, 2 * feature : 2 * feature + 2]
    rows = range(6) if l2_over == "table" else {0, 1, 3, 4, 5}
    for row in rows:
        expected[row] += 0.5 * table[row]
    np.testing.assert_allclose(tf.convert_to_tensor(gradient), expected)


@pytest.mark.parametrize(("l2_over", "dense"), [("table", True), ("batch", False)])
def test_without_l2_the_gradient_is_as_dense_as_with_it(l2_over, dense):
    """XLA is slow with a sparse one, and a dense one touches the whole table in every step."""
    layer = with_table(l2=0.0, l2_over=l2_over)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(tf.constant(IDS)) ** 2) / 2
    gradient = tape.gradient(loss, layer.table)
    assert isinstance(gradient, tf.Tensor) == dense
    expected = layer.table.numpy()
    expected[2] = 0  # not read
    expected[3] *= 2  # read twice
    np.testing.assert_array_equal(tf.convert_to_tensor(gradient), expected)


def test_unknown_scope_of_the_l2_is_rejected():
    with pytest.raises(ValueError, match=r"l2_over should be one of .* Received: 'rows'"):
        PackedEmbedding(6, 2, l2_over="rows")
