import bz2
import gzip
import lzma

import pyarrow as pa
import pytest
import tensorflow as tf

from mptrec_tf.data.sources import files
from mptrec_tf.data.sources.files import find_files, has_rows, read_file
from mptrec_tf.data.sources.streams import open_stream
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

TEXT = b"x,y\n1.5,1\n2.5,0\n"


def records(path, compression=""):
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for x, y in ((1.5, b"1"), (2.5, b"0")):
            feature = {
                "x": tf.train.Feature(float_list=tf.train.FloatList(value=[x])),
                "y": tf.train.Feature(bytes_list=tf.train.BytesList(value=[y])),
            }
            features = tf.train.Features(feature=feature)
            writer.write(tf.train.Example(features=features).SerializeToString())


def write(path, content):
    path.write_bytes(content)
    return str(path)


def check_rows(path):
    [block] = read_file(str(path), TextFormat())
    assert block.numbers("x").tolist() == [1.5, 2.5]
    assert block.text("y").tolist() == ["1", "0"]
    assert has_rows(str(path), TextFormat())


def test_find_files(tmp_path):
    for name in ("b.csv", "a.csv", "c.txt"):
        write(tmp_path / name, TEXT)
    (tmp_path / "d.csv").mkdir()
    matches = find_files([f"{tmp_path}/c.txt", f"{tmp_path}/*.csv", f"{tmp_path}/a.csv"])
    assert [name.rpartition("/")[2] for name in matches] == ["c.txt", "a.csv", "b.csv"]


def test_markers_of_engines_are_skipped(tmp_path):
    """Spark and Hive write markers, and Hadoop writes checksums."""
    for name in ("part-0.csv", "_SUCCESS", ".part-0.csv.crc", "_committed_1"):
        (tmp_path / name).write_bytes(TEXT)
    assert find_files([f"{tmp_path}/*"]) == [f"{tmp_path}/part-0.csv"]
    assert find_files([f"{tmp_path}/_SUCCESS"]) == [f"{tmp_path}/_SUCCESS"]
    assert find_files([f"{tmp_path}/_c*"]) == [f"{tmp_path}/_committed_1"]


def test_markers_are_not_data_files(tmp_path):
    (tmp_path / "_SUCCESS").write_bytes(b"")
    with pytest.raises(InputError, match=r"no file matches '.*/\*'; give an existing file"):
        find_files([f"{tmp_path}/*"])


def test_a_folder_stands_for_its_files(tmp_path):
    for name in ("b.csv", "a.csv", "_SUCCESS", "day=1/c.csv", "_temporary/d.csv", ".e/f.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, TEXT)
    names = [f"{tmp_path}/{name}" for name in ("a.csv", "b.csv", "day=1/c.csv")]
    assert find_files([str(tmp_path)]) == find_files([f"{tmp_path}/"]) == names


def test_a_folder_without_files(tmp_path):
    (tmp_path / "_SUCCESS").touch()
    with pytest.raises(InputError, match=r"folder '.*' holds no file; give one that does"):
        find_files([str(tmp_path)])


def test_a_delta_table_is_more_than_its_files(tmp_path):
    (tmp_path / "_delta_log").mkdir()
    write(tmp_path / "a.parquet", TEXT)
    with pytest.raises(InputError, match="is a Delta table, whose files hold deleted rows, too"):
        find_files([str(tmp_path)])


def test_an_unknown_file_system():
    message = (
        r"^cannot look for 'nosuch://bucket/a.csv': no file system for nosuch:// is installed; "
        r"install one for TensorFlow, or copy the files to a local folder\.$"
    )
    with pytest.raises(InputError, match=message):
        find_files(["nosuch://bucket/a.csv"])


def test_find_files_without_a_match(tmp_path):
    with pytest.raises(InputError, match=r"no file matches '.*/\*.csv'; give an existing file"):
        find_files([f"{tmp_path}/*.csv"])


@pytest.mark.parametrize(
    "name", "a.csv a.CSV a.txt a a.data a.tfrecord part-00000 a.csv.gz".split()
)
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_text_is_detected_by_its_content(tmp_path, name, layers):
    content = TEXT
    for _ in range(layers):
        content = gzip.compress(content, mtime=0)
    check_rows(write(tmp_path / name, content))


@pytest.mark.parametrize("name", "a.tfrecord a.csv a.csv.gz a part-00000-of-00001.gz".split())
@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_tfrecord_is_detected_by_its_content(tmp_path, name, compression):
    records(tmp_path / name, compression)
    check_rows(tmp_path / name)


def test_tfrecord_that_was_compressed_twice(tmp_path):
    records(tmp_path / "a.gz", "GZIP")
    path = write(tmp_path / "b.gz", gzip.compress((tmp_path / "a.gz").read_bytes()))
    with pytest.raises(InputError, match=r"b\.gz was compressed 2 times; decompress it once"):
        list(read_file(path, TextFormat()))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"ORC\n\x0b\n\x03\x00\x00\x00", "an ORC file; give CSV, Parquet"),
        (b"Obj\x01\x04\x14avro.codec\x08null", "an Avro file"),
        (b"PK\x03\x04\x14\x00\x06\x00", "a zip archive or a spreadsheet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00", "a spreadsheet"),
        ("x,y\n1,2\n".encode("utf-16"), "UTF-16 text; give `encoding: utf-16`"),
        (
            b"\xfe\xff" + "x,y\n1,2\n".encode("utf-16-be"),
            "UTF-16 text; give `encoding: utf-16`",
        ),
        ("x,y\n1,2\n".encode("utf-32"), "UTF-32 text; give `encoding: utf-32`"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a"])
def test_files_of_other_kinds_are_named(tmp_path, content, kind, name):
    path = write(tmp_path / name, gzip.compress(content, mtime=0) if "gz" in name else content)
    with pytest.raises(InputError, match=rf"{name} seems to be {kind}"):
        list(read_file(path, TextFormat()))


@pytest.mark.parametrize("first", ["ORCID", "PAR1", "BZh", "PK"])
def test_a_header_that_begins_like_another_kind_is_text(tmp_path, first):
    [block] = read_file(write(tmp_path / "a.csv", f"{first},y\n1,2\n".encode()), TextFormat())
    assert block.numbers(first).tolist() == [1]


def test_letters_like_the_mark_of_another_encoding(tmp_path):
    path = write(tmp_path / "a.csv", "яю,y\n1,2\n".encode("cp1251"))
    [block] = read_file(path, TextFormat(encoding="cp1251"))
    assert block.numbers("яю").tolist() == [1]


@pytest.mark.parametrize("content", [b"\x00\x01\x02\x03" * 9, bytes(range(200, 250)) + b"\x00"])
def test_what_is_neither_text_nor_records(tmp_path, content):
    with pytest.raises(InputError, match=r"cannot read .*/a as TFRecord: .*corrupt"):
        list(read_file(write(tmp_path / "a", content), TextFormat()))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", False),
        (b"\n \n\r\n", False),
        (b"\xef\xbb\xbf", False),
        (b"x,y\n", False),
        (b"x,y", False),
        (b"x,y\n\n\n", False),
        (gzip.compress(b"", mtime=0), False),
        (gzip.compress(b"x,y\n", mtime=0), False),
        (TEXT, True),
        (gzip.compress(TEXT, mtime=0), True),
        # Errors in these are reported when they are read.
        (b"x,y\n1\n", True),
        (b"x,\xff\n1,2\n", True),
        (b"PAR1\x00", True),
        (b"x,y\n" + b"1,2\n" * 5000, True),
        (b"\n" * 10_000 + TEXT, True),
        (b" \n" * 5000, False),
    ],
)
def test_files_that_have_rows(tmp_path, content, expected):
    assert has_rows(write(tmp_path / "a.csv", content), TextFormat()) == expected


