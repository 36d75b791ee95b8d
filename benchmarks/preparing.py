"""Seconds and memory that `mptrec-prepare` takes, by number of rows.

    python benchmarks/preparing.py --rows=300000,3000000,10000000
    python benchmarks/preparing.py --format=csv --rows=1500000 --files=8 --direct_num_workers=1

    python benchmarks/preparing.py --format=ali_ccp --rows=1000000,10000000

Rows are synthetic: seven columns of ids and categories, three of numbers, four tasks; validation
and test have half as many rows as train, together. They are made while they are read, or are
written as CSV files first, or are those of a data set's sample, of all splits together. Other flags
go to `mptrec-prepare`. For each size the program runs alone, and the memory of its processes is
looked at several times in a second: the most that one of them has, and the most that all have
together, where what they share, such as the code of libraries, is counted once (with other
processes that share it, less).
"""

import os
import sys
import tempfile
from typing import Any

from absl import flags
from process_memory import measure

from mptrec_tf.bin import program
from mptrec_tf.data.sets.registry import DATASETS

_ROWS = flags.DEFINE_list("rows", ["300000", "3000000"], "Numbers of rows.")
_SAMPLES = [name for name, of in DATASETS.all().items() if of.sample]
_FORMAT = flags.DEFINE_enum(
    "format", "generated", ["generated", "csv", *_SAMPLES], "Of the source, or whose sample."
)
_FILES = flags.DEFINE_integer("files", 4, "With CSV: files of training rows.", lower_bound=1)
_SPEC = """\
name: rows
categorical: [user_id, user_segment, user_city, item_id, item_category, device, hour]
numeric:
- user_age
- {name: item_price, scale: log}
- item_freshness
tasks:
"""
_TASK = "- {{name: {0}, label: {0}, positive: '1', negative: '0'}}\n"


def write_csv(directory: str, rows: int, files: int) -> list[str]:
    """Writes the rows as CSV files; returns the flags that name them."""
    from mptrec_tf.data.sets.synthetic.rows import Synthetic
    from mptrec_tf.data.sets.synthetic.spec import TASKS, count_rows
    from mptrec_tf.data.sources.block import read_split

    with open(f"{directory}/spec.yaml", "w") as file:
        file.write(_SPEC + "".join(map(_TASK.format, TASKS)))
    names = ""
    for split, of_split in count_rows(rows).items():
        targets = [f"{directory}/{split}-{i}.csv" for i in range(files if split == "train" else 1)]
        opened = [open(target, "w") for target in targets]  # noqa: SIM115 (closed below)
        for number, block in enumerate(read_split(Synthetic({split: of_split}), split)):
            names = [name for name in block.columns if not name.startswith("probability")]
            if number < len(opened):
                opened[number].write(",".join(names) + "\n")
            columns = [block.text(name) for name in names]
            lines = "\n".join(map(",".join, zip(*columns, strict=True)))
            opened[number % len(opened)].write(lines + "\n")
        for file in opened:
            file.close()
    splits = ("train", "validation", "test")
    of_files = [f"--{split}_files={directory}/{split}-*.csv" for split in splits]
    return [f"--spec={directory}/spec.yaml", *of_files]


def main(others: list[str]) -> None:
    """Runs the benchmark."""
    from mptrec_tf.evaluation.report import print_table

    table: list[dict[str, Any]] = []
    before = (0, 0.0)
    for rows in map(int, _ROWS.value):
        with tempfile.TemporaryDirectory() as directory:
            data = ["--dataset=synthetic", f"--rows={rows}"]
            if _FORMAT.value == "csv":
                data = write_csv(directory, rows, _FILES.value)
            elif _FORMAT.value != "generated":
                os.mkdir(f"{directory}/files")
                of_set = DATASETS.get(_FORMAT.value)
                of_set.write_sample(f"{directory}/files", rows, 1, lambda rows: None)
                data = [f"--dataset={of_set.name}", f"--data_dir={directory}/files"]
            command = [sys.executable, "-m", "mptrec_tf.bin.prepare", *data]
            of = measure([*command, f"--output_dir={directory}/data", *others])
        total = rows if _FORMAT.value in _SAMPLES else rows + rows // 6 + rows // 3
        more, longer = total - before[0], of["processor_seconds"] - before[1]
        before = total, of["processor_seconds"]
        table.append(
            {
                "rows": f"{total:,}",
                "seconds": round(of["seconds"], 1),
                "processor_seconds": round(of["processor_seconds"], 1),
                "rows_per_processor_second": round(total / of["processor_seconds"]),
                "of_the_rows_that_are_more": round(more / longer) if table else None,
                "mb_of_one_process": round(of["mb_of_one"]),
                "mb_of_all": round(of["mb_of_all"]),
            }
        )
        print_table(table, f"mptrec-prepare, {_FORMAT.value} rows")


if __name__ == "__main__":
    program.run(main, pass_on_unknown_flags=True)
