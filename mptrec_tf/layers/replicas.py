"""Sums over the replicas that compute a step together, see `training.distribution`."""

import tensorflow as tf


def count_replicas() -> int:
    """Returns how many replicas compute this step; 1 outside of a replica's step."""
    if not tf.distribute.has_strategy() or tf.distribute.in_cross_replica_context():
        return 1
    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """Returns the sum of all replicas' values; where there is one replica, its values."""
    if count_replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def gather_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """Returns the values [N, ...] of all replicas, one after the other."""
    if count_replicas() == 1:
        return values
    return tf.distribute.get_replica_context().all_gather(values, axis=0)
