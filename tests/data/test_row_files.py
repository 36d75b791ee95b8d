"""Files of rows: which rows they hold, and that rows cross no step on the way."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from apache_beam.runners.portability.fn_api_runner import execution

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.prepare import count_reads, prepare
from mptrec_tf.data.prepared_checks import DataChecks
from mptrec_tf.data.row_files import MOST_FILES, WriteGroup, plan_files, write_files
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.sources.tabular import Tabular
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.training.batches import load_rows

SPEC = DatasetSpec(
    "small",
    (Categorical("c"), Numeric("x", "standard")),
    (BinaryTask("t", "y", positive="1", negative="0"),),
)
ROWS = 50  # of a block


class Numbers:
    """Rows that are numbers, in shards of so many blocks each."""

    def __init__(self, blocks, shards=2, spec=SPEC):
        self.spec = spec
        self._blocks, self._shards = blocks, shards

    def shards(self, split):
        return [(split, shard) for shard in range(self._shards)]

    def read(self, shard):
        split, number = shard
        for block in range(self._blocks):
            first = (number * self._blocks + block) * ROWS
            rows = np.arange(first, first + ROWS)
            yield Block(
                {
                    "c": np.array([f"c{row % 7}" for row in rows], object),
                    "x": (rows % 10).astype(np.float32) / 7,
                    "y": rows % 2,
                },
                split,
                rows + 1,
                "row",
            )

    def estimated_rows(self, split):
        return {"train": 100, "validation": 10, "test": 1}[split]


class Lists:
    """A source of a number of shards."""

    spec = SPEC

    def __init__(self, shards):
        self._shards = shards

    def shards(self, split):
        return list(range(self._shards))


def plan(shards, files=None):
    groups = plan_files(Lists(shards), {"train": "a/train", "test": "b/test"}, ".gz", files)
    half = len(groups) // 2
    assert [group.split for group in groups] == ["train"] * half + ["test"] * half
    return [(group.shards, [path.partition("-")[2] for path in group.paths]) for group in groups][
        :half
    ]


def test_a_file_for_each_shard():
    assert plan(2) == [((0,), ["00000-of-00002.gz"]), ((1,), ["00001-of-00002.gz"])]
    assert len(plan(3 * MOST_FILES)) == MOST_FILES
    assert plan(3 * MOST_FILES)[1][0] == (3, 4, 5)


def test_fewer_files_than_shards():
    assert plan(5, 2) == [((0, 1), ["00000-of-00002.gz"]), ((2, 3, 4), ["00001-of-00002.gz"])]


def test_more_files_than_shards():
    files = [f"{i:05d}-of-00005.gz" for i in range(5)]
    assert plan(2, 5) == [((0,), files[:2]), ((1,), files[2:])]


def test_reads_of_a_progress_bar():
    assert count_reads(Numbers(1)) == 211
    assert count_reads(Numbers(1), fits=False) == 111


def encode(batch):
    return [b"%d" % (value * 7 + 0.5) for [value] in batch.column(0).to_pylist()]


def make_batch(spec, block, split):
    return pa.RecordBatch.from_arrays([pa.array(block.numbers("x")[:, None].tolist())], ["x"])


def read_records(path):
    kind = "GZIP" if str(path).endswith(".gz") else ""
    return [bytes(r) for r in tf.data.TFRecordDataset(str(path), kind).as_numpy_iterator()]


@pytest.mark.parametrize("suffix", [".tfrecord", ".gz"])
def test_blocks_go_to_files_in_turn(tmp_path, suffix):
    import apache_beam as beam

    source = Numbers(blocks=3, shards=1)
    groups = plan_files(source, {"train": f"{tmp_path}/train"}, suffix, 2)
    step = WriteGroup(source, make_batch, encode, f"{tmp_path}/temporary", has_fingerprint=True)
    written = write_files(groups, step, beam.Pipeline)
    records = [b"%d" % (row % 10) for row in range(3 * ROWS)]
    first, second = (tmp_path / f"train-0000{i}-of-00002{suffix}" for i in range(2))
    assert read_records(first) == records[:ROWS] + records[2 * ROWS :]
    assert read_records(second) == records[ROWS : 2 * ROWS]
    assert written["train"].survey.rows == 3 * ROWS
    digests = sum(int.from_bytes(hashlib.sha256(r).digest(), "big") for r in records)
    assert written["train"].fingerprint == digests % 2**256
    names = {path.name for path in (tmp_path / "temporary").iterdir()}
    assert names == {"written-00000"}  # files have their names when they are whole


def test_what_goes_from_step_to_step_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    """Runners in memory hold what a step waits for: here it is counted, in bytes."""
    held = []

    def count(kind):
        append = kind.append
        monkeypatch.setattr(
            kind, "append", lambda self, data: (held.append(len(data)), append(self, data))[1]
        )

    count(execution.ListBuffer)
    count(execution.GroupingBuffer)
    sizes = []
    for blocks in (2, 40):
        held.clear()
        data = prepare(Numbers(blocks), f"{tmp_path}/data-{blocks}")
        assert data.splits["train"]["rows"] == 2 * blocks * ROWS
        sizes.append(sum(held))
    assert 0 < sizes[1] < 1.1 * sizes[0]


def write_rows(folder, bad=False):
    """Writes four files of training rows and one of each other split; opens them."""
    for split in SPLITS:
        for number in range(4 if split == "train" else 1):
            rows = [f"c{i % 5},{i % 11 / 7},{i % 2}" for i in range(number, 100)]
            if bad and split == "train":
                rows += ["c1,1,maybe"] * (number == 2)
            text = "\n".join(["c,x,y", *rows]) + "\n"
            (folder / f"{split}-{number}.csv").write_text(text)
    return Tabular(SPEC, {split: [f"{folder}/{split}-*.csv"] for split in SPLITS})


def hash_files(directory):
    """The content of all files but the graph's own, whose bytes TensorFlow draws."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(directory).rglob("*")
        if path.is_file() and path.name not in ("saved_model.pb", "fingerprint.pb")
    }


