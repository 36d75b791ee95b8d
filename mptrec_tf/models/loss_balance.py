"""How the tasks' losses become one: fixed weights, learned ones, averages, gradient surgery.

    uncertainty    sum_k exp(-s_k) L_k + s_k / 2, with s_k = log sigma_k^2 trained: Kendall et al.,
                   *Multi-Task Learning Using Uncertainty to Weigh Losses*, CVPR 2018, eq. 7 and 10,
                   https://arxiv.org/abs/1705.07115
    dwa            sum_k w_k L_k, w_k = K softmax_k(r_k / 2), r_k = L_k(t - 1) / L_k(t - 2) of the
                   last epochs: Liu et al., *End-to-End Multi-Task Learning with Attention*, CVPR
                   2019, eq. 7, https://arxiv.org/abs/1803.10704
    pcgrad         gradients that conflict are projected: Yu et al., *Gradient Surgery for
                   Multi-Task Learning*, NeurIPS 2020, algorithm 1, https://arxiv.org/abs/2001.06782

All state is in variables, so that a resumed run continues with it.
"""

import abc
from collections.abc import Sequence

import tensorflow as tf

from mptrec_tf.keras import keras
from mptrec_tf.models.loss_weights import EQUAL, LOSS_WEIGHTS, parse_loss_weights

# DWA's temperature, as in the paper.
_TEMPERATURE = 2.0


class LossBalance(keras.layers.Layer, abc.ABC):
    """The interface of ways to weigh the tasks' losses.

    Attributes:
      separate: bool. Whether the tasks' gradients are computed one by one, and joined by
        `join_gradients`.

    Args:
      tasks: Names of the tasks, K of them.
    """

    separate = False

    def __init__(self, tasks: Sequence[str], **kwargs):
        super().__init__(**kwargs)
        self.tasks = tuple(tasks)
        self.built = True

    def sum_tasks(self, losses: tf.Tensor) -> tf.Tensor:
        """Returns one loss of the tasks' losses [K] on a batch. Defaults to the plain sum."""
        return tf.reduce_sum(losses)

    def end_epoch(self, losses: tf.Tensor) -> None:
        """Updates the state by the tasks' mean losses [K] in an epoch; most have none."""

    def join_gradients(self, gradients: tf.Tensor) -> tf.Tensor:
        """Returns one gradient [P] of the tasks' gradients [K, P]."""
        return tf.reduce_sum(gradients, axis=0)


class FixedWeights(LossBalance):
    """A fixed weight for each task.

    Args:
      tasks: Names of the tasks.
      weights: One number for each.
    """

    def __init__(self, tasks: Sequence[str], weights: Sequence[float], **kwargs):
        super().__init__(tasks, **kwargs)
        self.weights_of_tasks = tuple(weights)

    def sum_tasks(self, losses: tf.Tensor) -> tf.Tensor:
        """Returns the weighted sum."""
        return tf.reduce_sum(tf.constant(self.weights_of_tasks) * losses)


class Uncertainty(LossBalance):
    """Weights that are trained with the model, from each task's noise.

    A squared error here is half the square, so that one formula holds for all kinds of tasks.
    """

    def __init__(self, tasks: Sequence[str], **kwargs):
        super().__init__(tasks, **kwargs)
        self.log_variances = self.add_weight(
            "log_variances",
            (len(self.tasks),),
            initializer="zeros",
            # As a regularizer it is added once, however many sums are made of the tasks' losses.
            regularizer=_half_sum,
        )

    def sum_tasks(self, losses: tf.Tensor) -> tf.Tensor:
        """Returns the weighted sum, without the term s_k / 2, which Keras adds."""
        return tf.reduce_sum(tf.exp(-self.log_variances) * losses)


