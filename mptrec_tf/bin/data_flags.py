"""Flags that name a data set, for the programs that read raw rows."""

from absl import flags

from mptrec_tf.bin import format_flags
from mptrec_tf.errors import InputError

DATASET = flags.DEFINE_string(
    "dataset", None, "A built-in data set: synthetic or census_income. For your own, see --spec."
)
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "census_income: directory of the original files; without it they are downloaded from UCI.",
)
ROWS = flags.DEFINE_integer(
    "rows", None, "synthetic: number of training rows. Default: 60000.", lower_bound=100
)
DATA_SEED = flags.DEFINE_integer("data_seed", 1, "synthetic: same seed, same rows.", lower_bound=0)
SPEC = flags.DEFINE_string(
    "spec", None, "Your own data: YAML file that says which columns are features and labels."
)
flags.adopt_module_key_flags(format_flags)


def files_flag(split: str) -> flags.FlagHolder:
    """Defines `--<split>_files`."""
    return flags.DEFINE_list(
        f"{split}_files",
        [],
        f"Your own {split} rows: CSV or TFRecord files or globs, or tfds:NAME#SPLIT, by commas.",
    )


def open_from_flags(patterns, tasks=None):
    """Opens the data set that the flags name.

    Args:
      patterns: Files by split, for a user's own data.
      tasks: Names of the tasks of a built-in data set. Defaults to the data set's own.

    Raises:
      InputError: if the flags name no data set, or two.
    """
    from mptrec_tf.datasets import sources

    if bool(DATASET.value) == bool(SPEC.value):
        raise InputError("give either --dataset (built in) or --spec (your own data).")
    given = {split: files for split, files in patterns.items() if files}
    if DATASET.value:
        if given:
            split = next(iter(given))
            raise InputError(f"--{split}_files goes with --spec, not with --dataset.")
        if format_flags.DELIMITER.present:
            raise InputError("--delimiter goes with --spec, not with --dataset.")
        return sources.open_source(
            DATASET.value,
            data_dir=DATA_DIR.value,
            tasks=tasks or None,
            rows=ROWS.value,
            seed=DATA_SEED.value,
        )
    for flag in (DATA_DIR, ROWS):
        if flag.present:
            raise InputError(f"--{flag.name} goes with --dataset, not with --spec.")
    missing = [split for split in patterns if split not in given]
    if missing:
        raise InputError(f"--spec needs --{missing[0]}_files too.")
    return sources.open_tabular(SPEC.value, given, format_flags.text_format)
