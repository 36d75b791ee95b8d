"""Drafts a spec from a sample: YAML that a person finishes, and the rows of a table."""

import collections
import dataclasses
import os
import re
from collections.abc import Sequence
from typing import Any

from mptrec_tf.data.describing import guesses, labels
from mptrec_tf.data.describing.columns import Column, are_one_to_one, read_commas
from mptrec_tf.data.describing.guesses import Guess
from mptrec_tf.data.describing.labels import TaskGuess
from mptrec_tf.data.describing.renderers import (
    RENDERERS,
    Line,
    show,
    write_scalar,
)
from mptrec_tf.data.describing.sample import Sample
from mptrec_tf.data.spec_yaml import parse
from mptrec_tf.data.text_format import find_word
from mptrec_tf.errors import InputError

_EXAMPLES = 3
_LONGEST = 18


@dataclasses.dataclass(frozen=True)
class Draft:
    """A drafted spec.

    Attributes:
      text: str. The spec as YAML; it loads with `spec_yaml`.
      table: A row for each column.
      notes: Sentences about the files and columns.
    """

    text: str
    table: Sequence[dict[str, Any]]
    notes: Sequence[str]


def draft_spec(sample: Sample) -> Draft:
    """Drafts a spec from a sample.

    Raises:
      InputError: if no column can be a feature, or none a label.

    Example:
      draft = draft_spec(read_sample(["rows.csv"], 100_000, TextFormat()))
      print(draft.text)
    """
    sample = _read_decimal_commas(sample)
    columns = _make_columns(sample)
    tasks = labels.guess_tasks(columns)
    if not tasks:
        raise InputError(
            f"{sample.files[0]} has no column of two values and more, so none can be a label; it "
            f"has {', '.join(sample.columns)}."
        )
    taken = [task.column for task in tasks]
    features = [
        guesses.guess_feature(column, columns[:place])
        for place, column in enumerate(columns)
        if column not in taken
    ]
    if not any(guess.active for guess in features):
        raise InputError(
            f"{sample.files[0]} has no column that a model could read beside the label "
            f"{taken[0].name!r}: {'; '.join(f'{g.column.name}: {g.reason}' for g in features)}."
        )
    notes = [*dict.fromkeys(sample.notes), *_compare_columns(columns, tasks, features)]
    text = _write(sample, features, tasks, notes)
    parse(text, "the drafted spec")  # it loads, or this is an error of this module
    return Draft(text, _make_table(columns, features, tasks), notes)


def _make_columns(sample: Sample) -> list[Column]:
    return [
        Column(name, values, name in sample.lists, sample.complete, sample.sizes.get(name, 0))
        for name, values in sample.columns.items()
        if name
    ]


def _read_decimal_commas(sample: Sample) -> Sample:
    """Returns the sample as it is read with a decimal comma, if it is given or seems to be one."""
    if sample.text_format.decimal is None:
        columns = _make_columns(sample)
        commas = any(column.has_decimal_comma for column in columns)
        if commas and not any(column.has_point for column in columns):
            text_format = dataclasses.replace(sample.text_format, decimal=",")
            sample = dataclasses.replace(sample, text_format=text_format)
    if sample.text_format.decimal != ",":
        return sample
    columns = {name: read_commas(values) for name, values in sample.columns.items()}
    return dataclasses.replace(sample, columns=columns)


def _compare_columns(
    columns: Sequence[Column], tasks: Sequence[TaskGuess], features: Sequence[Guess]
) -> list[str]:
    notes = [
        f"every row with {a.name} also has {b.name}: `given: {b.name}` predicts {a.name} as the "
        f"product of both, `where: {{{b.name}: ...}}` of those rows alone"
        for a, b in labels.find_nested(tasks)
    ]
    used = [guess.column for guess in features if guess.active and not guess.column.is_list]
    notes += [
        f"{a.name} and {b.name} say the same in other words (one to one): one of them may do"
        for i, a in enumerate(used)
        for b in used[i + 1 :]
        if are_one_to_one(a, b)
    ]
    rows = set(zip(*(column.values for column in columns), strict=True))
    doubles = columns[0].rows - len(rows)
    if doubles:
        notes.append(f"{doubles:,} of {columns[0].rows:,} rows come twice")
    return notes


