"""Flags of a training run, for both stages."""

from typing import Any

from absl import flags

from mptrec_tf.training.configurations import LARGEST_SEED, TrainingConfig

# Defaults come from the configurations, or from the head's own recipe; `defaults` shows them.
EPOCHS = flags.DEFINE_integer("epochs", None, "Train for at most this many epochs.", lower_bound=1)
PATIENCE = flags.DEFINE_integer(
    "patience",
    None,
    "Stop after this many epochs without a better validation score.",
    lower_bound=1,
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "Rows of a training step.", lower_bound=1)
LEARNING_RATE = flags.DEFINE_float("learning_rate", None, "Adam's learning rate.", lower_bound=1e-9)
SEED = flags.DEFINE_integer(
    "seed",
    TrainingConfig.seed,
    "Same seed, data and machine: the same result.",
    lower_bound=0,
    upper_bound=LARGEST_SEED,
)
CALIBRATE = flags.DEFINE_bool(
    "calibrate",
    None,
    "Fit the best epoch's predictions to the validation rows, by each task's `calibrate`.",
)


def read_fields(*holders: flags.FlagHolder) -> dict[str, Any]:
    """Returns the values of the flags that are given, by name."""
    return {flag.name: flag.value for flag in holders if flag.value is not None}


def read_training_fields() -> dict[str, int | float]:
    """Returns the fields of `TrainingConfig` that the flags set; the seed always."""
    return read_fields(EPOCHS, PATIENCE, BATCH_SIZE, LEARNING_RATE, SEED, CALIBRATE)
