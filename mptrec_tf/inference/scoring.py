"""Scores files and data sets with an exported model."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.labels import make_weights
from mptrec_tf.data.sources.block import Block, Source, read_split
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.errors import InputError
from mptrec_tf.inference import csv_lines
from mptrec_tf.inference.rejects import Rejects
from mptrec_tf.inference.saved_model import LoadedModel
from mptrec_tf.storage.directories import create_file

_SUMMARY = ("lowest", "mean", "highest")


def evaluate(
    model: LoadedModel,
    source: Source,
    split: str,
    tasks: Sequence[str] | None = None,
    on_rows: Callable[[int], Any] = lambda rows: None,
) -> dict[str, dict[str, float | int]]:
    """Returns the metrics of every task on a split, see `Task.metrics`.

    Args:
      model: An exported model.
      source: Raw rows with the tasks' label columns.
      split: "train", "validation" or "test".
      tasks: Names of the tasks to evaluate. Defaults to all that the model answers.
      on_rows: Called with the number of rows after each block.

    Raises:
      InputError: for an unknown task, a split without rows or weight, or raw rows that do not
        fit.
    """
    chosen = select_evaluated_tasks(model, source, tasks)
    collected: dict[str, list[np.ndarray]] = {}
    for block in filter(len, read_split(source, split)):
        for key, values in _collect_columns(model, chosen, block).items():
            collected.setdefault(key, []).append(values)
        on_rows(len(block))
    if not collected:
        raise InputError(f"data set {source.spec.name!r} has no {split} rows.")
    columns = {key: np.concatenate(values) for key, values in collected.items()}
    if "weight" in columns and not columns["weight"].any():
        raise InputError(f"column {model.spec.weight!r} weighs all {split} rows 0.")
    return {
        task.name: task.metrics(
            columns[f"label/{task.name}"],
            columns[f"prediction/{task.name}"],
            columns.get("weight"),
            columns.get("user"),
            columns.get(f"known/{task.name}"),
        )
        for task in chosen
    }


def select_evaluated_tasks(
    model: LoadedModel, source: Source, tasks: Sequence[str] | None = None
) -> tuple[Task, ...]:
    """Returns the tasks that the model predicts and the source has labels of.

    Args:
      model: An exported model.
      source: Raw rows.
      tasks: Names of the tasks that are wanted. Defaults to all that both have.

    Raises:
      InputError: for a source of another data set: of other features, without a task of the
        model's, without one that is wanted, or with a task, user or weight that is defined in
        another way.
    """
    mine, theirs = model.spec, source.spec
    _check_features(model, source)
    missing = mine.missing_values != theirs.missing_values
    differing = ["missing_values"] if missing else []
    defined = {task.name: task for task in theirs.tasks}
    differing += [
        task.name
        for task in mine.tasks
        if (not tasks or task.name in tasks) and not task.same_rule(defined.get(task.name, task))
    ]
    differing += [f for f in ("user_id", "weight") if getattr(mine, f) != getattr(theirs, f)]
    if differing:
        raise InputError(
            f"data set {theirs.name!r} defines {', '.join(differing)} in another way than the "
            f"model in {model.path} was trained with; evaluate with the same spec."
        )
    common = [name for name in mine.task_names if name in defined]
    if not common:
        raise InputError(
            f"data set {theirs.name!r} has labels of {', '.join(theirs.task_names)}, and the model "
            f"in {model.path} predicts {', '.join(mine.task_names)}: they have no task in common; "
            "evaluate with the spec of the model's data."
        )
    chosen = mine.select_tasks(tasks or common)
    unlabelled = [task.name for task in chosen if task.name not in defined]
    if unlabelled:
        raise InputError(
            f"data set {theirs.name!r} has no labels of {', '.join(unlabelled)}; it has those of "
            f"{', '.join(theirs.task_names)}."
        )
    return chosen


def _check_features(model: LoadedModel, source: Source) -> None:
    """Rejects a source whose features are other columns than the model's, or of another kind.

    Columns that make labels of tasks that only one of them has may be features of the other.
    """
    mine, theirs = model.spec, source.spec
    for one, other, has, lacks in (
        (mine, theirs, f"the model in {model.path}", f"data set {theirs.name!r}"),
        (theirs, mine, f"data set {theirs.name!r}", f"the model in {model.path}"),
    ):
        labels = {task.label for task in (*one.tasks, *other.tasks)}
        odd = [c for c in one.feature_names if c not in other.feature_names and c not in labels]
        if odd:
            raise InputError(
                f"{has} has feature {odd[0]!r}, which {lacks} lacks: evaluate with the spec of the "
                "data that the model was trained on."
            )
    common = {*mine.feature_names} & {*theirs.feature_names}
    odd = sorted(name for name in common if mine.column_types[name] != theirs.column_types[name])
    if odd:
        raise InputError(
            f"column {odd[0]!r} is text in one and a number in the other of data set "
            f"{theirs.name!r} and the model in {model.path}; evaluate with the same spec."
        )


def same_predictions(
    before: LoadedModel, after: LoadedModel, source: Source, split: str, tasks: Sequence[str]
) -> bool:
    """Whether two models answer some tasks alike, to the last bit, on all rows of a split."""
    for block in read_split(source, split):
        old, new = before.predict(block), after.predict(block)
        if not all(np.array_equal(old[task], new[task]) for task in tasks):
            return False
    return True


def _collect_columns(
    model: LoadedModel, tasks: Sequence[Task], block: Block
) -> dict[str, np.ndarray]:
    columns = {}
    predictions = model.predict(block)
    for task in tasks:
        columns[f"label/{task.name}"] = task.labels(block, model.spec.missing_values)
        columns[f"prediction/{task.name}"] = predictions[task.name]
        if task.known_column:
            columns[f"known/{task.name}"] = block.numbers(task.known_column)
    if model.spec.user_id:
        columns["user"] = block.canonical_text(model.spec.user_id)
    if model.spec.weight:
        columns["weight"] = make_weights(model.spec.weight, block)
    return columns


def predict_file(
    model: LoadedModel,
    blocks: Iterable[Block],
    output: str,
    on_rows: Callable[[int], Any] = lambda rows: None,
    *,
    tasks: Sequence[str] | None = None,
    keep: Sequence[str] = (),
    rejects: Rejects | None = None,
) -> dict[str, dict[str, float | int]]:
    """Writes the predictions of rows as CSV: a column per task, a line per row, in order.

    The file appears when all rows are in it. Numbers have nine digits, which give back the same
    float32.

    Args:
      model: An exported model.
      blocks: Raw rows.
      output: A file, a pipe or a device, or "-" for standard output.
      on_rows: Called with the number of rows after each block.
      tasks: Names of the tasks, in the order of their columns. Defaults to all of the model.
      keep: Columns of the rows that stand before the tasks', with the values that were read.
      rejects: Takes the rows that lack a number that the model needs, instead of an error.

    Returns:
      Rows, and smallest, mean and largest prediction, by task; NaN where all rows were rejected.

    Raises:
      InputError: for an unknown task, a column to keep that is not there or is named like a task,
        rows that do not fit the model, or an output that cannot be written.
    """
    names = [task.name for task in model.spec.select_tasks(tasks or model.spec.task_names)]
    check_keep(keep, names)
    # Not written before the first rows: the output may be a pipe.
    before = csv_lines.format_line([*keep, *names])
    count, total = 0, np.zeros(len(names))
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    with create_file(output) as file:
        for block in filter(len, blocks):
            good, predictions = _predict(model, block, rejects)
            kept = [map(csv_lines.format_field, _read_kept(good, name)) for name in keep]
            if len(good):
                columns = np.stack([predictions[name] for name in names])
                numbers = ([f"{value:.9g}" for value in column] for column in columns.tolist())
                file.write(before + csv_lines.format_lines([*kept, *numbers]))
                before = ""
                total += columns.sum(axis=1, dtype=np.float64)
                low = np.minimum(low, columns.min(axis=1))
                high = np.maximum(high, columns.max(axis=1))
                count += len(good)
            on_rows(len(block))
        if not count and not (rejects and rejects.counts):
            raise InputError("the input has no rows; nothing was written.")
        file.write(before)
    if not count:
        return {name: {"rows": 0} | dict.fromkeys(_SUMMARY, np.nan) for name in names}
    summary = dict(zip(_SUMMARY, (low, total / count, high), strict=True))
    return {
        name: {"rows": count} | {of: values[i] for of, values in summary.items()}
        for i, name in enumerate(names)
    }


def check_keep(keep: Sequence[str], tasks: Sequence[str]) -> None:
    """Rejects columns to keep that could not be told apart in a table of predictions.

    Raises:
      InputError: naming the column.
    """
    for name in keep:
        if not name:
            raise InputError("a column to keep has no name; name each one, by single commas.")
        if keep.count(name) > 1:
            raise InputError(f"column {name!r} to keep is named twice.")
        if name in tasks:
            raise InputError(
                f"column {name!r} to keep is named like a task, whose predictions are in a column "
                "of that name; predict other tasks alone, or give the raw column another name."
            )


def _read_kept(block: Block, name: str) -> np.ndarray:
    if name not in block.columns:
        by_lower = {column.lower(): column for column in block.columns}
        near = [by_lower[found] for found in difflib.get_close_matches(name.lower(), by_lower)]
        hint = (
            f"do you mean {' or '.join(near)}?" if near else f"it has {', '.join(block.columns)}."
        )
        raise InputError(f"{block.source} has no column {name!r} to keep; {hint}")
    return block.text(name)


def _predict(
    model: LoadedModel, block: Block, rejects: Rejects | None
) -> tuple[Block, dict[str, np.ndarray]]:
    """Returns the rows that can be predicted, and their predictions."""
    try:
        return block, model.predict(block)
    except InputError:
        if rejects is None:
            raise
        good = rejects.reject_non_numbers(model, block)
        if len(good) == len(block):
            raise
    finally:
        if rejects is not None:
            rejects.flush()
    return good, model.predict(good) if len(good) else {}
