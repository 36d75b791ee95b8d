"""Flags of a training run, for both stages."""

from absl import flags

EPOCHS = flags.DEFINE_integer("epochs", 30, "Train for at most so many epochs.", lower_bound=1)
PATIENCE = flags.DEFINE_integer(
    "patience", 5, "Stop after so many epochs without a better validation AUC.", lower_bound=1
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "Rows of a training step.", lower_bound=1)
LEARNING_RATE = flags.DEFINE_float("learning_rate", 1e-3, "Of Adam.", lower_bound=1e-9)
SEED = flags.DEFINE_integer(
    "seed",
    1,
    "Same seed, data and machine: the same result.",
    lower_bound=0,
    upper_bound=2**31 - 1,
)
TOWER_UNITS = flags.DEFINE_list("tower_units", ["64", "32"], "Hidden layers of a tower.")
TOWER_DROPOUT = flags.DEFINE_float(
    "tower_dropout", 0.0, "In towers.", lower_bound=0.0, upper_bound=0.99
)
L2_DENSE = flags.DEFINE_float(
    "l2_dense", 3e-5, "L2 of the weights of experts and towers.", lower_bound=0.0
)


def _is_units(values: list[str]) -> bool:
    return bool(values) and all(value.isdigit() and int(value) > 0 for value in values)


def check_units(name: str) -> None:
    """Refuses a list flag that is not a list of positive whole numbers."""
    flags.register_validator(
        name, _is_units, message=f"--{name} must be positive whole numbers, such as 64,32"
    )


check_units("tower_units")


def units(flag: flags.FlagHolder) -> tuple[int, ...]:
    """The numbers of a list flag."""
    return tuple(int(value) for value in flag.value)


def training_config():
    """The `TrainingConfig` that the flags say."""
    from mptrec_tf.training.loop import TrainingConfig

    return TrainingConfig(
        epochs=EPOCHS.value,
        patience=PATIENCE.value,
        batch_size=BATCH_SIZE.value,
        learning_rate=LEARNING_RATE.value,
        seed=SEED.value,
    )