def test_a_headerless_file_of_one_line_has_a_row(tmp_path):
    path = write(tmp_path / "a.csv", b"1,2\n")
    assert has_rows(path, TextFormat(header=("x", "y")))
    assert not has_rows(path, TextFormat())
    assert not has_rows(write(tmp_path / "b.csv", b"x,y\n"), TextFormat(header=("x", "y")))


def test_records_that_have_rows(tmp_path):
    records(tmp_path / "a.tfrecord")
    assert has_rows(f"{tmp_path}/a.tfrecord", TextFormat())
    with tf.io.TFRecordWriter(f"{tmp_path}/b.gz", "GZIP"):
        pass
    assert not has_rows(f"{tmp_path}/b.gz", TextFormat())


def test_the_start_of_a_file_is_read_once(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(files, "open_stream", lambda of: opened.append(of) or open_stream(of))
    path = write(tmp_path / "a.csv", b"x,y\n" + b"1,2\n" * 5000)
    assert has_rows(path, TextFormat())
    assert opened == [path]


def test_no_file(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*/no\.csv: .*No such file"):
        read_file(f"{tmp_path}/no.csv", TextFormat())


@pytest.mark.parametrize("compress", [bz2.compress, lzma.compress, gzip.compress])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.bz2", "a"])
def test_compressed_text(tmp_path, compress, name):
    [block] = read_file(write(tmp_path / name, compress(TEXT)), TextFormat())
    assert block.numbers("x").tolist() == [1.5, 2.5]


def test_a_name_that_ends_in_zst_has_a_delimiter(tmp_path):
    content = pa.compress(TEXT.replace(b",", b"\t"), "zstd", asbytes=True)
    [block] = read_file(write(tmp_path / "a.tsv.zst", content), TextFormat())
    assert block.numbers("y").tolist() == [1, 0]


@pytest.mark.parametrize(("compress", "name"), [(bz2.compress, "bzip2"), (lzma.compress, "xz")])
def test_tfrecord_that_tensorflow_cannot_decompress(tmp_path, compress, name):
    records(tmp_path / "a")
    path = write(tmp_path / "b", compress((tmp_path / "a").read_bytes()))
    with pytest.raises(InputError, match=f"b is TFRecord compressed by {name}, which TensorFlow"):
        list(read_file(path, TextFormat()))


def test_tfrecord_is_told_from_text_in_any_encoding(tmp_path):
    records(tmp_path / "a")
    [block] = read_file(str(tmp_path / "a"), TextFormat(encoding="latin-1"))
    assert block.numbers("x").tolist() == [1.5, 2.5]
