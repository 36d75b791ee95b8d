"""Reads the statistics of a fitted preprocessing graph.

A kind of feature gives a name to operations that depend only on its analyzers' results, and reads
them from a fitted graph by these names.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft


def read_fitted_values(
    transform: tft.TFTransformOutput, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns tensors of a fitted graph that do not depend on rows.

    Args:
      transform: The graph.
      names: Names of operations.

    Returns:
      The first output of each operation that the graph has, by name.
    """
    loaded = tf.saved_model.load(transform.transform_savedmodel_dir)
    fitted = loaded.transform_fn
    known = {operation.name for operation in fitted.graph.get_operations()}
    names = [name for name in names if name in known]
    captured = zip(fitted.graph.internal_captures, fitted.captured_inputs, strict=True)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        results = {
            placeholder.op.name: tf.constant(result.numpy())
            for placeholder, result in captured
            if result.dtype not in (tf.resource, tf.variant)
        }
        tensors = tf.import_graph_def(
            fitted.graph.as_graph_def(), results, [f"{name}:0" for name in names], name=""
        )
        return dict(zip(names, session.run(tensors), strict=True))