@pytest.fixture(scope="module")
def one_worker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_worker")
    return prepare(write_rows(folder), f"{folder}/data", shards=2)


def test_shards(one_worker):
    assert [Path(path).name for path in one_worker.files("train")] == [
        "train-00000-of-00002.tfrecord",
        "train-00001-of-00002.tfrecord",
    ]
    assert [len(read_records(path)) for path in one_worker.files("train")] == [199, 195]


def test_the_number_of_files_changes_no_row_and_not_their_order(one_worker, tmp_path):
    data = prepare(write_rows(tmp_path), f"{tmp_path}/data")
    assert len(data.files("train")) == 4
    for split in SPLITS:
        rows, others = (
            [r for path in of.files(split) for r in read_records(path)] for of in (one_worker, data)
        )
        assert rows == others


def test_compressed_files_hold_the_same_rows(one_worker, tmp_path):
    data = prepare(
        write_rows(tmp_path),
        f"{tmp_path}/data",
        transform_dir=one_worker.transform_dir,
        shards=2,
        compress=True,
    )
    for split in SPLITS:
        plain, compressed = one_worker.files(split), data.files(split)
        assert [Path(path).name for path in compressed] == [
            f"{Path(path).name}.gz" for path in plain
        ]
        for one, other in zip(plain, compressed, strict=True):
            assert read_records(one) == read_records(other)
        rows, others = (load_rows(of, split, ["t"]).columns for of in (one_worker, data))
        assert rows.keys() == others.keys()
        for name, column in rows.items():
            np.testing.assert_array_equal(column, others[name])
    assert DataChecks(data).warnings() == DataChecks(one_worker).warnings()


@pytest.mark.parametrize("mode", ["multi_processing", "multi_threading"])
def test_two_workers_write_the_same_bits(one_worker, tmp_path, mode):
    """The graph that threads fit, too; processes get it: they take seconds to start."""
    seen = []
    data = prepare(
        write_rows(tmp_path),
        f"{tmp_path}/data",
        transform_dir=one_worker.transform_dir if mode == "multi_processing" else None,
        shards=2,
        beam_args=["--direct_num_workers=2", f"--direct_running_mode={mode}"],
        on_rows=seen.append,
    )
    assert hash_files(data.directory) == hash_files(one_worker.directory)
    # Rows that other processes read count, too.
    train, others = 100 + 99 + 98 + 97, 2 * 100
    assert sum(seen) == others + train * (1 if mode == "multi_processing" else 2)


def test_an_error_in_another_process_is_the_same_sentence(tmp_path):
    source = write_rows(tmp_path, bad=True)
    with pytest.raises(InputError) as caught:
        prepare(source, f"{tmp_path}/data", beam_args=["--direct_num_workers=2"])
    assert str(caught.value) == (
        f"{tmp_path}/train-2.csv, line 100, column 'y': 'maybe' is neither positive nor negative "
        "for task 't'; expected '1' or '0'."
    )
    assert not (tmp_path / "data").exists()
