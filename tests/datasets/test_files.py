import gzip

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.datasets.block import BLOCK_ROWS, Block
from mptrec_tf.datasets.files import matching, read_csv, read_tfrecord
from mptrec_tf.errors import InputError


def write(path, content):
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


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


def rows(blocks):
    """All rows, as (place, values) pairs."""
    return [
        (block.where(i).rpartition("/")[2], tuple(c[i] for c in block.columns.values()))
        for block in blocks
        for i in range(len(block))
    ]


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_csv(tmp_path, name):
    path = write(tmp_path / name, 'a, b ,c\n1, x y ,"p, q"\n 2,,"say ""hi"""\n')
    blocks = list(read_csv(path))
    assert list(blocks[0].columns) == ["a", "b", "c"]
    assert rows(blocks) == [
        (f"{name}, line 2", ("1", "x y", "p, q")),
        (f"{name}, line 3", ("2", "", 'say "hi"')),
    ]


def test_csv_without_a_header(tmp_path):
    path = write(tmp_path / "rows.data", "1,2\n3,4")
    assert rows(read_csv(path, ["a", "b"])) == [
        ("rows.data, line 1", ("1", "2")),
        ("rows.data, line 2", ("3", "4")),
    ]


def test_csv_as_spreadsheets_write_it(tmp_path):
    path = write(tmp_path / "rows.csv", b"\xef\xbb\xbfa,b\r\n1,caf\xc3\xa9\r\n")
    [block] = read_csv(path)
    assert list(block.columns) == ["a", "b"]
    assert block.columns["b"].tolist() == ["café"]


def test_csv_is_read_in_blocks(tmp_path):
    count = 2 * BLOCK_ROWS + 7
    path = write(tmp_path / "rows.csv", "a\n" + "".join(f"{i}\n" for i in range(count)))
    blocks = list(read_csv(path))
    assert [len(block) for block in blocks] == [BLOCK_ROWS, BLOCK_ROWS, 7]
    assert np.concatenate([b.column("a") for b in blocks]).tolist() == [
        str(i) for i in range(count)
    ]
    assert np.concatenate([b.lines for b in blocks]).tolist() == list(range(2, count + 2))


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b\n1,2\n1,2,3\n1,2\n", 3),
        ("a,b\n1,2\n1\n", 3),
        ("a,b\n\n1,2\n\n\n1,2,3\n", 6),
        ('a,b\n1,"x\ny\nz"\n1\n', 5),
        ('a,b\n1,2\n1,"x\ny",3\n', 3),
        ("a,b\r\n\r\n1,2,3\r\n", 3),
        ("\n\na,b\n1\n", 4),
    ],
)
def test_wrong_number_of_columns(tmp_path, name, text, line):
    path = write(tmp_path / name, text)
    message = rf"{name}, line {line}: (1|3) columns, but the header has 2; mend the row"
    with pytest.raises(InputError, match=message):
        list(read_csv(path))


def test_wrong_number_of_columns_without_a_header(tmp_path):
    path = write(tmp_path / "rows.csv", "1,2\n1,2,3\n")
    with pytest.raises(InputError, match="line 2: 3 columns, but the format has 2"):
        list(read_csv(path, ["a", "b"]))


def test_wrong_number_of_columns_far_down(tmp_path):
    path = write(tmp_path / "rows.csv.gz", "a,b\n" + "1,2\n" * 5000 + "1\n")
    with pytest.raises(InputError, match=r"rows.csv.gz, line 5002: 1 columns"):
        list(read_csv(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "rows.csv is empty; its first line should name the columns"),
        ("\n\n", "rows.csv is empty"),
        ("a,b,a\n1,2,3\n", "rows.csv, line 1: the header names column 'a' twice; rename one"),
        ('a,b\n1,2\n1,"x\n1,2\n', "rows.csv, line 3: not valid CSV: unexpected end of data"),
        ('a,b\n1,"x"y\n', "rows.csv, line 2: not valid CSV: ',' expected after '\"'"),
        (b"a,b\n1,2\n1,caf\xe9\n", r"rows.csv, line 3: not UTF-8 text \(invalid continuation byte"),
        (b"\x1f\x8b\x08\x00", r"rows.csv, line 1: not UTF-8 text \(invalid start byte\); save"),
        ("a,b\n1,2\n\0,3\n", "rows.csv, line 3: not valid CSV: line contains NUL"),
    ],
)
def test_files_that_are_no_csv(tmp_path, text, message):
    path = write(tmp_path / "rows.csv", text)
    with pytest.raises(InputError, match=message):
        list(read_csv(path))


def test_the_line_of_bad_text_far_down(tmp_path):
    # More than one buffer of the reader, and a quoted value that goes over two lines.
    good = 'x,"one\ntwo"\n' + "caf\u00e9,2\n" * 300_000
    path = write(tmp_path / "rows.csv.gz", b"a,b\n" + good.encode() + b"1,\xff\n1,2\n")
    with pytest.raises(InputError, match="line 300004: not UTF-8"):
        list(read_csv(path))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*/no.csv: .*No such file"):
        list(read_csv(f"{tmp_path}/no.csv"))


