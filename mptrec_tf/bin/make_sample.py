"""Writes files of the shape of a data set that cannot be had, with planted structure.

    mptrec-make-sample --dataset=ali_ccp --rows=1000000 --output_dir=DIR
    mptrec-prepare --dataset=ali_ccp --data_dir=DIR --output_dir=DATA

The files have the names and the format of the original ones, so that readers, pipelines and
benchmarks run on any size before the data are there. Their values are made up: users and items
have factors, and labels follow from them. Rows are written as they are drawn, and the same seed
gives the same bytes.
"""

import os

from absl import flags

from mptrec_tf.bin import program
from mptrec_tf.data.sets.registry import DATASETS
from mptrec_tf.errors import InputError

_MADE = [name for name, of in DATASETS.all().items() if of.sample]

_DATASET = flags.DEFINE_string("dataset", None, f"The data set: {' or '.join(_MADE)}.")
_ROWS = flags.DEFINE_integer(
    "rows", 100_000, "Rows of all its files with labels together.", lower_bound=100
)
_SEED = flags.DEFINE_integer("seed", 1, "Seed of users, items and rows.", lower_bound=0)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "New directory for the files.")
flags.mark_flags_as_required(["dataset", "output_dir"])


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.storage.directories import check_absent

    of = DATASETS.get(_DATASET.value)
    if of.sample is None:
        raise InputError(
            f"there is no sample of data set {of.name!r}; there is one of {', '.join(_MADE)}."
        )
    check_absent(_OUTPUT_DIR.value)

    # Imports that take seconds come after the checks of the flags.
    from mptrec_tf.evaluation.report import print_table
    from mptrec_tf.storage.directories import create_directory
    from mptrec_tf.storage.file_systems import explain_failure

    with (
        create_directory(_OUTPUT_DIR.value) as staging,
        explain_failure(f"cannot write {_OUTPUT_DIR.value}"),
        program.progress("writing", _ROWS.value) as on_rows,
    ):
        of.write_sample(staging, _ROWS.value, _SEED.value, on_rows)
        sizes = _list_sizes(staging)
    print_table(
        [{"file": name, "bytes": size} for name, size in sizes.items()],
        f"Made up in the shape of {of.origin.title}, in {_OUTPUT_DIR.value}",
    )
    print(
        f"next: mptrec-prepare --dataset={of.name} --data_dir={_OUTPUT_DIR.value} --output_dir=.."
    )


def _list_sizes(directory: str) -> dict[str, int]:
    """Returns the bytes of each file below a directory, by its path in it."""
    paths = [
        os.path.join(folder, name) for folder, _, names in os.walk(directory) for name in names
    ]
    return {os.path.relpath(path, directory): os.path.getsize(path) for path in sorted(paths)}


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