def _half_sum(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(values) / 2


class DynamicWeightAverage(LossBalance):
    """Larger weights for tasks whose loss falls more slowly than the others'."""

    def __init__(self, tasks: Sequence[str], **kwargs):
        super().__init__(tasks, **kwargs)
        count = (len(self.tasks),)
        self.task_weights = self.add_weight(
            "task_weights", count, initializer="ones", trainable=False
        )
        # 0: there was no epoch yet.
        self.last_losses = self.add_weight(
            "last_losses", count, initializer="zeros", trainable=False
        )

    def sum_tasks(self, losses: tf.Tensor) -> tf.Tensor:
        """Returns the weighted sum."""
        return tf.reduce_sum(self.task_weights * losses)

    def end_epoch(self, losses: tf.Tensor) -> None:
        """Sets the weights of the next epoch; they are 1 in the first two."""
        ratios = losses / self.last_losses
        weights = len(self.tasks) * tf.nn.softmax(ratios / _TEMPERATURE)
        known = tf.reduce_all(tf.math.is_finite(ratios))
        self.task_weights.assign(tf.where(known, weights, tf.ones_like(weights)))
        self.last_losses.assign(losses)


class ProjectConflicts(LossBalance):
    """Gradient surgery: of two tasks whose gradients point apart, each loses that component.

    For a task i, and each other task j in random order:

        if g_i . g_j < 0:  g_i = g_i - (g_i . g_j) / ||g_j||^2 g_j

    and the sum over i is applied. Every g_i stays a sum of the original gradients, so the products
    of those, [K, K], are all that is needed. A number that one task alone has a gradient for, such
    as those of its tower, is left as it is: the paper projects shared parameters.
    """

    separate = True

    def __init__(self, tasks: Sequence[str], **kwargs):
        super().__init__(tasks, **kwargs)
        self.generator = tf.random.Generator.from_seed(
            int(keras.backend.random_uniform([], 0, 2**31 - 1, dtype="int32"))
        )

    def join_gradients(self, gradients: tf.Tensor) -> tf.Tensor:
        """Returns the sum [P] of the projected gradients of [K, P]."""
        of_tasks = tf.reduce_sum(tf.cast(gradients != 0, tf.int32), axis=0)
        shared = tf.where(of_tasks > 1, gradients, 0.0)
        products = tf.matmul(shared, shared, transpose_b=True)
        coefficients = tf.reduce_sum(project_conflicts(products, self._make_orders()), axis=0)
        joined = tf.linalg.matvec(shared, coefficients, transpose_a=True)
        return joined + tf.reduce_sum(gradients - shared, axis=0)

    def _make_orders(self) -> tf.Tensor:
        count = len(self.tasks)
        seed = self.generator.make_seeds(1)[:, 0]
        return tf.argsort(tf.random.stateless_uniform([count, count], seed), axis=1)


def project_conflicts(products: tf.Tensor, orders: tf.Tensor) -> tf.Tensor:
    """Returns the projected gradients as sums of the original ones.

    Args:
      products: [K, K]. g_i . g_j.
      orders: [K, K]. The order in which task i is compared with the tasks, itself included.

    Returns:
      [K, K]. The projected g_i is the sum over j of [i, j] times the original g_j.
    """
    count = products.shape[0]
    tasks = tf.range(count)
    coefficients = tf.eye(count)
    # Each projection needs the one before it. All tasks i are projected together.
    for place in range(count):
        other = orders[:, place]
        of_other = tf.gather(products, other)  # g_j . g_l, [K, K]
        dots = tf.reduce_sum(coefficients * of_other, axis=1)
        squares = tf.gather(tf.linalg.diag_part(products), other)
        conflict = (dots < 0) & (other != tasks)
        remove = tf.where(conflict, tf.math.divide_no_nan(dots, squares), 0.0)
        coefficients -= remove[:, tf.newaxis] * tf.one_hot(other, count)
    return coefficients


def make_balance(text: str, tasks: Sequence[str]) -> LossBalance | None:
    """Returns the way to weigh losses that a text gives, see `parse_loss_weights`.

    None for the plain sum, so that a trainer without weights holds nothing that is new.
    """
    if text == EQUAL:
        return None
    weights = parse_loss_weights(text, tasks)
    if weights is not None:
        return FixedWeights(tasks, weights, name="loss_balance")
    return LOSS_WEIGHTS.get(text)(tasks, name="loss_balance")
