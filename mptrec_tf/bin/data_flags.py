"""Flags that name a data set, for the programs that read raw rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from mptrec_tf.bin import format_flags
from mptrec_tf.data.sets import registry
from mptrec_tf.data.sets.data_set import Option
from mptrec_tf.data.spec import DatasetSpec, check_same_features
from mptrec_tf.errors import InputError
from mptrec_tf.progress import report_progress
from mptrec_tf.storage.file_systems import get_file_system

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source
    from mptrec_tf.data.sources.split_rule import SplitRule

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


def list_directories() -> list[flags.FlagHolder]:
    """Returns the flags of options that are directories."""
    named = {
        name
        for dataset in registry.DATASETS.all().values()
        for name, option in dataset.options.items()
        if option.is_directory
    }
    return [flag for name, flag in OPTIONS.items() if name in named]


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
        f"Your own {split} rows: files, globs or folders, or tfds:NAME#SPLIT, by commas.",
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
        for name in format_flags.list_given():
            raise InputError(f"--{name} goes with --spec, not with --dataset.")
        check_options(DATASET.value)
        return registry.make_built_in_spec(DATASET.value, tasks or None)
    check_no_options()
    missing = [split for split in patterns if split not in given]
    if missing:
        one = ", or one set of --files to split" if len(missing) == len(patterns) > 1 else ""
        raise InputError(f"--spec needs --{_files(missing[0])} too{one}.")
    spec = load(SPEC.value)
    spec = dataclasses.replace(spec, text_format=format_flags.read_text_format(spec.text_format))
    for files in given.values():
        registry.check_files(files)
    return spec


def read_spec_of(spec: DatasetSpec, patterns: Mapping[str, Sequence[str]], of: str) -> DatasetSpec:
    """Returns the spec of a model for the rows in the flags; imports no TensorFlow.

    Args:
      spec: The model's features and tasks.
      patterns: Files by split, for a user's own data.
      of: What the spec is of, for messages.

    Raises:
      InputError: if the flags name neither files nor a built-in data set, or both, or one that
        has other features or labels.
    """
    if SPEC.value:
        raise InputError(f"features and labels are those of {of}; leave --spec out.")
    if not DATASET.value:
        check_no_options()
        for split, files in patterns.items():
            if not files:
                one = ", or one set of --files to split" if len(patterns) > 1 else ""
                raise InputError(f"give --{_files(split)}{one}, or a built-in --dataset.")
            registry.check_files(files)
        text_format = format_flags.read_text_format(spec.text_format)
        return dataclasses.replace(spec, text_format=text_format)
    built_in = read_spec(patterns, spec.task_names)
    check_same_features(built_in, spec, f"data set {DATASET.value!r}", of)
    for mine, theirs in zip(spec.tasks, built_in.select_tasks(spec.task_names), strict=True):
        if mine != theirs:
            raise InputError(
                f"data set {DATASET.value!r} defines task {mine.name!r} in another way than {of}; "
                "give the rows as files."
            )
    return built_in


def open_source_of(
    spec: DatasetSpec, patterns: Mapping[str, Sequence[str]], rule: SplitRule | None = None
) -> Source:
    """Opens the rows in the flags, with what `read_spec_of` returned.

    Raises:
      InputError: if they cannot be opened.
    """
    if DATASET.value:
        return registry.open_source(DATASET.value, tasks=spec.task_names, **read_options())
    from mptrec_tf.data.sources.tabular import Tabular

    source = Tabular(spec, patterns)
    return split_rows(source, rule) if rule else source


def open_source(
    patterns: Mapping[str, Sequence[str]],
    tasks: Sequence[str] | None = None,
    rule: SplitRule | None = None,
) -> Source:
    """Opens the data set in the flags.

    Args:
      patterns: Files by split, for a user's own data.
      tasks: Names of the tasks of a built-in data set. Defaults to the data set's own.
      rule: Splits the rows of a single set of files, `patterns["files"]`.

    Raises:
      InputError: as `read_spec` does, or if the data set cannot be opened.
    """
    spec = read_spec(patterns, tasks)
    if SPEC.value:
        from mptrec_tf.data.sources.tabular import Tabular

        source = Tabular(spec, patterns)
        return split_rows(source, rule) if rule else source
    return registry.open_source(DATASET.value, tasks=tasks or None, **read_options())


def split_rows(source: Source, rule: SplitRule) -> Source:
    """Returns a source whose rows a rule splits; shows progress if all of them are read for it."""
    from mptrec_tf.data.sources.split_rows import FILES, SplitRows

    if not rule.time_column or rule.cuts:
        return SplitRows(source, rule)
    with report_progress("reading times", source.estimated_rows(FILES)) as on_rows:
        return SplitRows(source, rule, on_rows)
