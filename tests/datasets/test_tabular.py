import gzip

import pytest
import tensorflow as tf

from mptrec_tf.datasets.block import read_split
from mptrec_tf.datasets.sources import open_tabular
from mptrec_tf.datasets.tabular import Tabular, read_file
from mptrec_tf.errors import InputError
from mptrec_tf.spec import DatasetSpec, Numeric, Task

SPEC = DatasetSpec("my", (), (Numeric("x"),), (Task("t", "y", positive="1"),))


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
def test_formats_are_told_apart_by_name(folder, name):
    [block] = read_file(f"{folder}/{name}")
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
    source = open_tabular(folder / "my.yaml", {"train": [f"{folder}/a.csv"]})
    assert source.spec == SPEC
    assert len(next(read_split(source, "train"))) == 2


def test_from_a_wrong_spec_file(folder):
    (folder / "my.yaml").write_text("name: my\nnumeric: [x]\n")
    with pytest.raises(InputError, match=r"my.yaml, line 1: it has no task"):
        open_tabular(folder / "my.yaml", {"train": [f"{folder}/a.csv"]})
