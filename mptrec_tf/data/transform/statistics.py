"""What the analyzers of a fitted preprocessing graph found in the training rows.

A kind of feature names the tensors that it makes of its analyzers' results alone, by the `name` of
the operation, and asks a fitted graph for them by these names.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft


def read_fitted_values(
    transform: tft.TFTransformOutput, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns tensors of a fitted graph that depend on no row.

    Args:
      transform: The graph.
      names: Names of operations.

    Returns:
      The first output of each operation by name; of those that the graph has.
    """
    loaded = tf.saved_model.load(transform.transform_savedmodel_dir)
    fitted = loaded.transform_fn
    known = {operation.name for operation in fitted.graph.get_operations()}
    wanted = [name for name in names if name in known]
    captured = zip(fitted.graph.internal_captures, fitted.captured_inputs, strict=True)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        results = {
            placeholder.op.name: tf.constant(result.numpy())
            for placeholder, result in captured
            if result.dtype not in (tf.resource, tf.variant)
        }
        tensors = tf.import_graph_def(
            fitted.graph.as_graph_def(), results, [f"{name}:0" for name in wanted], name=""
        )
        return dict(zip(wanted, session.run(tensors), strict=True))
