"""Evaluates an exported model on data sets, and predicts files with it."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.labels import describe_weights, make_own_weights, make_weights
from mptrec_tf.data.list_values import read_lists
from mptrec_tf.data.sources.block import Block, Source, read_split
from mptrec_tf.data.tasks.base import Task, drop_unlabelled
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
      tasks: Names of the tasks to evaluate. Defaults to all that the model predicts and the source
        has labels of.
      on_rows: Called with the number of rows after each block.

    Raises:
      InputError: for an unknown task, a split without rows or weight, or raw rows that do not
        fit.

    Example:
          metrics = evaluate(LoadedModel("MODEL"), source, "test")
          metrics["click"]["auc"]
    """
    chosen = select_evaluated_tasks(model, source, tasks)
    collected: dict[str, list[np.ndarray]] = {}
    for block in filter(len, read_split(source, split)):
        for key, values in collect_columns(model, chosen, block).items():
            collected.setdefault(key, []).append(values)
        on_rows(len(block))
    if not collected:
        raise InputError(f"data set {source.spec.name!r} has no {split} rows.")
    columns = {key: np.concatenate(values) for key, values in collected.items()}
    if "weight" in columns and not columns["weight"].any():
        raise InputError(f"column {model.spec.weight!r} weighs all {split} rows 0.")
    for task in chosen:
        if np.isnan(columns[f"label/{task.name}"]).all():
            raise InputError(
                f"no {split} row of data set {source.spec.name!r} has a label for task "
                f"{task.name!r} (column {task.label!r}; rows where {task.describe_rows()}); leave "
                "the task out, or give rows that have one."
            )
    metrics = {}
    for task in chosen:
        of_task = drop_unlabelled(
            columns[f"label/{task.name}"],
            columns[f"prediction/{task.name}"],
            columns.get(f"weight/{task.name}", columns.get("weight")),
            columns.get("user"),
            columns.get(f"known/{task.name}"),
        )
        if of_task[2] is not None and not of_task[2].any():
            raise InputError(
                f"{describe_weights(model.spec, task)} all {split} rows 0 that have a label for "
                f"task {task.name!r}; leave the task out, or give other weights."
            )
        metrics[task.name] = task.metrics(*of_task)
    return metrics


def select_evaluated_tasks(
    model: LoadedModel, source: Source, tasks: Sequence[str] | None = None
) -> tuple[Task, ...]:
    """Returns the tasks to evaluate, which the model predicts and the source has labels of.

    Args:
      model: An exported model.
      source: Raw rows.
      tasks: Names of the tasks to evaluate. Defaults to all that both have.

    Raises:
      InputError: for a source of another data set: with other features, without any task of the
        model, without a task to evaluate, or with another definition of a task, the user or the
        weight.
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
    """Rejects a source whose features differ from the model's in name or in type.

    A label column of a task that only one of them has may be a feature of the other.
    """
    mine, theirs = model.spec, source.spec
    for one, other, has, lacks in (
        (mine, theirs, f"the model in {model.path}", f"data set {theirs.name!r}"),
        (theirs, mine, f"data set {theirs.name!r}", f"the model in {model.path}"),
    ):
        labels = {task.label for task in (*one.tasks, *other.tasks)}
        extra = [c for c in one.feature_names if c not in other.feature_names and c not in labels]
        if extra:
            raise InputError(
                f"{has} has feature {extra[0]!r}, which {lacks} lacks: evaluate with the spec of "
                "the data that the model was trained on."
            )
    common = {*mine.feature_names} & {*theirs.feature_names}
    differing = sorted(n for n in common if mine.column_types[n] != theirs.column_types[n])
    if differing:
        raise InputError(
            f"column {differing[0]!r} is text in one and a number in the other of data set "
            f"{theirs.name!r} and the model in {model.path}; evaluate with the same spec."
        )


def same_predictions(
    before: LoadedModel, after: LoadedModel, source: Source, split: str, tasks: Sequence[str]
) -> bool:
    """Whether two models' predictions of some tasks are the same bits on all rows of a split."""
    for block in read_split(source, split):
        old, new = before.predict(block), after.predict(block)
        if not all(np.array_equal(old[task], new[task]) for task in tasks):
            return False
    return True


