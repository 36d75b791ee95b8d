"""Floating point operations, counted from the graph that runs.

The graph is that of a training step as `fit` compiles it: forward pass, gradients, and the
optimizer, for one batch of fixed size. A multiplication and an addition count one each. Matrix
products are counted here, from the shapes in the graph, everything else by TensorFlow's profiler:
of transposed batched products it reads an attribute that they do not have, and counts too little.
Operations whose results nothing needs, such as the gradient of a frozen input, are not executed
and do not count.
"""

import contextlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from mptrec_tf.keras import keras

_PRODUCTS = {"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"}
# Operations whose own work the profiler does not see: it is in another graph, or unknown to it.
_UNSEEN = {
    *("PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If"),
    *("StatelessIf", "Case", "Einsum", "XlaDot"),
}


def make_specs(columns: Mapping[str, tf.Tensor | tf.RaggedTensor], rows: int) -> dict[str, Any]:
    """Returns the specs of a batch of so many rows with the columns of others.

    A column of any number of values in a row has as many, in the mean, as it has there: its specs
    are those of all values, and of the places where rows end.
    """
    return {name: _make_spec(column, rows) for name, column in columns.items()}


def _make_spec(column: tf.Tensor | tf.RaggedTensor, rows: int) -> Any:
    if not isinstance(column, tf.RaggedTensor):
        return tf.TensorSpec([rows, *column.shape[1:]], column.dtype)
    values, ends = column.flat_values, column.row_splits
    count = round(rows * values.shape[0] / column.shape[0])
    return (
        tf.TensorSpec([count, *values.shape[1:]], values.dtype),
        tf.TensorSpec([rows + 1], ends.dtype),
    )


def _join_ragged(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a batch of which `make_specs` gave the specs."""
    return {
        name: tf.RaggedTensor.from_row_splits(*of, validate=False) if isinstance(of, tuple) else of
        for name, of in parts.items()
    }


def count_flops(function: Callable[[Any], Any], specs: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Counts the operations of a function of a batch.

    Args:
      function: The function.
      specs: The batch, with all sizes known, as `make_specs` returns them.

    Returns:
      The number, and the kinds of operations in the graph that were not counted: with any of
      those, the number is too small.
    """
    traced = tf.function(lambda parts: function(_join_ragged(parts)), autograph=False)
    graph = traced.get_concrete_function(dict(specs)).graph
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        profile = tf.compat.v1.profiler.profile(graph, cmd="scope", options=options)
    operations = _list_executed(graph)
    products = sum(_count_product(op) for op in operations if op.type in _PRODUCTS)
    unseen = sorted({op.type for op in operations} & _UNSEEN)
    others = {op.name for op in operations if op.type not in _PRODUCTS}
    return products + _count_others(profile, others), unseen


def _list_executed(graph: Any) -> list[tf.Operation]:
    """Returns the operations of a function's graph that its outputs or its side effects need."""
    left = [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    executed: dict[str, tf.Operation] = {}
    while left:
        op = left.pop()
        if op.name not in executed:
            executed[op.name] = op
            left += [tensor.op for tensor in op.inputs]
            left += op.control_inputs
    return list(executed.values())


def _count_product(op: tf.Operation) -> int:
    """Counts the operations of a matrix product [..., n, k] x [..., k, m]."""
    name = "transpose_a" if op.type == "MatMul" else "adj_x"
    inner = op.inputs[0].shape[-2 if op.get_attr(name) else -1]
    return 2 * op.outputs[0].shape.num_elements() * inner


def _count_others(node: Any, names: set[str]) -> int:
    """Counts the operations of the named nodes of a profile."""
    own = int(node.float_ops) if node.name in names else 0
    return own + sum(_count_others(child, names) for child in node.children)


def count_step_flops(
    model: keras.Model, columns: Mapping[str, tf.Tensor], rows: int
) -> tuple[int, list[str]]:
    """Counts the operations of a compiled model's training step on so many rows, as `count_flops`.

    The model's weights do not change.
    """
    return count_flops(model.train_step, make_specs(columns, rows))
