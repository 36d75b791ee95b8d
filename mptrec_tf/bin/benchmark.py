r"""Runs a grid of models, ablations, heads and seeds, and renders tables and figures of it.

    mptrec-benchmark --suite=paper --dataset=census_income --data_dir=DIR --seeds=1,2,3 \
        --output_dir=OUT
    mptrec-benchmark --suite=unseen --dataset=census_income --data_dir=DIR --output_dir=OUT2
    mptrec-benchmark --suite=paper --spec=my.yaml --train_files=a.csv --validation_files=b.csv \
        --test_files=c.csv --tasks=click,buy --new_tasks=long_view --output_dir=OUT
    mptrec-benchmark --output_dir=OUT --render_only

--quick shows in minutes that everything runs. A benchmark that was stopped is continued by the
same flags: finished cells stay, and a training continues after its last epoch. More --seeds,
--models or --heads add to what is there. A cell that fails stops only those that need it, and is
tried again by the next start. OUT/results.jsonl has a line for each cell, with all that is needed
to repeat it; OUT/report/report.html shows the tables and figures.
"""

import os
import sys

from absl import flags

from mptrec_tf.benchmark.suites import QUICK_ROWS, SUITES, Grid
from mptrec_tf.bin import data_flags, program
from mptrec_tf.data.sets.registry import DATASETS
from mptrec_tf.errors import InputError
from mptrec_tf.models.heads.registry import AUTO, HEADS
from mptrec_tf.models.registry import MODELS
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.configurations import LARGEST_SEED

_SUITE = flags.DEFINE_enum(
    "suite",
    "paper",
    SUITES.names(),
    "What is run. paper: every model, ablation and head, and what they cost. unseen: tasks that no "
    "choice was made on, ours against the paper's head, a model of its own and joint training.",
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Directory for all results.")
_TASKS = flags.DEFINE_list(
    "tasks", [], "Tasks to pre-train on. Default: the data set's, without its new task."
)
_NEW_TASKS = flags.DEFINE_list(
    "new_tasks", [], "Tasks to add. Default: the data set's new task, or the suite's list."
)
_SEEDS = flags.DEFINE_list("seeds", None, "Seeds, by commas. Default: 1,2,3; with --quick: 1.")
_MODELS = flags.DEFINE_list("models", [], f"Models. Default: the suite's, of {MODELS.names()}.")
_HEADS = flags.DEFINE_list(
    "heads", [], f"Heads of new tasks. Default: the suite's, of {(AUTO, *HEADS.names())}."
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    1,
    "Cells that run at a time, each with its share of the cores. Seconds compare within one value.",
    lower_bound=1,
)
_TUNE = flags.DEFINE_integer(
    "tune",
    0,
    "Tries so many hyper-parameters for each model, on the validation rows; the first are the "
    "defaults. 0: the defaults.",
    lower_bound=0,
)
_QUICK = flags.DEFINE_bool(
    "quick", False, f"Only {QUICK_ROWS} rows of each split, two epochs and fewer cells."
)
_RENDER_ONLY = flags.DEFINE_bool(
    "render_only", False, "Train nothing: render the results that are in --output_dir."
)
_FILES = {split: data_flags.define_files_flag(split) for split in ("train", "validation", "test")}
flags.mark_flag_as_required("output_dir")
flags.adopt_module_key_flags(data_flags)


def main(_: list[str]) -> None:
    """Runs the program.

    Raises:
      InputError: for a mistake in the flags; or at the end, if cells failed.
    """
    directory = _OUTPUT_DIR.value.rstrip("/")
    if _RENDER_ONLY.value:
        from mptrec_tf.benchmark.place import read_grid

        _render(directory, read_grid(directory))
        return
    suite = SUITES.get(_SUITE.value)
    source = _read_source()
    grid = _read_grid(suite)
    source.make_spec([*grid.old, *grid.new])

    # Imports that take seconds come after the checks of the flags.
    from mptrec_tf.benchmark.machine import find_commit
    from mptrec_tf.benchmark.place import open_place
    from mptrec_tf.benchmark.scheduling import list_cells, run_cells
    from mptrec_tf.storage.directories import exclusive_lock

    cells = list_cells(suite.make_cells(grid))
    common = {
        "suite": _SUITE.value,
        "source": to_plain(source),
        "tasks": list(grid.old),
        "new_tasks": list(grid.new),
        "quick": grid.quick,
        "tune": grid.tune,
    }
    place = open_place(directory, source, common)
    with exclusive_lock(directory):
        done = sum(map(place.is_done, cells))
        print(f"{len(cells)} cells, {done} of them finished", file=sys.stderr, flush=True)
        run_cells(cells, place, _WORKERS.value, find_commit(), place.collect)
        place.collect()
        _render(directory, common)
    failed = [cell for cell in cells if not place.is_done(cell)]
    if failed:
        raise InputError(
            f"{len(failed)} of {len(cells)} cells failed, first {failed[0].title!r}: "
            f"{place.read_failure(failed[0])}; start again to try them once more."
        )


def _read_source():
    """Returns where the rows come from, as the flags say."""
    from mptrec_tf.benchmark.sources import RowSource

    patterns = {split: flag.value for split, flag in _FILES.items()}
    spec = data_flags.read_spec(patterns)
    rows = QUICK_ROWS if _QUICK.value else 0
    if data_flags.SPEC.value:
        files = {split: tuple(files) for split, files in patterns.items()}
        return RowSource(spec=spec, files=files, most_rows=rows)
    return RowSource(data_flags.DATASET.value, data_flags.read_options(), most_rows=rows)


def _read_grid(suite) -> Grid:
    """Returns what the flags ask for.

    Raises:
      InputError: for unknown models or heads, seeds that are no numbers, or missing tasks.
    """
    dataset = data_flags.DATASET.value or ""
    old, new = tuple(_TASKS.value), tuple(_NEW_TASKS.value)
    if dataset:
        of = DATASETS.get(dataset)
        own = () if of.new_task is None else (of.new_task,)
        new = new or suite.new_tasks.get(dataset) or own
        old = old or suite.tasks.get(dataset) or tuple(t for t in of.tasks if t not in new)
    for name, tasks in (("tasks", old), ("new_tasks", new)):
        if not tasks:
            raise InputError(f"name the tasks with --{name}, by commas.")
    seeds = (
        _SEEDS.value if _SEEDS.value is not None else (["1"] if _QUICK.value else ["1", "2", "3"])
    )
    for seed in seeds:
        if not (seed.isdigit() and int(seed) <= LARGEST_SEED) or seeds.count(seed) > 1:
            raise InputError(
                f"--seeds={','.join(seeds)}: {seed!r} is no seed; give different whole numbers "
                f"from 0 to {LARGEST_SEED}."
            )
    return Grid(
        dataset,
        old,
        new,
        tuple(map(int, seeds)),
        tuple(_MODELS.value or suite.models or MODELS.names()),
        tuple(_HEADS.value or suite.heads or (AUTO, *HEADS.names())),
        _QUICK.value,
        _TUNE.value,
    )


def _render(directory: str, common: dict) -> None:
    """Writes the report of the results that are there, and prints its tables."""
    from mptrec_tf.benchmark.report import list_summary, render
    from mptrec_tf.benchmark.results import Results
    from mptrec_tf.evaluation.report import print_table

    suite = SUITES.get(common["suite"])
    report = os.path.join(directory, "report")
    for title, rows in list_summary(render(Results(directory, common), suite, report)):
        print_table(rows, title)
    print(f"report in {report}/report.html")


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
