r"""Predicts tasks for raw rows, with an exported model.

    mptrec-predict --model=saved_models/mptrec --input=rows.csv --output=predictions.csv
    mptrec-predict --model=saved_models/mptrec --input='day1/*.csv,day2/*.csv' \
        --keep=user_id,item_id --tasks=buy --rejects=rejects.csv --output=-

The input is files of any format that preparation reads (CSV, Parquet, Arrow, JSON lines, TFRecord
of tf.Examples), or data sets of TensorFlow Datasets; columns that neither the model nor --keep
needs are ignored. The output is CSV: the columns of --keep, unchanged, then one with the
prediction for each task; a line per row, in the order of the inputs.

A row that cannot be read ends the run, without an output. With --rejects such rows go to a CSV
file: their file, line (or number of the record or row), reason and, if possible, the row itself.
The output holds all others, and the exit status is 3 if any row was rejected. --output=- is
standard output; tables and progress go to standard error then.
"""

import sys

from absl import flags

from mptrec_tf.bin import format_flags, output_files, program
from mptrec_tf.errors import InputError

REJECTED = 3  # exit status

_MODEL = flags.DEFINE_string(
    "model", None, "Directory that mptrec-export wrote (its newest version), or one version."
)
_INPUT = flags.DEFINE_list(
    "input",
    None,
    "Raw rows: files, globs or folders, or tfds:NAME#SPLIT, by commas.",
)
_OUTPUT = flags.DEFINE_string("output", None, "CSV file to write; -: standard output.")
_KEEP = flags.DEFINE_list(
    "keep", [], "Columns of the input to copy before the predictions, by commas."
)
_TASKS = flags.DEFINE_list(
    "tasks", [], "Tasks to predict, in this order. Default: all of the model's."
)
_REJECTS = flags.DEFINE_string(
    "rejects", None, "CSV file for rows that cannot be read; without it the first one is an error."
)
flags.mark_flags_as_required(["model", "input", "output"])
flags.adopt_module_key_flags(format_flags)


def main(_: list[str]) -> None:
    """Runs the program."""
    import contextlib
    import dataclasses

    from mptrec_tf.data.sets.registry import check_files
    from mptrec_tf.export.version_contents import check_model
    from mptrec_tf.storage.directories import check_writable

    if not _INPUT.value:
        raise InputError("--input names no file; give at least one.")
    check_writable(_OUTPUT.value)
    if _REJECTS.value:
        check_writable(_REJECTS.value, {_OUTPUT.value: "the output"})
    check_model(_MODEL.value, _TASKS.value)
    check_files(_INPUT.value)

    # Imports that take seconds come after the checks of the flags.
    from mptrec_tf.data.sources.tabular import Tabular, read_file
    from mptrec_tf.evaluation.report import print_table
    from mptrec_tf.inference.rejects import open_rejects
    from mptrec_tf.inference.saved_model import LoadedModel
    from mptrec_tf.inference.scoring import check_keep, predict_file
    from mptrec_tf.storage.destinations import display_path

    check_keep(_KEEP.value, _TASKS.value)
    model = LoadedModel(_MODEL.value)
    text_format = format_flags.read_text_format(model.spec.text_format)
    spec = dataclasses.replace(model.spec, text_format=text_format)
    source = Tabular(spec, {"input": _INPUT.value})
    shards = source.shards("input")
    inputs = dict.fromkeys(shards, "an input")
    output = output_files.prepare(_OUTPUT.value, inputs)
    with contextlib.ExitStack() as stack:
        rejects = None
        if _REJECTS.value:
            rejects = stack.enter_context(
                open_rejects(output_files.prepare(_REJECTS.value, inputs))
            )
        on_bad_row = rejects.add if rejects else None
        optional = model.spec.optional_numbers - set(_KEEP.value)
        needed = [c for c in (*model.column_types, *_KEEP.value) if c not in optional]
        on_rows = stack.enter_context(
            program.progress("predicting", source.estimated_rows("input"))
        )
        summary = predict_file(
            model,
            (
                block
                for shard in shards
                for block in read_file(
                    shard,
                    text_format,
                    on_bad_row,
                    needed,
                    lists=spec.list_columns,
                    optional=sorted(optional),
                    given=source.given,
                )
            ),
            output,
            on_rows,
            tasks=_TASKS.value,
            keep=_KEEP.value,
            rejects=rejects,
        )
    print_table(
        [{"task": task, **values} for task, values in summary.items()],
        f"Predictions of {model.path} in {display_path(output)}",
    )
    program.print_empty(source)
    if rejects and rejects.counts:
        print_table(
            [{"reason": kind, "rows": count} for kind, count in rejects.counts.most_common()],
            f"{rejects.counts.total():,} rejected rows, in {display_path(_REJECTS.value)}",
        )
        sys.stdout.flush()
        sys.exit(REJECTED)


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
