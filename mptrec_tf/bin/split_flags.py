"""Flags for rows that a rule splits, for the programs that read one set of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mptrec_tf.data.sources.block import Block
    from mptrec_tf.data.sources.split_rule import SplitRule

_DEFAULT = ["0.8", "0.1", "0.1"]
FILES = "files"  # the key of such files among files by split


def define_split_flags() -> tuple[flags.FlagHolder, flags.FlagHolder]:
    """Defines `--split` and `--split_by`."""
    split = flags.DEFINE_list(
        "split", _DEFAULT, "With --files: shares of the rows for train, validation and test."
    )
    split_by = flags.DEFINE_string(
        "split_by",
        None,
        "With --files: a column, all rows of one of whose values are in one split (user_id), or "
        "time:COLUMN, by which the earliest rows are for train, then validation, then test. "
        "Default: by hash of a row's features.",
    )
    return split, split_by


def read_rule(
    split: flags.FlagHolder, split_by: flags.FlagHolder, patterns: Mapping[str, Sequence[str] | str]
) -> SplitRule | None:
    """Returns the rule in the flags; None if files are given by split.

    Args:
      split: `--split`.
      split_by: `--split_by`.
      patterns: Files by split, and those that are to be split under `FILES`.

    Raises:
      InputError: for shares that are wrong, flags that do not go together, or both kinds of files.
    """
    of_splits = [name for name, files in patterns.items() if files and name != FILES]
    if not patterns.get(FILES):
        for flag in (split, split_by):
            if flag.present:
                raise InputError(f"--{flag.name} goes with --files, whose rows it splits.")
        return None
    if of_splits:
        raise InputError(
            f"give either --files, whose rows are split, or --{of_splits[0]}_files and its likes; "
            "received both."
        )
    from mptrec_tf.data.sources.split_rule import SplitRule

    given = ",".join(split.value)
    try:
        rule = SplitRule(tuple(map(float, split.value)), split_by.value)
    except ValueError as error:
        raise InputError(
            f"--split={given} is not a list of numbers; give shares such as 0.8,0.1,0.1."
        ) from error
    for problem in rule.problems():
        flag = split_by if problem.startswith("the column") else split
        raise InputError(f"--{flag.name}={flag.value if flag is split_by else given}: {problem}.")
    return rule


def define_split_of_flag() -> flags.FlagHolder:
    """Defines `--split_of`."""
    return flags.DEFINE_string(
        "split_of",
        None,
        "Take only the rows of --split, as mptrec-prepare --files split them: the directory of the "
        "prepared data.",
    )


def read_rule_of(directory: str) -> SplitRule:
    """Returns the rule by which the rows of prepared data were split; imports no TensorFlow.

    Raises:
      InputError: if the directory holds no prepared data, or its splits were given.
    """
    from mptrec_tf.data.prepared import PreparedData
    from mptrec_tf.data.sources.split_rule import SplitRule
    from mptrec_tf.storage.plain import from_plain

    split = PreparedData(directory).split
    if split is None:
        raise InputError(
            f"--split_of={directory}: these data were prepared from files for each split; give the "
            "files of one split, without --split_of."
        )
    return from_plain(SplitRule, split["rule"])


def select_rows(blocks: Iterator[Block], directory: str, split: str, spec: Any) -> Iterator[Block]:
    """Returns those of the rows that prepared data have in a split; see `read_rule_of`."""
    from mptrec_tf.data.sources.split_rows import select_rows

    return select_rows(blocks, read_rule_of(directory), split, spec.missing_values)
