"""Seconds to read a file whose columns are all taken as preparation takes them.

    python benchmarks/reading.py --format=csv --rows=1000000 --runs=3
    python benchmarks/reading.py --format=tfrecord --rows=300000 --runs=3

The file has 20 columns: ids and categories as text, and whole and decimal numbers. The package's
reader, by Arrow, is compared with an object for each value, as the package read before: CSV by
Python's `csv`, tf.Examples record by record, as it still does where a record is wrong. The two
alternate in one process; medians are shown.
"""

import csv
import io
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from mptrec_tf.bin import program

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Block

_FORMAT = flags.DEFINE_enum(
    "format",
    "csv",
    ["csv", "quoted_csv", "tfrecord"],
    "Of the file; in quoted CSV, text has quotes, some with delimiters and quotes within.",
)
_ROWS = flags.DEFINE_integer("rows", 1_000_000, "Rows of the file.", lower_bound=1)
_RUNS = flags.DEFINE_integer("runs", 3, "Runs of each reader.", lower_bound=1)
_IDS, _CATEGORIES, _DECIMALS, _WHOLE = 3, 7, 7, 3
_TEXT = [f"id_{i}" for i in range(_IDS)] + [f"category_{i}" for i in range(_CATEGORIES)]
_NUMBERS = [f"decimal_{i}" for i in range(_DECIMALS)] + [f"whole_{i}" for i in range(_WHOLE)]
_CHUNK = 50_000


def _make_columns(rows: int, quoted: bool) -> Iterator[tuple[list, np.ndarray, np.ndarray]]:
    """Yields texts, decimal numbers and whole numbers of some rows at a time."""
    random = np.random.default_rng(1)
    kinds = ["plain", "two words", "a, b" if quoted else "a b", 'x "y"' if quoted else "xy"]
    for begin in range(0, rows, _CHUNK):
        count = min(_CHUNK, rows - begin)
        texts = [[f"user{v}" for v in of] for of in random.integers(10**7, size=(_IDS, count))]
        of_kinds = random.integers(40, size=(_CATEGORIES, count)).tolist()
        texts += [[f"{kinds[v % len(kinds)]} {v}" for v in of] for of in of_kinds]
        decimals = random.normal(size=(_DECIMALS, count)).astype(np.float32)
        yield texts, decimals, random.integers(10**5, size=(_WHOLE, count))


def write_csv(path: str, rows: int, quoted: bool) -> None:
    """Writes the rows as CSV, with quotes around all text or around none."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        quoting = csv.QUOTE_NONNUMERIC if quoted else csv.QUOTE_MINIMAL
        writer = csv.writer(file, quoting=quoting, lineterminator="\n")
        writer.writerow([*_TEXT, *_NUMBERS])
        for texts, decimals, whole in _make_columns(rows, quoted):
            numbers = [[float(f"{v:.6g}") for v in of] for of in decimals.tolist()]
            writer.writerows(zip(*texts, *numbers, *whole.tolist(), strict=True))


def write_examples(path: str, rows: int) -> None:
    """Writes the rows as a TFRecord file of tf.Examples."""
    import pyarrow as pa
    import tensorflow as tf
    from tfx_bsl.coders import example_coder

    from mptrec_tf.data.arrow import encode_text, make_lists

    with tf.io.TFRecordWriter(path) as writer:
        for texts, decimals, whole in _make_columns(rows, quoted=False):
            columns = [encode_text(np.array(of, object)) for of in texts]
            columns += [pa.array(of) for of in (*decimals, *whole)]
            batch = pa.RecordBatch.from_arrays(list(map(make_lists, columns)), [*_TEXT, *_NUMBERS])
            for example in example_coder.RecordBatchToExamplesEncoder().encode(batch):
                writer.write(example)


def read_csv_objects(path: str) -> "Iterator[Block]":
    """Yields the rows of a CSV file without Arrow, as the package read them before."""
    from mptrec_tf.data.sources.block import BLOCK_ROWS, Block
    from mptrec_tf.data.sources.columns import Columns

    def check_lines(lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            if "\0" in line:
                raise csv.Error("line contains NUL")
            yield line

    def number_rows(reader) -> Iterator[tuple[int, list[str]]]:
        line = 1
        for row in reader:
            if len(row) > 1 or (row and row[0].strip()):
                yield line, row
            line = reader.line_num + 1

    with open(path, "rb") as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        rows = number_rows(csv.reader(check_lines(text), skipinitialspace=True, strict=True))
        _, header = next(rows)
        places = {name: place for place, name in enumerate(header)}
        while batch := list(itertools.islice(rows, BLOCK_ROWS)):
            for _, row in batch:
                if len(row) != len(header):
                    raise ValueError(f"{len(row)} columns")

            def make(name: str, batch=batch) -> np.ndarray:
                return np.array([row[places[name]] for _, row in batch], object)

            yield Block(Columns(places, make), path, np.array([line for line, _ in batch]))


def read_examples_one_by_one(path: str) -> "Iterator[Block]":
    """Yields the rows of a TFRecord file, each parsed by itself."""
    import tensorflow as tf

    from mptrec_tf.data.sources.block import BLOCK_ROWS
    from mptrec_tf.data.sources.example_values import read_examples

    numbered = enumerate(tf.data.TFRecordDataset(path).as_numpy_iterator(), 1)
    while batch := list(itertools.islice(numbered, BLOCK_ROWS)):
        yield read_examples(batch, path)


def take(blocks: "Iterator[Block]") -> float:
    """Takes all columns; returns a sum by which readers can be compared."""
    total = 0.0
    for block in blocks:
        total += sum(block.encoded(name).nbytes for name in _TEXT)
        total += sum(float(block.numbers(name).sum(dtype=np.float64)) for name in _NUMBERS)
    return total


def main(_) -> None:
    """Runs the benchmark."""
    from mptrec_tf.data.sources.files import read_file
    from mptrec_tf.data.text_format import TextFormat
    from mptrec_tf.evaluation.report import print_table

    of_objects = read_examples_one_by_one if _FORMAT.value == "tfrecord" else read_csv_objects
    readers: dict[str, Callable[[str], Iterator[Block]]] = {
        "objects": of_objects,
        "the package": lambda path: read_file(path, TextFormat()),
    }
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    processor: dict[str, list[float]] = {name: [] for name in readers}
    totals = set()
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "rows")
        if _FORMAT.value == "tfrecord":
            write_examples(path, _ROWS.value)
        else:
            write_csv(path, _ROWS.value, _FORMAT.value == "quoted_csv")
        size = os.path.getsize(path)
        for _ in range(_RUNS.value):
            for name, read in readers.items():
                begin = time.perf_counter(), time.process_time()
                totals.add(take(read(path)))
                seconds[name].append(time.perf_counter() - begin[0])
                processor[name].append(time.process_time() - begin[1])
    before = statistics.median(seconds["objects"])
    table = [
        {
            "reader": name,
            "median_seconds": round(statistics.median(of), 2),
            "least": round(min(of), 2),
            "most": round(max(of), 2),
            "processor_seconds": round(statistics.median(processor[name]), 2),
            "share": round(statistics.median(of) / before, 3),
        }
        for name, of in seconds.items()
    ]
    columns = len(_TEXT) + len(_NUMBERS)
    print_table(
        table, f"{_FORMAT.value}: {_ROWS.value:,} rows of {columns} columns, {size / 1e6:.0f} MB"
    )
    if len(totals) > 1:
        raise SystemExit(f"the readers differ: {totals}")


if __name__ == "__main__":
    program.run(main)
