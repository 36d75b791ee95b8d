"""Tables in parts, as parameter servers hold them, are looked up and named as whole ones."""

import numpy as np
import tensorflow as tf
from tensorflow.python.distribute.sharded_variable import ShardedVariable

from mptrec_tf.keras import keras
from mptrec_tf.layers.embedding import PackedEmbedding
from mptrec_tf.layers.partitions import is_partitioned, list_parts, look_up
from mptrec_tf.models.weights import named_weights

VALUES = np.arange(14.0, dtype=np.float32).reshape(7, 2)


def make_parts():
    return ShardedVariable(
        [
            tf.Variable(VALUES[:4], name="embedding/table/part_0"),
            tf.Variable(VALUES[4:], name="embedding/table/part_1"),
        ]
    )


def test_rows_of_all_parts_in_any_order():
    rows = tf.constant([[6, 0], [3, 4], [3, 5]])
    whole, parts = tf.Variable(VALUES), make_parts()
    np.testing.assert_array_equal(look_up(parts, rows), look_up(whole, rows))
    assert (is_partitioned(parts), is_partitioned(whole)) == (True, False)
    assert [part.shape[0] for part in list_parts(parts)] == [4, 3]
    assert list_parts(whole) == [whole]


def test_each_part_gets_the_gradient_of_its_own_rows():
    parts = make_parts()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(look_up(parts, tf.constant([5, 1, 5])) * [[1.0], [2.0], [3.0]])
    first, second = map(tf.convert_to_tensor, tape.gradient(total, list(list_parts(parts))))
    np.testing.assert_array_equal(first, [[0, 0], [2, 2], [0, 0], [0, 0]])
    np.testing.assert_array_equal(second, [[0, 0], [4, 4], [0, 0]])


def test_a_partitioned_table_is_one_weight():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.first = PackedEmbedding(7, 2, l2=1.0, l2_over="batch", name="embedding")

    model = Model()
    ids = tf.constant([[6, 0]])
    model.first(ids)
    model.first.table = parts = make_parts()
    model.first._trainable_weights = list(list_parts(parts))
    assert named_weights(model) == {"embedding/table": parts}
    np.testing.assert_array_equal(model.first(ids), [[12, 13, 0, 1]])
    [l2] = model.first.losses
    assert float(l2) == (144 + 169 + 0 + 1) / 2
