r"""Drafts a spec from files: looks at their columns, and guesses features and labels.

    mptrec-describe --files='rows/*.csv' --output=spec.yaml
    mptrec-prepare --spec=spec.yaml --files='rows/*.csv' --output_dir=DATA

The draft loads as it stands, and gives the reason of each guess: a person finishes it. It knows
numbers, categories, ids, times, bags, labels, what is missing, constant or duplicate; the
delimiter, a decimal comma and the encoding; and whether the first line names the columns. A sample
of the rows is read: the first ones of several files, and some further in.
"""

import sys

from absl import flags

from mptrec_tf.bin import format_flags, output_files, program
from mptrec_tf.errors import InputError

_FILES = flags.DEFINE_list("files", [], "Your rows: files, globs or folders, by commas.")
_OUTPUT = flags.DEFINE_string(
    "output", "-", "The spec to write; -: standard output, and the table goes to standard error."
)
_ROWS = flags.DEFINE_integer("rows", 100_000, "Rows to read, at most.", lower_bound=1)
_HEADER = flags.DEFINE_list(
    "header", [], "The columns' names, by commas, for files whose first line is a row."
)
flags.adopt_module_key_flags(format_flags)


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.data.describing.draft import draft_spec
    from mptrec_tf.data.describing.sample import read_sample
    from mptrec_tf.data.sets.registry import check_files
    from mptrec_tf.data.text_format import TextFormat
    from mptrec_tf.evaluation.report import print_table
    from mptrec_tf.storage.directories import check_absent, write_file

    if not _FILES.value:
        raise InputError("give the files to look at by --files.")
    check_files(_FILES.value)
    if _OUTPUT.value != "-":
        check_absent(_OUTPUT.value)  # a person may have finished it
    output = output_files.prepare(_OUTPUT.value, dict.fromkeys(_FILES.value, "an input"))
    text_format = format_flags.read_text_format(TextFormat(header=tuple(_HEADER.value) or None))
    for problem in text_format.problems():
        raise InputError(f"--{problem}.")
    with program.progress("reading", _ROWS.value) as on_rows:
        sample = read_sample(_FILES.value, _ROWS.value, text_format, on_rows)
    draft = draft_spec(sample)
    how = "all" if sample.complete else "a sample of"
    files = "1 file" if len(sample.files) == 1 else f"{len(sample.files)} files"
    print_table(draft.table, f"{how} {sample.rows:,} rows of {files}")
    for note in draft.notes:
        print(f"note: {note}", file=sys.stderr)
    write_file(output, draft.text)
    if _OUTPUT.value != "-":
        print(f"written to {_OUTPUT.value}: check it, then mptrec-prepare --spec={_OUTPUT.value}")


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
