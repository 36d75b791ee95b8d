import bz2
import gzip
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from mptrec_tf.data.describing import sample as sampling
from mptrec_tf.data.describing.draft import draft_spec
from mptrec_tf.data.describing.sample import read_sample
from mptrec_tf.data.sources.tabular import read_file
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError


def write(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def read(*files, rows=1000, **text_format):
    return read_sample(files, rows, TextFormat(**text_format))


TEXT = "user,n\n" + "".join(f"u{i},{i}\n" for i in range(500))


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_all_rows_of_a_small_file(tmp_path, compress):
    counted = []
    path = write(tmp_path / "a.csv", compress(TEXT.encode()))
    sample = read_sample([path], 1000, TextFormat(), counted.append)
    assert sample.complete
    assert sample.columns["n"] == [str(i) for i in range(500)]
    assert sample.text_format == TextFormat()
    assert (sample.files, sample.read, sample.notes) == ([path], [path], [])
    assert sum(counted) == 500


def compress_by_zstd(content):
    return pa.compress(content, "zstd", asbytes=True)


@pytest.mark.parametrize(
    "compress", [bytes, gzip.compress, bz2.compress, lzma.compress, compress_by_zstd]
)
def test_rows_further_in(tmp_path, compress, monkeypatch):
    monkeypatch.setattr(sampling, "_FIRST_BYTES", 300)
    path = write(tmp_path / "a.csv", compress(TEXT.encode()))
    sample = read(path, rows=100)
    numbers = [int(n) for n in sample.columns["n"]]
    assert not sample.complete
    assert 60 <= len(numbers) <= 100
    assert numbers[:30] == list(range(30))
    assert max(numbers) > 400
    assert len(set(numbers)) == len(numbers)
    assert all(user == f"u{n}" for user, n in zip(sample.columns["user"], numbers, strict=True))


def test_a_compressed_file_is_read_from_its_start(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "_MOST_FROM_START", 1000)
    sample = read(write(tmp_path / "a.csv", gzip.compress(TEXT.encode())))
    # The last line that was read is not whole.
    lines = TEXT[:1000].splitlines()[1:-1]
    assert sample.columns["user"] == [line.split(",")[0] for line in lines]
    assert not sample.complete


@pytest.mark.parametrize(
    ("content", "is_text"),
    [
        (b'\xef\xbb\xbf{"a": 1, "b": 2}\n', False),
        (b'\n\n {"a": 1, "b": 2}\n', False),
        (b"\n[a];b\n1;2\n", True),
        (b'{"a": 1};b\n1;2\n', True),
    ],
)
@pytest.mark.parametrize("name", ["rows", "rows.csv"])
def test_a_format_is_told_as_readers_tell_it(tmp_path, content, is_text, name):
    path = write(tmp_path / name, content)
    assert (read(path).text_format.delimiter == ";") == is_text
    [block] = read_file(path, TextFormat(delimiter=";"))
    assert list(read(path).columns) == list(block.columns)


def test_several_files(tmp_path):
    for n in range(30):
        write(tmp_path / f"{n:02}.csv", f"a,b\n{n},x\n{n},y\n")
    write(tmp_path / "_SUCCESS", "")
    sample = read(f"{tmp_path}/*", rows=100)
    assert len(sample.files) == 30
    assert len(sample.read) == 10
    assert sample.read[0].endswith("00.csv")
    assert sample.read[-1].endswith("29.csv")
    assert (sample.rows, sample.complete) == (20, False)


def test_files_with_other_columns_and_without_rows(tmp_path):
    first, second = write(tmp_path / "1.csv", "a,b\n1,2\n"), write(tmp_path / "2.csv", "b,c\n3,4\n")
    sample = read(write(tmp_path / "0.csv", ""), first, second)
    assert sample.columns == {"a": ["1", ""], "b": ["2", "3"], "c": ["", "4"]}
    assert sample.notes == [
        f"{second} has a column 'c' that others do not have",
        f"{second} has no column 'a'",
    ]
    assert sample.read == [first, second]


def test_without_a_header(tmp_path):
    path = write(tmp_path / "a.data", "ann, 1\nbob, 2\nann, 3\n")
    sample = read(path)
    assert sample.text_format.header == ("column_1", "column_2")
    assert sample.columns == {"column_1": ["ann", "bob", "ann"], "column_2": ["1", "2", "3"]}
    assert read(path, header=("user", "n")).columns["n"] == ["1", "2", "3"]
    named = write(tmp_path / "b.data", "User, N\nann, 1\n")
    assert read(named, header=("user", "n")).columns["n"] == ["1"]


def test_delimiters_and_escapes(tmp_path):
    semicolons = write(tmp_path / "a.csv", "a;b\n1;2\n")
    assert read(semicolons).text_format.delimiter == ";"
    assert read(semicolons, delimiter="comma").columns == {"a;b": ["1;2"]}
    assert read(write(tmp_path / "a.tsv", "a\tb\n1\t2\n")).text_format == TextFormat()
    escaped = write(tmp_path / "e.csv", 'a,b\n"say \\"hi\\"",2\n')
    assert read(escaped).text_format.escape == "\\"
    assert read(escaped).columns["a"] == ['say "hi"']
    kept = write(tmp_path / "k.csv", '"\\"hi\\"",b,c\n\\N,C:\\temp,d\\,e\n')
    assert read(kept).columns == {'"hi"': ["\\N"], "b": ["C:\\temp"], "c": ["d,e"]}


def test_rows_that_preparation_would_reject_are_noted(tmp_path):
    path = write(tmp_path / "a.csv", "a,b,a\n1,2,3\n1,2\n1,2,3,4\n" + "4,5,6\n" * 20)
    sample = read(path)
    assert sample.rows == 21
    assert sample.notes == [
        f"{path} names column 'a' twice",
        f"2 of 23 rows of {path} have not 3 values; preparation rejects them",
    ]


def test_examples_are_read_by_the_package_s_readers(tmp_path):
    path = f"{tmp_path}/rows.tfrecord"
    with tf.io.TFRecordWriter(path) as writer:
        for n in range(5):
            feature = {
                "user": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"ann "])),
                "n": tf.train.Feature(float_list=tf.train.FloatList(value=[n / 2])),
                "many": tf.train.Feature(int64_list=tf.train.Int64List(value=[1, 2])),
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    sample = read(path, rows=4)
    assert not sample.complete
    numbers = ["0", "0.5", "1", "1.5"]
    assert sample.columns == {"user": ["ann"] * 4, "n": numbers, "many": ["1|2"] * 4}
    assert (sample.lists, sample.sizes, sample.notes) == ({"many"}, {}, [])
    assert read(path).complete


