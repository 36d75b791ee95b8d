"""Ways to weigh the tasks' losses, by name, and fixed weights. Imports no TensorFlow.

A way is a subclass of `LossBalance` (`loss_balance`) and a line in the registry. "equal" is the
plain sum, for which there is none.
"""

import math
from collections.abc import Sequence

from mptrec_tf.errors import InputError, did_you_mean
from mptrec_tf.kinds import Registry

EQUAL = "equal"
LOSS_WEIGHTS: Registry[type] = Registry(
    "way to weigh losses",
    {
        "uncertainty": "mptrec_tf.models.loss_balance:Uncertainty",
        "dwa": "mptrec_tf.models.loss_balance:DynamicWeightAverage",
        "pcgrad": "mptrec_tf.models.loss_balance:ProjectConflicts",
    },
)


def parse_loss_weights(text: str, tasks: Sequence[str]) -> tuple[float, ...] | None:
    """Returns the fixed weights that a text gives; None for a name.

    Args:
      text: A name, or numbers by commas.
      tasks: Names of the tasks, whose order is that of the numbers.

    Raises:
      InputError: for anything else, or not one number of 0 or more for each task.

    Example:
      >>> parse_loss_weights("1, 0.5", ("click", "buy"))
      (1.0, 0.5)
    """
    names = (EQUAL, *LOSS_WEIGHTS.names())
    if text in names:
        return None
    try:
        weights = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"loss_weights are numbers by commas, or one of {', '.join(names)}, not {text!r}"
            f"{did_you_mean(text, names)}"
        ) from None
    if len(weights) != len(tasks):
        raise InputError(
            f"loss_weights {text!r} are {len(weights)} and tasks are {len(tasks)} "
            f"({', '.join(tasks)}); give a number for each task."
        )
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise InputError(
            f"loss_weights must be 0 or more, and not all 0, not {text!r}; give other numbers."
        )
    return weights
