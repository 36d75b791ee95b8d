r"""Evaluates an exported model on labelled raw rows.

    mptrec-evaluate --model=saved_models/mptrec --dataset=census_income --data_dir=DIR \
        --split=test --output=metrics.json
    mptrec-evaluate --model=saved_models/mptrec --dataset=kuairand --split=random_test
    mptrec-evaluate --model=saved_models/mptrec --spec=my.yaml --files=test.csv
    mptrec-evaluate --model=saved_models/mptrec --spec=my.yaml --files='rows/*.csv' --split_of=DATA

With --spec, its features, labels, user id and weight must be those that the model was trained with;
tasks that only one of the two has are left out, and listed at the end.

Per binary task: AUC, AUC within users where the data have a user id, log loss, calibration (mean
prediction over mean label) and expected calibration error (ece), rows and positives. Where the
truth is known (synthetic data), the best reachable value of each metric is beside the model's.
Tasks of another kind have metrics of their own.
"""

import itertools

from absl import flags

from mptrec_tf.bin import data_flags, output_files, program, split_flags
from mptrec_tf.data.sets.registry import DATASETS
from mptrec_tf.errors import InputError

_MODEL = flags.DEFINE_string(
    "model", None, "Directory that mptrec-export wrote (its newest version), or one version."
)
_TASKS = flags.DEFINE_list("tasks", [], "Tasks to evaluate. Default: all of the model's.")
_SPLITS = ("train", "validation", "test")
# Further splits, by the data set that has them.
_OTHER_SPLITS = {name: of.other_splits for name, of in DATASETS.all().items() if of.other_splits}
_SPLIT = flags.DEFINE_enum(
    "split",
    "test",
    list(dict.fromkeys((*_SPLITS, *itertools.chain(*_OTHER_SPLITS.values())))),
    "Rows to evaluate on, with --dataset or --split_of"
    + "".join(f"; {', '.join(of)}: of {name}" for name, of in _OTHER_SPLITS.items())
    + ".",
)
_SPLIT_OF = split_flags.define_split_of_flag()
_FILES = flags.DEFINE_list("files", [], "Your own rows: files, globs or folders, by commas.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "Write the metrics to this file as JSON; -: standard output."
)
flags.mark_flag_as_required("model")
flags.adopt_module_key_flags(data_flags)


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.export.version_contents import check_model
    from mptrec_tf.storage.destinations import display_path
    from mptrec_tf.storage.directories import check_writable, write_file

    if _OUTPUT.value:
        check_writable(_OUTPUT.value)
    _check_split(_SPLIT.value, data_flags.DATASET.value)
    spec = data_flags.read_spec({"files": _FILES.value})
    if _SPLIT_OF.value and data_flags.DATASET.value:
        raise InputError("--split_of goes with --spec and --files, not with --dataset.")
    rule = split_flags.read_rule_of(_SPLIT_OF.value) if _SPLIT_OF.value else None
    described = check_model(_MODEL.value, _TASKS.value)
    # A built-in data set has labels of more tasks than its default ones.
    labelled = None
    if data_flags.DATASET.value and described and described.name == spec.name:
        labelled = described.task_names

    # Imports that take seconds come after the checks of the flags.
    from mptrec_tf.evaluation.report import make_metric_tables, print_table, to_json
    from mptrec_tf.inference.saved_model import LoadedModel
    from mptrec_tf.inference.scoring import evaluate

    split = "files" if data_flags.SPEC.value and not rule else _SPLIT.value
    source = data_flags.open_source({"files": _FILES.value}, labelled, rule)
    output = _OUTPUT.value
    if output:
        others = {}
        if data_flags.SPEC.value:
            shards = [of[1] if rule else of for of in source.shards(split)]
            others = dict.fromkeys(shards, "an input")
        output = output_files.prepare(output, others)
    model = LoadedModel(_MODEL.value)
    with program.progress("evaluating", source.estimated_rows(split)) as on_rows:
        metrics = evaluate(model, source, split, _TASKS.value, on_rows)
    rows = [{"task": name, **values} for name, values in metrics.items()]
    what = ", ".join(_FILES.value) if data_flags.SPEC.value else f"the {split} rows"
    what = f"the {split} rows of {what}" if rule else what
    kinds = {task.name: task.kind for task in model.spec.tasks}
    title = f"{model.path} on {what} of {source.spec.name}"
    for title_of_kind, of_kind in make_metric_tables(rows, kinds, title):
        print_table(of_kind, title_of_kind)
    program.print_empty(source)
    if not _TASKS.value:
        mine, theirs = model.spec.task_names, source.spec.task_names
        for tasks, why in (
            ([task for task in mine if task not in theirs], "the data have no labels of"),
            ([task for task in theirs if task not in mine], "the model does not predict"),
        ):
            if tasks:
                print(f"{why} {', '.join(tasks)}")
    if output:
        content = {"model": model.path, "data": source.spec.name, "split": split, "tasks": metrics}
        write_file(output, to_json(content) + "\n")
        print(f"written to {display_path(output)}")


def _check_split(split: str, dataset: str | None) -> None:
    """Rejects a split that the data do not have.

    Args:
      split: One of the flag's values.
      dataset: The built-in data set; None for files.

    Raises:
      InputError: naming those that they have.
    """
    others = DATASETS.get(dataset).other_splits if dataset else ()
    if split in (*_SPLITS, *others):
        return
    have = f"data set {dataset!r} has" if dataset else "files with a --spec have"
    of = " and ".join(name for name, splits in _OTHER_SPLITS.items() if split in splits)
    raise InputError(
        f"--split={split} is a split of {of}; {have} {', '.join((*_SPLITS, *others))}."
    )


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
