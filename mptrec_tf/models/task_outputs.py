"""Losses and predictions of tasks, from their logits."""

from collections.abc import Sequence

import tensorflow as tf

from mptrec_tf.data.spec import Task


def task_losses(tasks: Sequence[Task], logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Binary cross entropy of each task on each sample.

    Args:
      tasks: K tasks.
      logits: [K, B].
      labels: [B, K], each 0 or 1.

    Returns:
      [K, B].
    """
    del tasks
    return tf.nn.sigmoid_cross_entropy_with_logits(tf.transpose(labels), logits)


def task_predictions(tasks: Sequence[Task], logits: tf.Tensor) -> tf.Tensor:
    """Returns what tasks predict, [..., K, B], of logits [..., K, B]."""
    del tasks
    return tf.sigmoid(logits)
