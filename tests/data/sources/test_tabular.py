import dataclasses
import gzip

import pytest
import tensorflow as tf

from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.tabular import Tabular, read_file
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.spec_yaml import load
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

SPEC = DatasetSpec("my", (Numeric("x"),), (BinaryTask("t", "y", positive="1"),))


def example(x, y):
    feature = {
        "x": tf.train.Feature(float_list=tf.train.FloatList(value=[x])),
        "y": tf.train.Feature(int64_list=tf.train.Int64List(value=[y])),
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.fixture
def folder(tmp_path):
    for name in ("a.csv", "b.txt", "c.CSV"):
        (tmp_path / name).write_text("x,y\n1.5,1\n2.5,0\n")
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"x,y\n1.5,1\n2.5,0\n"))
    for name, compression in (("e.tfrecord", ""), ("f-00000-of-00001.gz", "GZIP")):
        with tf.io.TFRecordWriter(f"{tmp_path}/{name}", compression) as writer:
            writer.write(example(1.5, 1))
            writer.write(example(2.5, 0))
    return tmp_path


@pytest.mark.parametrize(
    "name", "a.csv b.txt c.CSV d.csv.gz e.tfrecord f-00000-of-00001.gz".split()
)
def test_formats_are_detected(folder, name):
    [block] = read_file(f"{folder}/{name}", TextFormat())
    assert block.numbers("x").tolist() == [1.5, 2.5]
    assert block.text("y").tolist() == ["1", "0"]


def test_splits(folder):
    patterns = {"train": [f"{folder}/*.csv", f"{folder}/e*"], "test": [f"{folder}/b.txt"]}
    source = Tabular(SPEC, {**patterns, "validation": []})
    assert [f.rpartition("/")[2] for f in source.shards("train")] == ["a.csv", "e.tfrecord"]
    assert [b.source.rpartition("/")[2] for b in read_split(source, "train")] == [
        "a.csv",
        "e.tfrecord",
    ]
    assert source.shards("validation") == []
    with pytest.raises(InputError, match="data set 'my' has no validation rows"):
        next(read_split(source, "validation"))


def test_no_file(folder):
    with pytest.raises(InputError, match=r"no file matches '.*none.csv'"):
        Tabular(SPEC, {"train": [f"{folder}/none.csv"]})


def test_from_a_spec_file(folder):
    (folder / "my.yaml").write_text(
        "name: my\nnumeric: [x]\ntasks: [{name: t, label: y, positive: 1}]\n"
    )
    source = Tabular(load(folder / "my.yaml"), {"train": [f"{folder}/a.csv"]})
    assert source.spec == SPEC
    assert len(next(read_split(source, "train"))) == 2


def test_from_a_wrong_spec_file(folder):
    (folder / "my.yaml").write_text("name: my\nnumeric: [x]\n")
    with pytest.raises(InputError, match=r"my.yaml, line 1: it has no task"):
        Tabular(load(folder / "my.yaml"), {"train": [f"{folder}/a.csv"]})


def test_files_without_rows_are_skipped(folder):
    """As engines write them for partitions without rows."""
    (folder / "shard-0.csv").write_bytes(b"")
    (folder / "shard-1.csv").write_text("x,y\n")
    (folder / "shard-2.csv").write_text("x,y\n3.5,1\n")
    (folder / "shard-3.tfrecord").write_bytes(b"")
    (folder / "shard-4.csv.gz").write_bytes(gzip.compress(b""))
    (folder / "_SUCCESS").write_bytes(b"")
    source = Tabular(SPEC, {"train": [f"{folder}/shard-*"], "test": [f"{folder}/b.txt"]})
    assert [f.rpartition("-")[2] for f in source.shards("train")] == ["2.csv"]
    empty = [f.rpartition("-")[2] for f in source.empty["train"]]
    assert empty == ["0.csv", "1.csv", "3.tfrecord", "4.csv.gz"]
    assert source.empty["test"] == []


@pytest.mark.parametrize(
    ("patterns", "what"), [(["e-0.csv"], "is"), (["e-*.csv"], "and 2 more are")]
)
def test_a_split_whose_files_are_all_empty(folder, patterns, what):
    for i, content in enumerate(("", "x,y\n", "\n")):
        (folder / f"e-{i}.csv").write_text(content)
    with pytest.raises(InputError, match=rf"^no train rows: .*/e-0\.csv {what} empty\.$"):
        Tabular(SPEC, {"train": [f"{folder}/{pattern}" for pattern in patterns]})


def test_a_path_with_characters_of_globs(folder):
    (folder / "a[1].csv").write_text("x,y\n9,1\n")
    source = Tabular(SPEC, {"train": [f"{folder}/a[1].csv"]})
    assert next(read_split(source, "train")).numbers("x").tolist() == [9]


def test_the_specs_text_format_is_the_readers(folder):
    (folder / "my.yaml").write_text(
        "name: my\nnumeric: [x]\ntasks: [{name: t, label: y, positive: 1}]\n"
        "delimiter: semicolon\nheader: [x, y]\n"
    )
    (folder / "rows.csv").write_text("1.5;1\n")
    (folder / "bars.csv").write_text("2.5|1\n")
    source = Tabular(load(folder / "my.yaml"), {"train": [f"{folder}/rows.csv"]})
    assert next(read_split(source, "train")).numbers("x").tolist() == [1.5]
    spec = dataclasses.replace(source.spec, text_format=TextFormat("|", header=("x", "y")))
    source = Tabular(spec, {"train": [f"{folder}/bars.csv"]})
    assert next(read_split(source, "train")).numbers("x").tolist() == [2.5]
