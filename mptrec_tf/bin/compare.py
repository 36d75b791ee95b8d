"""Compares the predictions of two versions of a model for the same raw rows.

    mptrec-compare --a=saved_models/mptrec/1 --b=saved_models/mptrec/2 --input=rows.csv

Per task: whether the predictions are the same to the last bit, the largest difference and its row,
the rank correlation, and each version's score (of a binary task, its AUC) where the rows have
labels. The input is as that of mptrec-predict. With --require_identical the
exit status is not 0 if one of these tasks differs, for scripts that deploy a version.
"""

from absl import flags

from mptrec_tf.bin import format_flags, output_files, program, split_flags
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError, did_you_mean

_A = flags.DEFINE_string("a", None, "Directory that mptrec-export wrote, or one of its versions.")
_B = flags.DEFINE_string("b", None, "The other one.")
_INPUT = flags.DEFINE_string(
    "input", None, "Raw rows: a file, glob or folder, as of mptrec-predict."
)
_SPLIT_OF = split_flags.define_split_of_flag()
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["train", "validation", "test"], "Rows to compare on, with --split_of."
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Write the comparison to this file as JSON; -: standard output."
)
_REQUIRE_IDENTICAL = flags.DEFINE_list(
    "require_identical", [], "Tasks that must not differ in a bit, by commas, or: all (common)."
)
flags.mark_flags_as_required(["a", "b", "input"])
flags.adopt_module_key_flags(format_flags)


def main(_: list[str]) -> None:
    """Runs the program.

    Raises:
      InputError: if a task differs that must not.
    """
    from mptrec_tf.data.sets.registry import check_files
    from mptrec_tf.export.version_contents import check_model
    from mptrec_tf.storage.destinations import display_path
    from mptrec_tf.storage.directories import check_writable, write_file

    if _OUTPUT.value:
        check_writable(_OUTPUT.value)
    described = [check_model(path) for path in (_A.value, _B.value)]
    if all(described):
        _read_required_tasks(*described)
    check_files([_INPUT.value])
    if _SPLIT_OF.value:
        split_flags.read_rule_of(_SPLIT_OF.value)
    elif _SPLIT.present:
        raise InputError("--split goes with --split_of, which says how the rows were split.")

    # Imports that take seconds come after the checks of the flags.
    from mptrec_tf.data.sources.tabular import estimate_file_rows, list_shards, read_file
    from mptrec_tf.evaluation.report import print_table, to_json
    from mptrec_tf.inference.comparing import compare
    from mptrec_tf.inference.saved_model import LoadedModel

    output = _OUTPUT.value
    shards = list_shards([_INPUT.value])
    if output:
        output = output_files.prepare(output, dict.fromkeys(shards, "the input"))
    a, b = LoadedModel(_A.value), LoadedModel(_B.value)
    required = _read_required_tasks(a.spec, b.spec)
    text_format = format_flags.read_text_format(a.spec.text_format)
    with program.progress("comparing", sum(map(estimate_file_rows, shards))) as on_rows:
        lists = sorted({*a.spec.list_columns, *b.spec.list_columns})
        blocks = (
            of
            for path in shards
            for of in read_file(path, text_format, lists=lists, given=[_INPUT.value])
        )
        if _SPLIT_OF.value:
            blocks = split_flags.select_rows(blocks, _SPLIT_OF.value, _SPLIT.value, a.spec)
        compared = compare(a, b, blocks, on_rows)
    print_table(
        [{"task": task, **_format_row(values)} for task, values in compared.items()],
        f"{a.path} (a) and {b.path} (b) on {_INPUT.value}",
    )
    if output:
        write_file(output, to_json({"a": a.path, "b": b.path, "tasks": compared}) + "\n")
        print(f"written to {display_path(output)}")
    differing = [task for task in sorted(required) if not compared[task]["identical"]]
    if differing:
        raise InputError(f"the two models differ in {', '.join(differing)}.")


def _read_required_tasks(a: DatasetSpec, b: DatasetSpec) -> set[str]:
    """Returns the tasks that must not differ."""
    common = set(a.task_names) & set(b.task_names)
    required = common if _REQUIRE_IDENTICAL.value == ["all"] else set(_REQUIRE_IDENTICAL.value)
    for name in sorted(required - common):
        raise InputError(
            f"--require_identical names {name!r}, which is not a task of both models; these are "
            f"{', '.join(sorted(common)) or 'none'}{did_you_mean(name, common)}"
        )
    return required


def _format_row(values: dict) -> dict:
    if "only_in" in values:
        return {"identical": f"only in {values['only_in']}"}
    # Four places would show a difference in the last bits as 0.
    return {
        **values,
        "identical": "yes" if values["identical"] else "no",
        "largest": f"{values['largest']:.3g}",
    }


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