def test_directory(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*: .*[Dd]irectory"):
        list(read_csv(str(tmp_path)))


def test_file_system_that_is_not_there():
    with pytest.raises(InputError, match=r"cannot read nosuch://bucket/a.csv: .*nosuch"):
        list(read_csv("nosuch://bucket/a.csv"))
    with pytest.raises(InputError, match=r"cannot look for 'nosuch://bucket/a.csv'"):
        matching(["nosuch://bucket/a.csv"])


def test_gzip_that_is_none(tmp_path):
    (tmp_path / "rows.csv.gz").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"cannot read .*rows.csv.gz: Not a gzipped file"):
        list(read_csv(f"{tmp_path}/rows.csv.gz"))


def test_gzip_that_is_cut_short(tmp_path):
    content = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    (tmp_path / "rows.csv.gz").write_bytes(content[:-12])
    with pytest.raises(InputError, match=r"cannot read .*rows.csv.gz: .*ended before"):
        list(read_csv(f"{tmp_path}/rows.csv.gz"))


def test_gzip_that_is_corrupt(tmp_path):
    content = bytearray(gzip.compress(np.random.default_rng(1).bytes(5000).hex().encode()))
    content[500:520] = b"\xff" * 20
    (tmp_path / "rows.csv.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read .*rows.csv.gz"):
        list(read_csv(f"{tmp_path}/rows.csv.gz"))


def test_matching(tmp_path):
    for name in ("b.csv", "a.csv", "c.txt"):
        write(tmp_path / name, "a\n1\n")
    (tmp_path / "d.csv").mkdir()
    found = matching([f"{tmp_path}/c.txt", f"{tmp_path}/*.csv", f"{tmp_path}/a.csv"])
    assert [name.rpartition("/")[2] for name in found] == ["c.txt", "a.csv", "b.csv"]


def test_matching_nothing(tmp_path):
    with pytest.raises(InputError, match=r"no file matches '.*/\*.csv'; give an existing file"):
        matching([f"{tmp_path}/*.csv"])


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_tfrecord(tmp_path, compression):
    path = tmp_path / ("rows.gz" if compression else "rows.tfrecord")
    write_records(path, [{"a": "é", "b": 1, "c": 0.5}, {"a": "y", "b": 2, "c": 1.5}], compression)
    [block] = read_tfrecord(str(path))
    assert block.text("a").tolist() == ["é", "y"]
    assert block.text("b").tolist() == ["1", "2"]
    assert block.numbers("b").tolist() == [1, 2]
    assert block.numbers("c").tolist() == [0.5, 1.5]
    assert block.where(1) == f"{path}, record 2"


def test_tfrecord_with_text_and_numbers_in_one_column(tmp_path):
    path = write_records(tmp_path / "rows", [{"a": "x"}, {"a": 3}])
    [block] = read_tfrecord(path)
    assert block.text("a").tolist() == ["x", "3"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"garbage", "record 2: not a tf.Example"),
        ({"a": [1, 2], "b": 1}, "record 2: feature 'a' has 2 values; each feature needs exactly"),
        ({"a": [], "b": 1}, "record 2: feature 'a' has 0 values"),
        ({"a": 1}, "record 2: feature 'b' is in some records of the file and missing in others"),
        ({"a": b"\xff", "b": 1}, "record 2: feature 'a' is not UTF-8 text"),
    ],
)
def test_bad_records(tmp_path, bad, message):
    path = write_records(tmp_path / "rows", [{"a": 1, "b": 1}, bad])
    with pytest.raises(InputError, match=f"rows, {message}"):
        list(read_tfrecord(path))


@pytest.mark.parametrize("content", [b"a,b\n1,2\n3,4\n5,6\n", b""])
def test_what_is_no_tfrecord(tmp_path, content):
    (tmp_path / "rows").write_bytes(content)
    if not content:
        assert list(read_tfrecord(f"{tmp_path}/rows")) == []
        return
    message = r"cannot read .*rows as TFRecord, as its name does not end in .csv or .txt: .*corrupt"
    with pytest.raises(InputError, match=message):
        list(read_tfrecord(f"{tmp_path}/rows"))


def test_tfrecord_that_is_cut_short(tmp_path):
    path = tmp_path / "rows"
    write_records(path, [{"a": 1}] * 10)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match=r"cannot read .*rows as TFRecord"):
        list(read_tfrecord(str(path)))


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf", "1e39", "", "many", "1,5"])
def test_what_is_no_number(bad):
    block = Block({"n": np.array(["1", bad, "3"], object)}, "a.csv", np.array([2, 3, 4]))
    message = f"^a.csv, line 3, column 'n': '{bad}' is not a finite number; every row needs one"
    with pytest.raises(InputError, match=message):
        block.numbers("n")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_finite_number(bad):
    block = Block({"n": np.array([1, bad])}, "rows", np.array([1, 2]), "record")
    with pytest.raises(InputError, match=f"^rows, record 2, column 'n': '{bad}' is not a finite"):
        block.numbers("n")


def test_missing_column():
    block = Block({"a": np.array([1]), "b": np.array([2])}, "a.csv", np.array([2]))
    with pytest.raises(InputError, match=r"^a.csv has no column 'c'; it has a, b\.$"):
        block.text("c")