def test_typed_columns(tmp_path):
    """Lists of one size are vectors, if they hold decimal numbers; times are ISO 8601."""
    table = pa.table(
        {
            "tags": [["a", "b"], None, ["c"]],
            "codes": [[1, 2], [3, 4], [5, 6]],
            "title": pa.array([[0.5, 1], [2, 3], [0.25, 4]], pa.list_(pa.float32())),
            "at": pa.array([0, 1, None], pa.timestamp("s")),
            "member": [True, None, False],
            "more": [{"a": 1}] * 3,
        }
    )
    (tmp_path / "day=1").mkdir()
    pq.write_table(table, tmp_path / "day=1" / "rows.parquet", row_group_size=2)
    sample = read(str(tmp_path))
    assert sample.columns == {
        "tags": ["a|b", "", "c"],
        "codes": ["1|2", "3|4", "5|6"],
        "title": ["0.5|1", "2|3", "0.25|4"],
        "at": ["1970-01-01T00:00:00", "1970-01-01T00:00:01", ""],
        "member": ["true", "", "false"],
        "day": ["1", "1", "1"],
    }
    assert (sample.lists, sample.sizes) == ({"tags", "codes", "title"}, {"title": 2})
    assert "column 'more' is left out" in sample.notes[0]
    lines = draft_spec(sample).text.splitlines()
    assert f"name: {tmp_path.name}" in lines
    bags, vectors, times = (lines.index(f"{name}:") for name in ("bags", "vectors", "times"))
    assert lines[bags + 1].startswith("  - tags  # lists: 1.5 of 3 per row")
    assert lines[vectors + 1].startswith("  - {name: title, size: 2}  # lists of 2 decimal numbers")
    assert lines[times + 1].startswith("  - at  # dates and times")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1::2\n3::4\n", r"seems to have '::' between its values; a delimiter is one character"),
        ("a,b\nü,1\n".encode() + b"\xff\xfe,1\nx,yyyy\n", r"a\.csv, about line 3: not UTF-8 text"),
        ("a,b\n", r"no rows: .*a\.csv has none"),
        (b"\x1f\x8bnonsense", r"cannot read .*a\.csv: "),
        (b"PK\x03\x04\x14\x00\x06\x00", r"a\.csv seems to be a zip archive or a spreadsheet"),
        ("\n" * 70_000 + "a,b\n1,2\n", r"a\.csv begins with 65,536 blank bytes; drop them"),
        ('{"a": 1}\n{"a": 2\n', r"a\.csv, line 2: not a JSON object"),
    ],
)
def test_what_cannot_be_read(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        read(write(tmp_path / "a.csv", content))


def test_missing_files(tmp_path):
    with pytest.raises(InputError, match=r"no file matches '.*none\*'"):
        read(f"{tmp_path}/none*")
    with pytest.raises(InputError, match="holds no file; give one that does"):
        read(str(tmp_path))


@pytest.mark.parametrize(
    ("encoding", "guessed"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", "utf-16"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_encodings(tmp_path, encoding, guessed, compress):
    path = write(tmp_path / "a.csv", compress("city,n\nZürich,1\nBern,2\n".encode(encoding)))
    sample = read(path)
    assert sample.columns == {"city": ["Zürich", "Bern"], "n": ["1", "2"]}
    assert sample.text_format == TextFormat(encoding=guessed)


def test_an_encoding_that_shows_far_down(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "_FIRST_BYTES", 100)
    path = write(tmp_path / "a.csv", TEXT.encode() + "Zürich,1\n".encode("latin-1"))
    sample = read(path)
    assert sample.columns["user"][-1] == "Zürich"
    assert sample.text_format.encoding == "cp1252"


def test_an_encoding_that_is_given(tmp_path):
    path = write(tmp_path / "a.csv", "city,n\n咖啡,1\nx,2\n".encode("gb18030"))
    assert read(path, encoding="gb18030").columns["city"] == ["咖啡", "x"]
    for encoding in ("ascii", "utf-16"):
        with pytest.raises(InputError, match="give the file's own --encoding"):
            read(path, encoding=encoding)


def test_options_that_are_given(tmp_path):
    text = "made in May\na;b\n'x;y';1\n\"z;2\n"
    sample = read(write(tmp_path / "a.csv", text), quote="single", skip_rows=1)
    assert sample.columns == {"a": ["x;y", '"z'], "b": ["1", "2"]}
    assert sample.text_format == TextFormat(";", quote="single", skip_rows=1)
