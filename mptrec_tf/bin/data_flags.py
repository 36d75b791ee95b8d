"""Flags that name a data set, for the programs that read raw rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from absl import flags

from mptrec_tf.bin import format_flags
from mptrec_tf.data.sources import census_income_spec, synthetic_spec
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError
from mptrec_tf.storage.file_systems import file_system

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

# The tasks of the built-in data sets, where none are named.
DEFAULT_TASKS = (
    f"synthetic: {','.join(synthetic_spec.TASKS)}; "
    f"census_income: {','.join(census_income_spec.DEFAULT_TASKS)}"
)

DATASET = flags.DEFINE_string(
    "dataset", None, "A built-in data set: synthetic or census_income. For your own, see --spec."
)
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "census_income: directory of the original files; without it they are downloaded from UCI.",
)
ROWS = flags.DEFINE_integer(
    "rows",
    None,
    f"synthetic: number of training rows. Default: {synthetic_spec.DEFAULT_ROWS['train']}.",
    lower_bound=100,
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


def _files(split: str) -> str:
    """The name of the flag for a split's files; where there is one split, it is called `files`."""
    return split if split == "files" else f"{split}_files"


def spec_from_flags(
    patterns: Mapping[str, Sequence[str]], tasks: Sequence[str] | None = None
) -> DatasetSpec:
    """Returns the spec of the data set that the flags name; imports no TensorFlow.

    Args:
      patterns: Files by split, for a user's own data.
      tasks: Names of the tasks of a built-in data set. Defaults to the data set's own.

    Raises:
      InputError: if the flags name no data set, or two, or what is not there.
    """
    from mptrec_tf.data.sources import registry
    from mptrec_tf.data.spec_yaml import load

    if bool(DATASET.value) == bool(SPEC.value):
        raise InputError("give either --dataset (built in) or --spec (your own data).")
    given = {split: files for split, files in patterns.items() if files}
    if DATASET.value:
        if given:
            split = next(iter(given))
            raise InputError(f"--{_files(split)} goes with --spec, not with --dataset.")
        if format_flags.DELIMITER.present:
            raise InputError("--delimiter goes with --spec, not with --dataset.")
        if DATA_DIR.value and not file_system(DATA_DIR.value).isdir(DATA_DIR.value):
            raise InputError(
                f"--data_dir: there is no directory {DATA_DIR.value}; give that of the original "
                "files."
            )
        return registry.built_in_spec(DATASET.value, tasks or None)
    for flag in (DATA_DIR, ROWS):
        if flag.present:
            raise InputError(f"--{flag.name} goes with --dataset, not with --spec.")
    missing = [split for split in patterns if split not in given]
    if missing:
        raise InputError(f"--spec needs --{_files(missing[0])} too.")
    spec = load(SPEC.value)
    spec = dataclasses.replace(spec, text_format=format_flags.text_format(spec.text_format))
    for files in given.values():
        registry.check_files(files)
    return spec


def open_from_flags(
    patterns: Mapping[str, Sequence[str]], tasks: Sequence[str] | None = None
) -> Source:
    """Opens the data set that the flags name.

    Args:
      patterns: Files by split, for a user's own data.
      tasks: Names of the tasks of a built-in data set. Defaults to the data set's own.

    Raises:
      InputError: as `spec_from_flags` does, or if the data set cannot be opened.
    """
    from mptrec_tf.data.sources import registry

    spec = spec_from_flags(patterns, tasks)
    if SPEC.value:
        from mptrec_tf.data.sources.tabular import Tabular

        return Tabular(spec, patterns)
    return registry.open_source(
        DATASET.value,
        data_dir=DATA_DIR.value,
        tasks=tasks or None,
        rows=ROWS.value,
        seed=DATA_SEED.value,
    )
