"""Rows that cannot be read are reported one by one, and the others are read."""

import gzip

import numpy as np
import pytest
import tensorflow as tf

from mptrec_tf.data.sources import bad_rows
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.csv_rows import read_csv
from mptrec_tf.data.sources.tfds_rows import _check_text
from mptrec_tf.data.sources.tfrecord_rows import read_tfrecord
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError


def read(path, content, header=None):
    """The good rows of a file, as (line, values), and the bad ones, as (line, kind, row)."""
    path.write_bytes(content)
    bad = []
    blocks = list(read_csv(str(path), TextFormat(header=header), bad.append))
    good = [
        (int(line), *values)
        for block in blocks
        for line, *values in zip(block.lines, *block.columns.values(), strict=True)
    ]
    assert all(row.source == str(path) for row in bad)
    return good, [(row.line, row.kind, row.row) for row in bad]


GOOD = b"a,b\n1,x\n"


@pytest.mark.parametrize(
    ("row", "kind", "text"),
    [
        (b"2", bad_rows.COLUMNS, "2"),
        (b"2,y,z", bad_rows.COLUMNS, "2,y,z"),
        (b'2,"y\nz",', bad_rows.COLUMNS, '2,"y\nz",'),
        (b"2,caf\xe9", bad_rows.NOT_UTF8, "2,caf\\xe9"),
        (b"2,\xff\xfe,z", bad_rows.NOT_UTF8, "2,\\xff\\xfe,z"),
        (b'2,"y" z', bad_rows.NOT_CSV, '2,"y" z'),
        (b"2,y\0z", bad_rows.NOT_CSV, "2,y\0z"),
        (b'2,"y', bad_rows.NOT_CSV, '2,"y'),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_bad_row_affects_no_other(tmp_path, row, kind, text, end):
    content = (GOOD + row + b"\n3,\xc3\xa4\n\n4,w\n").replace(b"\n", end)
    good, bad = read(tmp_path / "a.csv", content)
    lines = row.count(b"\n")
    assert good == [(2, "1", "x"), (4 + lines, "3", "ä"), (6 + lines, "4", "w")]
    assert bad == [(3, kind, text.replace("\n", end.decode()))]


def test_good_files_are_read_alike_with_and_without_a_callback(tmp_path):
    content = '\ufeffa,b\n1,"x\n""y"" , z"\n\n 2 ,ä \n3,\r\n4,""\n'.encode()
    path = tmp_path / "a.csv.gz"
    good, bad = read(path, gzip.compress(content))
    assert bad == []
    [block] = read_csv(str(path), TextFormat())
    assert [line for line, *_ in good] == block.lines.tolist() == [2, 5, 6, 7]
    assert [row[1:] for row in good] == list(zip(*block.columns.values(), strict=True))


def test_blank_lines_are_no_rows_of_one_column_but_quoted_ones_are(tmp_path):
    path = tmp_path / "a.csv"
    good, bad = read(path, b'a\n\n  \n""\n" "\nx\n')
    assert (good, bad) == ([(4, ""), (5, " "), (6, "x")], [])
    [block] = read_csv(str(path), TextFormat())
    assert list(zip(block.lines, block.columns["a"], strict=True)) == good


def test_bytes_that_are_text_in_another_encoding_alone(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("a,b\n1,x\n2,é\n".encode())
    bad = []
    [block] = read_csv(str(path), TextFormat(encoding="ascii"), bad.append)
    assert (block.lines.tolist(), [(row.line, row.row) for row in bad]) == ([2], [(3, "2,é")])


def test_many_rows_with_quotes_that_are_not_closed(tmp_path):
    rows = [b'%d,"x\n' % i if i % 7 == 3 else b"%d,x\n" % i for i in range(5000)]
    good, bad = read(tmp_path / "a.csv", b"a,b\n" + b"".join(rows))
    assert [line - 2 for line, *_ in good] == [i for i in range(5000) if i % 7 != 3]
    assert [line - 2 for line, *_ in bad] == [i for i in range(5000) if i % 7 == 3]


def test_rows_of_a_format_without_header(tmp_path):
    good, bad = read(tmp_path / "a.csv", b"1,x\n2\n3,y\n", ("a", "b"))
    assert good == [(1, "1", "x"), (3, "3", "y")]
    assert bad == [(2, bad_rows.COLUMNS, "2")]


def test_a_block_of_only_bad_rows(tmp_path):
    good, bad = read(tmp_path / "a.csv", b"a,b\n" + b"1\n" * 4500 + b"1,x\n")
    assert good == [(4502, "1", "x")]
    assert [line for line, *_ in bad] == list(range(2, 4502))


@pytest.mark.parametrize("content", [b'a,"b\n1,2\n', b"a,\xff\n1,2\n", b'a,"b" c\n1,2\n'])
def test_a_header_that_cannot_be_read_ends_the_run(tmp_path, content):
    with pytest.raises(InputError, match="line 1: the header is not "):
        read(tmp_path / "a.csv", content)


def test_a_file_without_rows_has_no_bad_ones(tmp_path):
    assert read(tmp_path / "a.csv", b"") == ([], [])
    assert read(tmp_path / "a.csv", b"a,b\n") == ([], [])


def test_columns_that_share_a_name_are_rejected_when_used(tmp_path):
    assert read(tmp_path / "a.csv", b"a,a,,b\n1,2,3,4\n5\n") == (
        [(2, "2", "4")],
        [(3, bad_rows.COLUMNS, "5")],
    )


def test_a_file_that_ends_early_ends_the_run(tmp_path):
    whole = gzip.compress(GOOD * 100)
    with pytest.raises(InputError, match="cannot read"):
        read(tmp_path / "a.csv.gz", whole[:-9])


def example(**features):
    made = tf.train.Example()
    for name, values in features.items():
        for value in values if isinstance(values, list) else [values]:
            kind = made.features.feature[name]
            if isinstance(value, bytes):
                kind.bytes_list.value.append(value)
            else:
                kind.float_list.value.append(value)
    return made.SerializeToString()


def test_records(tmp_path):
    path = str(tmp_path / "rows")
    records = [
        b"none at all",
        example(a=1.0, b=b"x"),
        example(a=1.0),
        example(a=2.0, b=b"y", c=b"more"),
        example(a=[1.0, 2.0], b=b"x"),
        example(a=3.0, b=b"\xff"),
        example(a=4.0, b=b"z"),
    ]
    with tf.io.TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    bad = []
    [block] = read_tfrecord(path, (), bad.append, ["a", "b"])
    assert block.lines.tolist() == [2, 4, 7]
    assert block.columns["a"].tolist() == [1, 2, 4]
    assert block.columns["b"].tolist() == ["x", "y", "z"]
    reasons = {row.line: row.reason for row in bad}
    assert reasons.keys() == {1, 3, 5, 6}
    assert reasons[1].startswith("not a tf.Example")
    assert reasons[3] == "feature 'b' is missing; each record needs it"
    assert "feature 'a' has 2 values" in reasons[5]
    assert "feature 'b' is not UTF-8 text" in reasons[6]
    assert {row.kind for row in bad} == {bad_rows.NOT_AN_EXAMPLE}


def test_a_record_without_a_feature_long_after_the_others(tmp_path):
    path = str(tmp_path / "rows")
    with tf.io.TFRecordWriter(path) as writer:
        for _ in range(2000):
            writer.write(example(a=1.0, b=b"x"))
        writer.write(example(b=b"x"))
    bad = []
    assert sum(map(len, read_tfrecord(path, (), bad.append, ["a", "b"]))) == 2000
    assert [row.line for row in bad] == [2001]


def test_text_of_data_sets_that_cannot_be_decoded():
    columns = {
        "a": np.array([b"x", b"\xff", b"z"], object),
        "b": np.array([1, 2, 3]),
        "c": np.array([b"\xff", b"\xff", b"\xc3\xa4"], object),
    }
    bad = []
    good = _check_text(columns, "tfds:x#train", np.array([11, 12, 13]), bad.append)
    assert good.tolist() == [False, False, True]
    assert [(row.source, row.line) for row in bad] == [("tfds:x#train", 12), ("tfds:x#train", 11)]


def test_numbers_of_a_block():
    block = Block({"a": np.array(["1", "", "x", "1e99", "nan", " 2"], object)}, "f", np.arange(6))
    assert block.not_numbers("a").tolist() == [1, 2, 3, 4]
    some = block.rows([0, 5])
    assert (some.lines.tolist(), some.numbers("a").tolist()) == ([0, 5], [1, 2])
    assert some.not_numbers("a").tolist() == []
