"""Layers of features with several values in a row, against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.layers.pooled_embedding import PooledEmbedding
from mptrec_tf.layers.sequence_embedding import SequenceEmbedding

LENGTHS = np.array([[2, 1], [1, 3], [4, 2]])


def make_ids(lengths=LENGTHS, seed=3):
    random = np.random.default_rng(seed)
    count = int(lengths.sum())
    return random.integers(9, size=count), random.uniform(0, 1, count).astype(np.float32)


def split(values, lengths=LENGTHS):
    """The values of each cell."""
    return np.split(values, np.cumsum(lengths.ravel())[:-1])


def test_bags_are_weighted_sums():
    ids, factors = make_ids()
    layer = PooledEmbedding(9, 4)
    x = layer((tf.constant(ids), tf.constant(factors), tf.constant(LENGTHS)))
    table = layer.table.numpy()
    expected = [f @ table[i] for i, f in zip(split(ids), split(factors), strict=True)]
    np.testing.assert_allclose(x, np.reshape(expected, [3, 8]), rtol=1e-5)


def test_a_bag_has_the_same_bits_in_every_batch():
    lengths = np.random.default_rng(5).integers(1, 25, size=(101, 3))
    ids, factors = make_ids(lengths)
    layer = PooledEmbedding(9, 5)

    @tf.function(autograph=False)
    def call(ids, factors, lengths):
        return layer((ids, factors, lengths))

    whole = call(tf.constant(ids), tf.constant(factors), tf.constant(lengths)).numpy()
    ends = np.cumsum(lengths.sum(axis=1))
    for start, stop in ((0, 1), (1, 2), (7, 40), (40, 101)):
        of = slice(ends[start] - lengths[start].sum(), ends[stop - 1])
        some = call(ids[of], factors[of], lengths[start:stop]).numpy()
        np.testing.assert_array_equal(some.view(np.int32), whole[start:stop].view(np.int32))


@pytest.mark.parametrize("l2_over", ["table", "batch"])
def test_the_gradient_reaches_the_rows_that_are_read(l2_over):
    ids, factors = tf.constant([1, 2, 5]), tf.constant([0.5, 0.25, 1.0])
    layer = PooledEmbedding(9, 2, l2_over=l2_over)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer((ids, factors, tf.constant([[2, 1]]))))
    gradient = tf.convert_to_tensor(tape.gradient(loss, layer.table)).numpy()
    np.testing.assert_array_equal(gradient[[1, 2, 5]], [[0.5, 0.5], [0.25, 0.25], [1, 1]])
    assert not gradient[[0, 3, 4, 6, 7, 8]].any()


def attend(layer, f, ids, t=0, table=slice(None)):
    """Equation of the layer's docstring for one sequence, and table t of some columns."""
    e = layer.table.numpy()[ids, table]
    q, k = e[0], e[1:]
    compared = np.concatenate([np.tile(q, (len(k), 1)), k, q * k], axis=1)
    hidden = np.maximum(compared @ layer.kernel.numpy()[t] + layer.hidden_bias.numpy()[t, f], 0)
    return (hidden @ layer.weight.numpy()[t, f] + layer.bias.numpy()[t, f]) @ k


def test_sequences_are_attended_to_or_concatenated():
    lengths = np.array([[3, 2, 2], [2, 2, 5]])
    ids, _ = make_ids(lengths)
    layer = SequenceEmbedding(9, 4, (0, 2, 0))
    inputs = (tf.constant(ids), tf.constant(lengths))
    layer(inputs)
    random = np.random.default_rng(0)
    for weight in (layer.hidden_bias, layer.bias):
        weight.assign(random.normal(size=weight.shape))
    cells = split(ids, lengths)
    expected = [
        np.concatenate([attend(layer, 0, a), attend(layer, 2, c), layer.table.numpy()[b].ravel()])
        for a, b, c in (cells[:3], cells[3:])
    ]
    np.testing.assert_allclose(layer(inputs), expected, rtol=1e-4, atol=1e-6)


def test_each_table_has_an_attention_of_its_own():
    lengths = np.array([[3], [2]])
    ids, _ = make_ids(lengths)
    layer = SequenceEmbedding(9, 6, (0,), tables=2)
    x = layer((tf.constant(ids), tf.constant(lengths)))
    expected = [
        np.concatenate([attend(layer, 0, i, t, slice(3 * t, 3 * t + 3)) for t in range(2)])
        for i in split(ids, lengths)
    ]
    np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-6)


def test_attention_begins_as_a_sum():
    layer = SequenceEmbedding(9, 4, (0,))
    x = layer((tf.constant([8, 1, 2]), tf.constant([[3]])))
    table = layer.table.numpy()
    assert np.abs(x.numpy()[0] - table[1] - table[2]).max() < 0.3 * np.abs(table).max()


def test_a_sequence_has_the_same_bits_in_every_batch():
    lengths = np.random.default_rng(5).integers(2, 25, size=(101, 2))
    ids, _ = make_ids(lengths)
    layer = SequenceEmbedding(9, 4, (0, 0))
    layer((tf.constant(ids), tf.constant(lengths)))

    @tf.function(autograph=False)
    def call(ids, lengths):
        return layer((ids, lengths))

    whole = call(tf.constant(ids), tf.constant(lengths)).numpy()
    ends = np.cumsum(lengths.sum(axis=1))
    for start, stop in ((0, 1), (1, 2), (7, 40), (40, 101)):
        of = slice(ends[start] - lengths[start].sum(), ends[stop - 1])
        some = call(ids[of], lengths[start:stop]).numpy()
        np.testing.assert_array_equal(some.view(np.int32), whole[start:stop].view(np.int32))


@pytest.mark.parametrize(
    "layer", [PooledEmbedding(9, 4, 0.1, "batch"), SequenceEmbedding(9, 4, (0, 2), 0.1)]
)
def test_the_configuration_makes_the_same_layer(layer):
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()
