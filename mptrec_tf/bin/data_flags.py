"""Flags that name a data set, for the programs that read raw rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from mptrec_tf.bin import format_flags
from mptrec_tf.data.sources import registry
from mptrec_tf.data.sources.data_set import Option
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError
from mptrec_tf.storage.file_systems import get_file_system

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

# The default tasks of the data sets, for help texts.
DEFAULT_TASKS = "; ".join(
    f"{name}: {','.join(dataset.tasks)}" for name, dataset in registry.DATASETS.all().items()
)

DATASET = flags.DEFINE_string(
    "dataset",
    None,
    f"A built-in data set: {' or '.join(registry.DATASETS.names())}. For your own, see --spec.",
)


def _option_flags() -> dict[str, flags.FlagHolder]:
    """Defines a flag for each option of the data sets; options of one name share a flag."""
    by_name: dict[str, list[tuple[str, Option]]] = {}
    for name, dataset in registry.DATASETS.all().items():
        for option_name, option in dataset.options.items():
            by_name.setdefault(option_name, []).append((name, option))
    defined = {}
    for name, of in by_name.items():
        first = of[0][1]
        text = "; ".join(f"{dataset}: {option.help}" for dataset, option in of) + "."
        flag = first.flag or name
        if first.type is int:
            defined[name] = flags.DEFINE_integer(flag, first.default, text, lower_bound=first.least)
        else:
            defined[name] = flags.DEFINE_string(flag, first.default, text)
    return defined


# The options' flags by the options' names.
OPTIONS = _option_flags()
SPEC = flags.DEFINE_string(
    "spec", None, "Your own data: YAML file that describes its features and labels."
)
flags.adopt_module_key_flags(format_flags)


def read_options() -> dict[str, Any]:
    """Returns the options that the flags set, by name; defaults are left out."""
    return {n: flag.value for n, flag in OPTIONS.items() if flag.value != flag.default}


def check_no_options() -> None:
    """Rejects options of built-in data sets, for use with a spec.

    Raises:
      InputError: naming the flag.
    """
    for flag in OPTIONS.values():
        if flag.present:
            raise InputError(f"--{flag.name} goes with --dataset, not with --spec.")


def check_options(dataset: str) -> None:
    """Rejects options that a data set does not have, and directories that do not exist.

    Raises:
      InputError: naming the option or its flag.
    """
    of = registry.DATASETS.get(dataset)
    of.check_options(read_options())
    for name, value in read_options().items():
        if of.options[name].is_directory and not get_file_system(value).isdir(value):
            raise InputError(
                f"--{OPTIONS[name].name}: there is no directory {value}; give that of the original "
                "files."
            )


def define_files_flag(split: str) -> flags.FlagHolder:
    """Defines `--<split>_files`."""
    return flags.DEFINE_list(
        f"{split}_files",
        [],
        f"Your own {split} rows: CSV or TFRecord files or globs, or tfds:NAME#SPLIT, by commas.",
    )


def _files(split: str) -> str:
    """Returns the name of the flag for a split's files; a single split is called `files`."""
    return split if split == "files" else f"{split}_files"


def read_spec(
    patterns: Mapping[str, Sequence[str]], tasks: Sequence[str] | None = None
) -> DatasetSpec:
    """Returns the spec of the data set in the flags; imports no TensorFlow.

    Args:
      patterns: Files by split, for a user's own data.
      tasks: Names of the tasks of a built-in data set. Defaults to the data set's own.

    Raises:
      InputError: if the flags name no data set, or two, or files that do not exist.
    """
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
        check_options(DATASET.value)
        return registry.make_built_in_spec(DATASET.value, tasks or None)
    check_no_options()
    missing = [split for split in patterns if split not in given]
    if missing:
        raise InputError(f"--spec needs --{_files(missing[0])} too.")
    spec = load(SPEC.value)
    spec = dataclasses.replace(spec, text_format=format_flags.read_text_format(spec.text_format))
    for files in given.values():
        registry.check_files(files)
    return spec


def open_source(
    patterns: Mapping[str, Sequence[str]], tasks: Sequence[str] | None = None
) -> Source:
    """Opens the data set in the flags.

    Args:
      patterns: Files by split, for a user's own data.
      tasks: Names of the tasks of a built-in data set. Defaults to the data set's own.

    Raises:
      InputError: as `read_spec` does, or if the data set cannot be opened.
    """
    spec = read_spec(patterns, tasks)
    if SPEC.value:
        from mptrec_tf.data.sources.tabular import Tabular

        return Tabular(spec, patterns)
    return registry.open_source(DATASET.value, tasks=tasks or None, **read_options())
