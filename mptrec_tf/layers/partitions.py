"""Tables that are whole, or partitioned over parameter servers by the strategy's partitioner."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def list_parts(table: Any) -> Sequence[tf.Variable]:
    """Returns a table's parts, consecutive rows in each; a table that is whole is one."""
    return table.variables if is_partitioned(table) else [table]


def is_partitioned(table: Any) -> bool:
    """Whether a table consists of several variables."""
    return getattr(table, "is_sharded_variable", False)


def look_up(table: Any, rows: tf.Tensor) -> tf.Tensor:
    """Returns rows of a table [rows, width] in any order; each part is asked for its own alone."""
    if is_partitioned(table):
        return tf.nn.embedding_lookup(list(list_parts(table)), rows)
    return tf.gather(table, rows)
