"""Fields that the shapes of several kinds of heads share."""

from typing import Any

from mptrec_tf.settings import setting


def tower_units(default: tuple[int, ...] = (64, 32)) -> Any:
    """Returns the field for the hidden layers of the tower."""
    return setting(default, "Hidden layers of a tower.")


def tower_dropout(default: float = 0.0) -> Any:
    """Returns the field for the dropout in the tower, in [0, 1)."""
    return setting(default, "In towers.", low=0.0, high=0.99, training_only=True)


def l2_dense(default: float = 3e-5) -> Any:
    """Returns the field for the L2 of the head's dense weights."""
    text = "L2 of the weights of experts and towers."
    return setting(default, text, low=0.0, training_only=True)
