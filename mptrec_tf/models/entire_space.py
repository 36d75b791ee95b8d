"""Tasks that are given another one: a purchase, given a click, predicted for every impression.

    P(purchase) = P(click) * P(purchase | click)

Both factors are trained over all impressions by the losses of the click and of the purchase, so
that the rows without a click are no other space than those that are served (ESMM, Ma et al.,
*Entire Space Multi-Task Model*, SIGIR 2018, eq. 1 to 3). A model's logit of such a task is that of
the conditional probability.
"""

from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from mptrec_tf.data.tasks.base import Task

_LEAST, _NEAREST = 1e-30, 1e-7  # to 0 and to 1; closer probabilities have no logit in float32


def has_given(tasks: Sequence[Task]) -> bool:
    """Whether any of the tasks is given another one."""
    return any(task.given for task in tasks)


def multiply(given: tf.Tensor, conditional: tf.Tensor) -> tf.Tensor:
    """Returns the logit of sigmoid(given) * sigmoid(conditional), for logits of any size.

    Example:
      >>> float(tf.sigmoid(multiply(tf.constant(0.0), tf.constant(0.0))))
      0.25
    """
    log_given = tf.math.log_sigmoid(given)
    # 1 - p q = (1 - p) + p (1 - q): no difference of nearly equal numbers.
    rest = [tf.math.log_sigmoid(-given), log_given + tf.math.log_sigmoid(-conditional)]
    log_product = log_given + tf.math.log_sigmoid(conditional)
    return log_product - tf.reduce_logsumexp(tf.stack(rest), axis=0)


def total_logits(
    tasks: Sequence[Task], logits: Sequence[tf.Tensor], known: Mapping[str, tf.Tensor]
) -> list[tf.Tensor]:
    """Returns the logits of tasks' predictions, for training.

    Args:
      tasks: The tasks, in any order.
      logits: One for each task; those of a task with a `given`, and of the given one, are [B].
      known: Predictions [B] of other tasks by name, such as those of a frozen model.

    Raises:
      KeyError: if the given task is neither among the tasks nor known.
    """
    frozen = {}
    for name, probability in known.items():
        p = tf.clip_by_value(probability, _LEAST, 1 - _NEAREST)
        frozen[name] = tf.math.log(p) - tf.math.log1p(-p)
    return _combine(tasks, logits, frozen, multiply)


def total_predictions(
    tasks: Sequence[Task], predictions: Sequence[tf.Tensor], known: Mapping[str, tf.Tensor]
) -> list[tf.Tensor]:
    """Returns the predictions of tasks; those with a `given` are products.

    Args:
      tasks: The tasks, in any order.
      predictions: One for each task, conditional on its `given`.
      known: Predictions [B] of other tasks by name.

    Raises:
      KeyError: if the given task is neither among the tasks nor known.
    """
    return _combine(tasks, predictions, known, tf.multiply)


def _combine(
    tasks: Sequence[Task],
    values: Sequence[tf.Tensor],
    known: Mapping[str, tf.Tensor],
    combine: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> list[tf.Tensor]:
    """Combines each task's value with that of its given task, which may have a given one, too."""
    own = {task.name: of for task, of in zip(tasks, values, strict=True)}
    given = {task.name: task.given for task in tasks}
    totals = dict(known)

    def total(name: str) -> tf.Tensor:
        if name not in totals:
            on = given[name]
            totals[name] = own[name] if on is None else combine(total(on), own[name])
        return totals[name]

    return [total(task.name) for task in tasks]


def order_by_given(tasks: Sequence[Task]) -> list[list[int]]:
    """Returns the places of tasks in groups; a task comes in a later one than what it is given.

    Example:
      >>> from mptrec_tf.data.tasks.binary import BinaryTask
      >>> click = BinaryTask("click", "c", "1")
      >>> order_by_given([BinaryTask("buy", "b", "1", given="click"), click])
      [[1], [0]]
    """
    by_name = {task.name: task for task in tasks}

    def depth(task: Task) -> int:
        given = by_name.get(task.given)
        return 0 if given is None else 1 + depth(given)

    depths = [depth(task) for task in tasks]
    return [[i for i, of in enumerate(depths) if of == d] for d in sorted(set(depths))]