def collect_columns(
    model: LoadedModel, tasks: Sequence[Task], block: Block
) -> dict[str, np.ndarray]:
    """Returns what metrics need of a block's rows, [n] or [n, outputs] each.

    Returns:
      `label/TASK` and `prediction/TASK`; where they are there `weight/TASK`, `known/TASK`, and of
      all tasks `user` and `weight`.

    Raises:
      InputError: for rows that do not fit the model or a label's rule.
    """
    columns = {}
    predictions = model.predict(block)
    for task in tasks:
        columns[f"label/{task.name}"] = task.labels(block, model.spec.missing_values)
        columns[f"prediction/{task.name}"] = predictions[task.name]
        if task.known_columns:
            known = np.stack([block.numbers(column) for column in task.known_columns], axis=1)
            columns[f"known/{task.name}"] = known if known.shape[1] > 1 else known[:, 0]
    if model.spec.user_id:
        columns["user"] = block.canonical_text(model.spec.user_id)
    if model.spec.weight:
        columns["weight"] = make_weights(model.spec.weight, block)
    for task in tasks:
        if task.weight:
            own = make_own_weights(task, block, columns[f"label/{task.name}"])
            columns[f"weight/{task.name}"] = own * columns.get("weight", np.float32(1))
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

    A task whose predictions have several numbers has a column for each: "rating:5".

    The file appears when all rows are in it. Numbers have nine digits, which read back as the same
    float32.

    Args:
      model: An exported model.
      blocks: Raw rows.
      output: A file, a pipe or a device, or "-" for standard output.
      on_rows: Called with the number of rows after each block.
      tasks: Names of the tasks, in the order of their columns. Defaults to all of the model.
      keep: Columns of the rows to copy before the tasks' columns, with the values as read.
      rejects: Optional. Collects the rows that lack a number that the model needs, instead of an
        error.

    Returns:
      Rows, and smallest, mean and largest prediction, by task (or column, if it has several); NaN
      if all rows were rejected.

    Raises:
      InputError: for an unknown task, a column to keep that is missing or named like a task, rows
        that do not fit the model, or an output that cannot be written.

    Example:
          model = LoadedModel("MODEL")
          summary = predict_file(model, read_split(source, "test"), "predictions.csv")
          summary["click"]["mean"]
    """
    selected = model.spec.select_tasks(tasks or model.spec.task_names)
    names = [n for t in selected for n in t.prediction_columns(np.zeros((1, t.outputs)))]
    check_keep(keep, names)
    # Not written before the first rows: the output may be a pipe.
    header = csv_lines.format_line([*keep, *names])
    count, total = 0, np.zeros(len(names))
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    with create_file(output) as file:
        for block in filter(len, blocks):
            good, predictions = _predict(model, block, rejects)
            copied = [map(csv_lines.format_field, _read_column(good, name, model)) for name in keep]
            if len(good):
                by_task = [task.prediction_columns(predictions[task.name]) for task in selected]
                columns = np.stack([column for of in by_task for column in of.values()])
                numbers = ([f"{value:.9g}" for value in column] for column in columns.tolist())
                file.write(header + csv_lines.format_lines([*copied, *numbers]))
                header = ""
                total += columns.sum(axis=1, dtype=np.float64)
                low = np.minimum(low, columns.min(axis=1))
                high = np.maximum(high, columns.max(axis=1))
                count += len(good)
            on_rows(len(block))
        if not count and not (rejects and rejects.counts):
            raise InputError("the input has no rows; nothing was written.")
        file.write(header)
    if not count:
        return {name: {"rows": 0} | dict.fromkeys(_SUMMARY, np.nan) for name in names}
    summary = dict(zip(_SUMMARY, (low, total / count, high), strict=True))
    return {
        name: {"rows": count} | {of: values[i] for of, values in summary.items()}
        for i, name in enumerate(names)
    }


def check_keep(keep: Sequence[str], tasks: Sequence[str]) -> None:
    """Rejects columns to keep that would make the table of predictions ambiguous.

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


def _read_column(block: Block, name: str, model: LoadedModel) -> Iterable[str]:
    if name not in block.columns:
        by_lower = {column.lower(): column for column in block.columns}
        near = [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower)]
        hint = (
            f"do you mean {' or '.join(near)}?" if near else f"it has {', '.join(block.columns)}."
        )
        raise InputError(f"{block.source} has no column {name!r} to keep; {hint}")
    if name not in model.spec.list_columns:
        block.check_single(name)
        return block.raw(name) if name in block.written else block.text(name)
    values = block.raw(name)
    if all(isinstance(value, str) for value in values):
        return values
    separator = getattr(model.spec.raw_columns[name], "separator", " ")
    lists = read_lists(block, name, separator)
    ends = np.cumsum(lists.lengths)[:-1]
    return [separator.join(of) for of in np.split(lists.values, ends)]


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
