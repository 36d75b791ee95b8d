import pytest
import tensorflow as tf

from mptrec_tf.data.sources.tfrecord_rows import read_tfrecord
from mptrec_tf.errors import InputError


def write_records(path, rows, compression=""):
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for row in rows:
            writer.write(row if isinstance(row, bytes) else example(**row))
    return str(path)


def example(**values):
    features = {}
    for name, value in values.items():
        several = value if isinstance(value, list) else [value]
        if any(isinstance(v, str | bytes) for v in several):
            several = [v.encode() if isinstance(v, str) else v for v in several]
            feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=several))
        elif any(isinstance(v, float) for v in several):
            feature = tf.train.Feature(float_list=tf.train.FloatList(value=several))
        else:
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=several))
        features[name] = feature
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString()


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_tfrecord(tmp_path, compression):
    path = tmp_path / ("rows.gz" if compression else "rows.tfrecord")
    write_records(path, [{"a": "é", "b": 1, "c": 0.5}, {"a": "y", "b": 2, "c": 1.5}], compression)
    [block] = read_tfrecord(str(path), ("gzip",) if compression else ())
    assert block.text("a").tolist() == ["é", "y"]
    assert block.text("b").tolist() == ["1", "2"]
    assert block.numbers("b").tolist() == [1, 2]
    assert block.numbers("c").tolist() == [0.5, 1.5]
    assert block.where(1) == f"{path}, record 2"


def test_tfrecord_with_text_and_numbers_in_one_column(tmp_path):
    path = write_records(tmp_path / "rows", [{"a": "x"}, {"a": 3}, {"a": 0.1}, {"a": 2.0}])
    [block] = read_tfrecord(path, ())
    assert block.text("a").tolist() == ["x", "3", "0.1", "2"]
    assert block.not_numbers("a").tolist() == [0]


def test_numbers_of_several_types_in_one_column(tmp_path):
    path = write_records(tmp_path / "rows", [{"a": "1.5"}, {"a": 3}, {"a": 0.5}])
    [block] = read_tfrecord(path, ())
    assert block.numbers("a").tolist() == [1.5, 3, 0.5]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"garbage", "record 2: not a tf.Example"),
        ({"a": [1, 2], "b": 1}, "record 2: feature 'a' has 2 values; it needs exactly one"),
        ({"a": [], "b": 1}, "record 2: feature 'a' has 0 values"),
        ({"b": 1}, "record 2: feature 'a' is missing; each record needs it"),
        ({"a": b"\xff", "b": 1}, "record 2: feature 'a' is not UTF-8 text"),
    ],
)
def test_bad_records(tmp_path, bad, message):
    path = write_records(tmp_path / "rows", [{"a": 1, "b": 1}, bad])
    with pytest.raises(InputError, match=f"rows, {message}"):
        [block.column("a") for block in read_tfrecord(path, ())]


def test_unused_columns_are_not_checked(tmp_path):
    several = [{"a": 1, "b": [1, 2]}, {"a": 2, "b": b"\xff", "c": []}, {"a": 3}]
    [block] = read_tfrecord(write_records(tmp_path / "rows", several), ())
    assert list(block.columns) == ["a", "b", "c"]
    assert block.numbers("a").tolist() == [1, 2, 3]
    assert block.rows([0, 2]).numbers("a").tolist() == [1, 3]
    with pytest.raises(InputError, match=r"rows has no column 'd'; it has a, b, c"):
        block.column("d")
    bad = []
    [block] = read_tfrecord(f"{tmp_path}/rows", (), bad.append, ["a"])
    assert (list(block.columns), bad) == (["a"], [])


def test_one_columns_types(tmp_path):
    """What each type is as text is what the graph makes of it."""
    values = [{"a": "x"}, {"a": 3}, {"a": 0.1}, {"a": 4.0}, {"a": 2**53 + 1}]
    [block] = read_tfrecord(write_records(tmp_path / "rows", values), ())
    assert block.text("a").tolist() == ["x", "3", "0.1", "4", "9007199254740993"]
    assert block.is_examples
    numbers = [{"a": 1, "b": 0.5}, {"a": 2**53 + 1, "b": 2}]
    [block] = read_tfrecord(write_records(tmp_path / "rows", numbers), ())
    assert block.text("a").tolist() == ["1", "9007199254740993"]
    assert block.numbers("b").tolist() == [0.5, 2]


def test_records_without_any(tmp_path):
    (tmp_path / "rows").write_bytes(b"")
    assert list(read_tfrecord(f"{tmp_path}/rows", ())) == []


def test_what_is_not_tfrecord(tmp_path):
    (tmp_path / "rows").write_bytes(b"a,b\n1,2\n3,4\n5,6\n")
    with pytest.raises(InputError, match=r"cannot read .*rows as TFRecord: .*corrupt"):
        list(read_tfrecord(f"{tmp_path}/rows", ()))


def test_compressed_twice(tmp_path):
    with pytest.raises(InputError, match="rows was compressed 2 times; decompress it once"):
        list(read_tfrecord(f"{tmp_path}/rows", ("gzip", "gzip")))


def test_tfrecord_that_is_cut_short(tmp_path):
    path = tmp_path / "rows"
    write_records(path, [{"a": 1}] * 10)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"cannot read .*rows as TFRecord"):
        list(read_tfrecord(str(path), ()))


@pytest.mark.parametrize("on_bad_row", [None, [].append])
def test_columns_of_lists(tmp_path, on_bad_row):
    several = [{"a": 1, "b": [1, 2]}, {"a": 2, "b": ["x", "y"]}, {"a": 3}, {"a": 4, "b": []}]
    path = write_records(tmp_path / "rows", several)
    [block] = read_tfrecord(path, (), on_bad_row, ["a", "b"], lists=["b"])
    assert block.column("b").tolist() == [[1, 2], ["x", "y"], [], []]
    [block] = read_tfrecord(write_records(tmp_path / "same", several[:2]), (), lists=["b"])
    assert block.column("b").tolist() == [[1, 2], ["x", "y"]]
    path = write_records(tmp_path / "bad", [{"b": b"\xff"}])
    with pytest.raises(InputError, match="record 1: feature 'b' is not UTF-8 text"):
        [block.column("b") for block in read_tfrecord(path, (), lists=["b"])]
