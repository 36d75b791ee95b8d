"""The flag that bounds the memory of a program that trains."""

from absl import flags

from mptrec_tf.training.run_context import GIGABYTE, MEMORY_LIMIT, RESERVED

_MEMORY_LIMIT = flags.DEFINE_float(
    "memory_limit",
    MEMORY_LIMIT / GIGABYTE,
    "Gigabytes of memory that the program may take, "
    f"{RESERVED / GIGABYTE:g} of them for all but rows. Rows that do not fit are read from disk in "
    "each epoch, and shuffled within windows of it.",
    lower_bound=RESERVED / GIGABYTE,
)


def read_memory_limit() -> int:
    """Returns bytes."""
    return int(_MEMORY_LIMIT.value * GIGABYTE)
