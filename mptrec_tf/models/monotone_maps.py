"""Applies the monotone maps of isotonic calibration to predictions, see `evaluation.isotonic`."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.data.tasks.base import Task


def apply_knots(tasks: Sequence[Task], predictions: tf.Tensor) -> tf.Tensor:
    """Returns the tasks' calibrated predictions; those of a task without knots are not touched.

    Each prediction is computed by operations on single numbers, so that its bits depend on nothing
    else in the batch.

    Args:
      tasks: K tasks.
      predictions: [K, B].
    """
    mapped = [place for place, task in enumerate(tasks) if task.knots]
    if not mapped:
        return predictions
    rows = tf.unstack(predictions, num=len(tasks))
    values = _map(tf.stack([rows[place] for place in mapped]), [tasks[i].knots for i in mapped])
    for place, calibrated in zip(mapped, tf.unstack(values, num=len(mapped)), strict=True):
        rows[place] = calibrated
    return tf.stack(rows)


def _map(values: tf.Tensor, maps: Sequence[Sequence[tuple[float, float]]]) -> tf.Tensor:
    """Maps values [N, B], each row by N lists of at least two (from, to) pairs."""
    segments = max(len(knots) for knots in maps) - 1
    # A segment's first number, the value there, the slope, and number and value at its end. Unused
    # segments are never found.
    table = np.full([5, len(maps), segments], np.inf, np.float32)
    for row, knots in enumerate(maps):
        x, y = np.array(knots, np.float64).T
        parts = (x[:-1], y[:-1], np.diff(y) / np.diff(x), x[1:], y[1:])
        for part, of in zip(table, parts, strict=True):
            part[row, : len(knots) - 1] = of
    found = tf.searchsorted(table[0], values, side="right") - 1
    found = tf.maximum(found, 0)  # below the first number its segment continues
    x, y, slope, next_x, next_y = (tf.gather(part, found, batch_dims=1) for part in table)
    result = y + (values - x) * slope
    # Rounding must not reorder values on both sides of a knot.
    return tf.where(values <= next_x, tf.minimum(result, next_y), tf.maximum(result, next_y))
