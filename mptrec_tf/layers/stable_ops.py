"""Operations whose results are the same, bit for bit, whatever else is computed with them.

TensorFlow and its Eigen compute the same number in different ways, depending on the size of the
tensor that holds it. Each function here avoids one such behaviour, and names it. They were measured
on the releases in `TRIED`, with oneDNN and without; `tests/layers/test_stable_ops.py` measures them
again, and fails on any other release.

Callers must avoid two more behaviours themselves: the graph optimizer reorders products of several
factors, and sums, that broadcast each other; and a product is the same for each of a batch of
matrices, but not for a part of one matrix.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf

# Releases of TensorFlow on which all this was measured: those of the two supported stacks.
TRIED = ("2.16.2", "2.21.0")

_VECTOR = 16  # float32 values in the widest registers
# Products of so many terms with no more results than this add them up in one order; for larger
# ones Eigen multiplies in another way.
_TERMS, _RESULTS = 2, 8192
_Item = TypeVar("_Item")


def apply_in_whole_vectors(
    function: Callable[[tf.Tensor], tf.Tensor], values: tf.Tensor
) -> tf.Tensor:
    """Applies an element-wise function to [..., B].

    Eigen computes exponentials (and roots) of whole vector registers in another way than those of
    the remaining values at the end. B is padded, so that none remain.

    Args:
      function: Element-wise, such as `tf.sigmoid`.
      values: [..., B].
    """
    rows = tf.shape(values)[-1]
    ends = [[0, 0]] * (values.shape.rank - 1) + [[0, -rows % _VECTOR]]
    return function(tf.pad(values, ends))[..., :rows]


def at_least_two(items: Sequence[_Item]) -> list[_Item]:
    """Returns the items of a batch, a single one twice.

    TensorFlow multiplies a batch of one matrix in another way than a larger batch.
    """
    return list(items) if len(items) > 1 else 2 * list(items)


def at_least_two_rows(values: tf.Tensor) -> tf.Tensor:
    """Returns [B, M, N], with zeros after a single matrix; see `at_least_two`."""
    # `tf.pad` copies nothing where it adds nothing.
    return tf.pad(values, [[0, tf.maximum(0, 2 - tf.shape(values)[0])], [0, 0], [0, 0]])


def split_columns(columns: np.ndarray) -> np.ndarray:
    """Splits columns [D, N] into [G, D, 16], zeros at the end; G is 2 or more.

    A product with [D, N] adds up in an order that depends on N. A product with 16 columns, which
    fill a vector register, does not. See `multiply_columns` and, for G, `at_least_two`.
    """
    count = columns.shape[1]
    groups = max(2, -(-count // _VECTOR))
    columns = np.pad(columns, [[0, 0], [0, groups * _VECTOR - count]])
    return np.stack(np.split(columns, groups, axis=1))


def multiply_columns(x: tf.Tensor, columns: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the products [N, B] of x [B, D] and N columns that `split_columns` split."""
    product = tf.transpose(x[tf.newaxis] @ columns, [0, 2, 1])  # [G, 16, B]
    return tf.reshape(product, [-1, tf.shape(product)[2]])[:count]


def sum_in_order(values: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the sum of [count, ...] over its first dimension.

    `reduce_sum` adds 16 terms and more in an order that depends on the other dimensions; `add_n`
    does not.
    """
    return tf.add_n(tf.unstack(values, num=count))


def mix(weights: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns weighted sums [B, N, H] over K, of weights [K, N, B] and values [K, B, H].

    A product adds up its K terms in an order that depends on N and H, unless there are two terms
    and few results. So `add_n` adds products of two terms, each over so many of the N that the
    results are few. Where even one of the N has more results, it takes one term at a time.
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
