"""Flags of a training run, for both stages."""

from typing import Any

from absl import flags

from mptrec_tf.training.configurations import TrainingConfig

# What is not given is as the configurations have it, or as the head's own recipe has it; `defaults`
# shows it.
EPOCHS = flags.DEFINE_integer("epochs", None, "Train for at most so many epochs.", lower_bound=1)
PATIENCE = flags.DEFINE_integer(
    "patience", None, "Stop after so many epochs without a better validation score.", lower_bound=1
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", None, "Rows of a training step.", lower_bound=1)
LEARNING_RATE = flags.DEFINE_float("learning_rate", None, "Of Adam.", lower_bound=1e-9)
SEED = flags.DEFINE_integer(
    "seed",
    TrainingConfig.seed,
    "Same seed, data and machine: the same result.",
    lower_bound=0,
    upper_bound=2**31 - 1,
)
CALIBRATE = flags.DEFINE_bool(
    "calibrate",
    None,
    "Scale and shift the logits of the best epoch to fit the validation rows; AUCs stay.",
)
TOWER_UNITS = flags.DEFINE_list("tower_units", None, "Hidden layers of a tower.")
TOWER_DROPOUT = flags.DEFINE_float(
    "tower_dropout", None, "In towers.", lower_bound=0.0, upper_bound=0.99
)
L2_DENSE = flags.DEFINE_float(
    "l2_dense", None, "L2 of the weights of experts and towers.", lower_bound=0.0
)


def _is_units(values: list[str] | None) -> bool:
    given = values is not None
    return not given or (bool(values) and all(v.isdigit() and int(v) > 0 for v in values))


def check_units(name: str) -> None:
    """Refuses a list flag that is not a list of positive whole numbers."""
    flags.register_validator(
        name, _is_units, message=f"--{name} must be positive whole numbers, such as 64,32"
    )


check_units("tower_units")


def units(flag: flags.FlagHolder) -> dict[str, tuple[int, ...]]:
    """The field that a list of numbers gives, if it is given."""
    return {name: tuple(map(int, values)) for name, values in given(flag).items()}


def given(*holders: flags.FlagHolder) -> dict[str, Any]:
    """The fields of a configuration that flags of their names give."""
    return {flag.name: flag.value for flag in holders if flag.value is not None}


def training_fields() -> dict[str, int | float]:
    """The fields of `TrainingConfig` that the flags give; the seed always."""
    return given(EPOCHS, PATIENCE, BATCH_SIZE, LEARNING_RATE, SEED, CALIBRATE)


def shape_fields() -> dict[str, float | tuple[int, ...]]:
    """The fields of a tower's shape that the flags give."""
    return given(TOWER_DROPOUT, L2_DENSE) | units(TOWER_UNITS)