def _write(
    sample: Sample, features: Sequence[Guess], tasks: Sequence[TaskGuess], notes: Sequence[str]
) -> str:
    files = sample.files[0] + (
        f" and {len(sample.files) - 1} more" if len(sample.files) > 1 else ""
    )
    how = "all" if sample.complete else "a sample of"
    lines = [
        f"# Drafted by mptrec-describe from {how} {sample.rows:,} rows of {show(files)}.",
        "# Each line says why; change what is wrong, and strike what a model cannot know in time.",
        *(f"# Note: {show(note)}." for note in notes),
        f"name: {write_scalar(_make_name(sample.name))}",
    ]
    for section in dict.fromkeys(renderer.section for renderer in RENDERERS.values()):
        if section != "tasks":
            lines += _write_section(section, features)
    lines += ["tasks:"]
    for task in tasks:
        lines += [line.write(task.reason) for line in task.lines]
    users = [guess.column.name for guess in features if guess.is_user]
    if users:
        lines.append(f"user_id: {write_scalar(users[0])}  # AUC within users, too")
    for guess in features:
        if guess.is_weight:
            lines.append(f"# weight: {write_scalar(guess.column.name)}  # {guess.reason}")
    lines += _write_format(sample)
    out = [guess for guess in features if not guess.lines and not guess.is_weight]
    if out:
        lines.append("# Left out:")
        lines += [f"#   {show(guess.column.name)}: {show(guess.reason)}" for guess in out]
    times = [guess.column.name for guess in features if guess.what == "time" and guess.lines]
    by = f"time:{times[0]}" if times else users[0] if users else ""
    lines.append("# Next: mptrec-prepare --spec=THIS --files=... --output_dir=DATA")
    if by:
        lines.append(f"#   with --split_by={show(by)}, which is nearer to what a model meets")
    return "\n".join(lines) + "\n"


def _write_section(section: str, features: Sequence[Guess]) -> list[str]:
    of: list[str] = []
    active = False
    for guess in features:
        for line in (*guess.active, *guess.comments):
            if line.section == section:
                of.append(line.write(guess.reason))
                active |= line.is_active
    if not of:
        return []
    return [f"{section}:" if active else f"# {section}:  (not read by this version yet)", *of]


def _write_format(sample: Sample) -> list[str]:
    lines = []
    for key in ("delimiter", "escape", "quote"):
        value = getattr(sample.text_format, key)
        if value is not None:
            lines.append(f"{key}: {find_word(key, value) or write_scalar(value)}")
    if sample.text_format.decimal:
        mark = write_scalar(sample.text_format.decimal)
        lines.append(f"decimal: {mark}  # before the fraction of numbers")
    if sample.text_format.encoding:
        lines.append(
            f"encoding: {write_scalar(sample.text_format.encoding)}"
            "  # the text is not UTF-8; check its letters"
        )
    if sample.text_format.skip_rows:
        lines.append(f"skip_rows: {sample.text_format.skip_rows}")
    if sample.text_format.header:
        lines.append("header:  # the first line seems to be a row; names, and frequent values")
        for name in sample.text_format.header:
            counts = collections.Counter(map(str.strip, sample.columns[name]))
            examples = ", ".join(_shorten(value) for value, _ in counts.most_common(_EXAMPLES))
            lines.append(f"  - {write_scalar(name)}  # {show(examples)}")
    return lines


def _make_name(path: str) -> str:
    """Returns the data set's name, from a file's."""
    stem = re.split(r"[.#\[]", os.path.basename(path.removeprefix("tfds:").rstrip("/")))[0]
    return re.sub(r"\W+", "_", stem).strip("_") or "data"


def _make_table(
    columns: Sequence[Column], features: Sequence[Guess], tasks: Sequence[TaskGuess]
) -> list[dict[str, Any]]:
    by_name: dict[str, Guess | TaskGuess] = {guess.column.name: guess for guess in features}
    by_name |= {task.column.name: task for task in tasks}
    rows = []
    for column in columns:
        guess = by_name[column.name]
        examples = [value for value, _ in column.counts.most_common(_EXAMPLES)]
        rows.append(
            {
                "column": column.name,
                "seems": guess.what,
                "drafted as": _describe(guess),
                "distinct": column.distinct,
                "missing": f"{column.missing / column.rows:.1%}",
                "most frequent": ", ".join(_shorten(value) for value in examples),
                "why": guess.reason,
            }
        )
    return rows


def _describe(guess: Guess | TaskGuess) -> str:
    lines: Sequence[Line] = guess.lines if isinstance(guess, TaskGuess) else guess.active
    sections = dict.fromkeys(line.section for line in lines if line.is_active)
    return ", ".join(sections) or "-"


def _shorten(value: str) -> str:
    return value if len(value) <= _LONGEST else value[: _LONGEST - 3] + "..."
