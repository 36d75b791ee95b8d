"""Columns of a value per row beside columns of one value for all rows."""

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.transform.shared_columns import (
    join_columns,
    list_sizes,
    repeat_column,
    stack_columns,
)


def test_values_are_joined_once_and_spread_over_rows():
    joined = join_columns([tf.constant(["u"]), tf.constant(["a", "b", "c"]), tf.constant(["v"])])
    assert joined.values.numpy().tolist() == [b"u", b"a", b"b", b"c", b"v"]
    assert joined.sizes.numpy().tolist() == [1, 3, 1]
    assert joined.column_of().numpy().tolist() == [0, 1, 1, 1, 2]
    lengths = joined.spread(tf.constant([10, 20, 30, 40, 50]))
    assert lengths.numpy().tolist() == [[10, 20, 50], [10, 30, 50], [10, 40, 50]]
    assert [of.numpy().tolist() for of in joined.split(joined.values)] == [
        [b"u"],
        [b"a", b"b", b"c"],
        [b"v"],
    ]


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_columns_of_all_rows_are_stacked(rows):
    columns = np.random.default_rng(rows).random((3, rows)).astype(np.float32)
    np.testing.assert_array_equal(stack_columns(list(map(tf.constant, columns))), columns.T)


def test_shapes_are_known_in_graphs():
    @tf.function(input_signature=[tf.TensorSpec([None])] * 2)
    def stack(first, second):
        stacked = stack_columns([first, second])
        assert stacked.shape.as_list() == [None, 2]
        return stacked

    assert stack(tf.constant([1.0]), tf.constant([2.0, 3.0])).numpy().tolist() == [[1, 2], [1, 3]]


def test_sizes_of_columns_of_several_types_and_ranks():
    columns = [tf.zeros([3]), tf.constant(["a"]), tf.zeros([3, 7]), tf.constant([""] * 3)]
    assert list_sizes(columns).numpy().tolist() == [3, 1, 3, 3]


def test_a_vector_is_repeated():
    repeated = repeat_column(tf.constant([[1.0, 2.0]]), tf.constant(2))
    assert repeated.numpy().tolist() == [[1, 2], [1, 2]]
