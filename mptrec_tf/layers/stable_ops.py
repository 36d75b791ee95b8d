"""Operations whose results do not depend, to the last bit, on what they are computed beside.

TensorFlow and its Eigen compute one number in different ways, by the size of the tensor that it
stands in. Each function here avoids one such behaviour, and says which. They were found by trying,
on the releases in `TRIED`, with oneDNN and without; `tests/layers/test_stable_ops.py` tries them
again, and fails for a release that is not among these.

Two more are avoided by their users, as there is no function for what is not written: the optimizer
of graphs changes the order of products of several factors, or of sums, that widen each other; and a
product is the same for each of a batch of matrices, but not for a part of one matrix.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf

# Releases of TensorFlow on which all this was seen: those of the two stacks.
TRIED = ("2.16.2", "2.21.0")

_VECTOR = 16  # float32 of the widest registers
# Products of so many terms with no more results than this add them up in one order: above it Eigen
# multiplies in another way.
_TERMS, _RESULTS = 2, 8192
_Item = TypeVar("_Item")


def apply_in_whole_vectors(
    function: Callable[[tf.Tensor], tf.Tensor], values: tf.Tensor
) -> tf.Tensor:
    """Applies a function of single values to [..., B].

    Eigen takes exponentials (and roots) of whole vector registers in another way than those of the
    values that are left over at the end. B is filled up, so that none is left over.

    Args:
      function: Returns one value for each, such as `tf.sigmoid`.
      values: [..., B].
    """
    rows = tf.shape(values)[-1]
    ends = [[0, 0]] * (values.shape.rank - 1) + [[0, -rows % _VECTOR]]
    return function(tf.pad(values, ends))[..., :rows]


def at_least_two(items: Sequence[_Item]) -> list[_Item]:
    """Returns at least two of what makes a batch of matrices: a single one twice.

    TensorFlow multiplies a batch of one matrix in another way than a larger batch.
    """
    return list(items) if len(items) > 1 else 2 * list(items)


def at_least_two_rows(values: tf.Tensor) -> tf.Tensor:
    """Returns at least two of [B, M, N], zeros after a single one; see `at_least_two`."""
    # Where nothing is added, nothing is copied.
    return tf.pad(values, [[0, tf.maximum(0, 2 - tf.shape(values)[0])], [0, 0], [0, 0]])


def split_columns(columns: np.ndarray) -> np.ndarray:
    """Returns [G, D, 16] of columns [D, N], zeros at the end; G is 2 or more, see `at_least_two`.

    A product with [D, N] adds up in an order that depends on N: one with 16 columns, which fill a
    vector register, does not. See `multiply_columns`.
    """
    count = columns.shape[1]
    groups = max(2, -(-count // _VECTOR))
    columns = np.pad(columns, [[0, 0], [0, groups * _VECTOR - count]])
    return np.stack(np.split(columns, groups, axis=1))


def multiply_columns(x: tf.Tensor, columns: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the products [N, B] of x [B, D] with what `split_columns` made of N columns."""
    product = tf.transpose(x[tf.newaxis] @ columns, [0, 2, 1])  # [G, 16, B]
    return tf.reshape(product, [-1, tf.shape(product)[2]])[:count]


def sum_in_order(values: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the sum of [count, ...] over its first dimension.

    `reduce_sum` adds 16 terms and more in an order that depends on the other dimensions: `add_n`
    does not.
    """
    return tf.add_n(tf.unstack(values, num=count))


def mix(weights: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns sums [B, N, H] over K, of weights [K, N, B] and values [K, B, H].

    A product adds up its K terms in an order that depends on N and H, unless these are two and the
    results few: products of two terms, of so many of the N that their results are few, are added by
    `add_n`. Where a single one has more results than that, one term at a time.
    """
    rows = tf.shape(weights)[2]
    weights = at_least_two_rows(tf.transpose(weights, [2, 1, 0]))
    values = at_least_two_rows(tf.transpose(values, [1, 0, 2]))
    count, all_terms, width = weights.shape[1], *values.shape[1:]
    some = max(1, _RESULTS // width)
    terms = _TERMS if some * width <= _RESULTS else 1
    sums = [
        tf.add_n(
            [
                weights[:, n : n + some, k : k + terms] @ values[:, k : k + terms]
                for k in range(0, all_terms, terms)
            ]
        )
        for n in range(0, count, some)
    ]
    return tf.concat(sums, axis=1)[:rows]
