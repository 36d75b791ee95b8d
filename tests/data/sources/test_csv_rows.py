import gzip

import numpy as np
import pytest

from mptrec_tf.data.sources import csv_rows
from mptrec_tf.data.sources.block import BLOCK_ROWS
from mptrec_tf.data.sources.csv_rows import read_csv
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError


def write(path, content):
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def rows(blocks):
    """All rows, as (place, values) pairs."""
    return [
        (block.where(i).rpartition("/")[2], tuple(c[i] for c in block.columns.values()))
        for block in blocks
        for i in range(len(block))
    ]


def columns(block):
    return {name: values.tolist() for name, values in block.columns.items()}


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_csv(tmp_path, name):
    path = write(tmp_path / name, 'a, b ,c\n1, x y ,"p, q"\n 2,,"say ""hi"""\n')
    blocks = list(read_csv(path, TextFormat()))
    assert list(blocks[0].columns) == ["a", "b", "c"]
    assert rows(blocks) == [
        (f"{name}, line 2", ("1", "x y ", "p, q")),
        (f"{name}, line 3", ("2", "", 'say "hi"')),
    ]


def test_csv_without_a_header(tmp_path):
    path = write(tmp_path / "rows.data", "1,2\n3,4")
    assert rows(read_csv(path, TextFormat(header=("a", "b")))) == [
        ("rows.data, line 1", ("1", "2")),
        ("rows.data, line 2", ("3", "4")),
    ]


def test_csv_as_spreadsheets_write_it(tmp_path):
    path = write(tmp_path / "rows.csv", b"\xef\xbb\xbfa,b\r\n1,caf\xc3\xa9\r\n")
    [block] = read_csv(path, TextFormat())
    assert list(block.columns) == ["a", "b"]
    assert block.columns["b"].tolist() == ["café"]


def test_csv_is_read_in_blocks(tmp_path):
    count = 2 * BLOCK_ROWS + 7
    path = write(tmp_path / "rows.csv", "a\n" + "".join(f"{i}\n" for i in range(count)))
    blocks = list(read_csv(path, TextFormat()))
    assert [len(block) for block in blocks] == [BLOCK_ROWS, BLOCK_ROWS, 7]
    assert np.concatenate([b.column("a") for b in blocks]).tolist() == [
        str(i) for i in range(count)
    ]
    assert np.concatenate([b.lines for b in blocks]).tolist() == list(range(2, count + 2))


def test_blocks_of_very_long_rows_are_smaller(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_rows, "_BLOCK_BYTES", 1 << 16)
    path = tmp_path / "long.csv"
    rows = [f"{n},{'x' * 20_000}" for n in range(40)]
    path.write_text("\n".join(["id,text", *rows]) + "\n")
    blocks = list(csv_rows.read_csv(str(path), TextFormat()))
    assert [int(v) for block in blocks for v in block.text("id")] == list(range(40))
    assert [int(of) for block in blocks for of in block.lines] == list(range(2, 42))
    assert max(map(len, blocks)) < 40


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
    message = rf"{name}, line {line}: (1|3) columns, but the header has 2; fix the row"
    with pytest.raises(InputError, match=message):
        list(read_csv(path, TextFormat()))


def test_wrong_number_of_columns_without_a_header(tmp_path):
    path = write(tmp_path / "rows.csv", "1,2\n1,2,3\n")
    with pytest.raises(InputError, match="line 2: 3 columns, but the header in the spec has 2"):
        list(read_csv(path, TextFormat(header=("a", "b"))))


def test_wrong_number_of_columns_far_down(tmp_path):
    path = write(tmp_path / "rows.csv.gz", "a,b\n" + "1,2\n" * 5000 + "1\n")
    with pytest.raises(InputError, match=r"rows.csv.gz, line 5002: 1 columns"):
        list(read_csv(path, TextFormat()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\n1,2\n1,"x\n1,2\n', "rows.csv, line 3: not valid CSV: unexpected end of data"),
        ('a,b\n1,"x"y\n', "rows.csv, line 2: not valid CSV: ',' expected after '\"'"),
        (b"a,b\n1,2\n1,caf\xe9\n", r"rows.csv, line 3: not UTF-8 text \(invalid continuation byte"),
        (b"\x1f\x8b\x08\x00", r"cannot read .*rows.csv: .*ended before"),
        (
            b"\x81\x8b\x08\x00",
            r"line 1: not UTF-8 text \(.*\); .*, or give its `encoding` in the spec",
        ),
        (b"a\0,\0b\0\n\0", r"line 1: not valid CSV: .*; .* UTF-16: give `encoding: utf-16` in"),
        ("a,b\n1,2\n\0,3\n", "rows.csv, line 3: not valid CSV: line contains NUL"),
    ],
)
def test_files_that_are_not_csv(tmp_path, text, message):
    path = write(tmp_path / "rows.csv", text)
    with pytest.raises(InputError, match=message):
        list(read_csv(path, TextFormat()))


def test_the_line_of_bad_text_far_down(tmp_path):
    # More than one buffer of the reader, and a quoted value that goes over two lines.
    good = 'x,"one\ntwo"\n' + "caf\u00e9,2\n" * 300_000
    path = write(tmp_path / "rows.csv.gz", b"a,b\n" + good.encode() + b"1,\xff\n1,2\n")
    with pytest.raises(InputError, match="line 300004: not UTF-8"):
        list(read_csv(path, TextFormat()))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*/no.csv: .*No such file"):
        list(read_csv(f"{tmp_path}/no.csv", TextFormat()))


def test_directory(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*: .*[Dd]irectory"):
        list(read_csv(str(tmp_path), TextFormat()))


def test_an_unknown_file_system():
    with pytest.raises(InputError, match=r"cannot read nosuch://bucket/a.csv: .*nosuch"):
        list(read_csv("nosuch://bucket/a.csv", TextFormat()))


def test_gzip_that_is_cut_short(tmp_path):
    content = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    (tmp_path / "rows.csv.gz").write_bytes(content[:-12])
    with pytest.raises(InputError, match=r"cannot read .*rows.csv.gz: .*ended before"):
        list(read_csv(f"{tmp_path}/rows.csv.gz", TextFormat()))


def test_gzip_that_is_corrupt(tmp_path):
    content = bytearray(gzip.compress(np.random.default_rng(1).bytes(5000).hex().encode()))
    content[500:520] = b"\xff" * 20
    (tmp_path / "rows.csv.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read .*rows.csv.gz"):
        list(read_csv(f"{tmp_path}/rows.csv.gz", TextFormat()))


@pytest.mark.parametrize(
    ("name", "delimiter", "between"),
    [
        *(("rows.tsv", None, "\t"), ("rows.TAB", None, "\t"), ("rows.tsv.gz", None, "\t")),
        *(("rows.csv", "tab", "\t"), ("rows.csv", ";", ";"), ("rows.csv", "|", "|")),
        *(("rows.txt", "\x01", "\x01"), ("rows.tsv", "comma", ","), ("rows.csv", "space", " ")),
    ],
)
def test_delimiters(tmp_path, name, delimiter, between):
    rows = (["a", "b"], ["1", '"x, y"'], ["", "z"])
    text = "\n".join(between.join(row) for row in rows)
    [block] = read_csv(write(tmp_path / name, text), TextFormat(delimiter))
    assert columns(block) == {"a": ["1", ""], "b": ["x, y", "z"]}


@pytest.mark.parametrize(
    ("name", "between", "kind", "spelled"),
    [
        ("rows.csv", ";", "semicolons", "semicolon"),
        ("rows.csv", "\t", "tabs", "tab"),
        ("rows.csv", "|", "bars", "pipe"),
        ("rows.csv", "\x01", r"\^A", r"\^a"),
        ("rows.tsv", ",", "commas", "comma"),
        ("rows.tsv", ";", "semicolons", "semicolon"),
    ],
)
@pytest.mark.parametrize("value", ["x", "1,5", '"p; q"', ""])
def test_another_delimiter_is_named(tmp_path, name, between, kind, spelled, value):
    value = value.replace(between, "")
    text = "\n".join(between.join(row) for row in (["a", "b"], ["1", value], ["2", "y"]))
    message = (
        f"the file seems to have {kind} between its values: give `delimiter: {spelled}` in the "
        f"spec, or --delimiter={spelled}"
    )
    path = write(tmp_path / name, text)
    with pytest.raises(InputError, match=message):
        [block.column("b") for block in read_csv(path, TextFormat())]


@pytest.mark.parametrize("text", ["a,b\n1,x;y\n2,z;w\n", "a;c,b\n1,x\n", 'a,b\n1,"x;y;z"\n'])
def test_a_delimiter_within_values_is_not_suspected(tmp_path, text):
    [block] = read_csv(write(tmp_path / "rows.csv", text), TextFormat())
    with pytest.raises(InputError) as caught:
        block.column("d")
    assert "seems" not in str(caught.value)


def test_a_header_in_the_spec(tmp_path):
    text_format = TextFormat(header=("a", "", "b"))
    [block] = read_csv(write(tmp_path / "a.csv", "1,u,x\n2,v,y\n"), text_format)
    assert columns(block) == {"a": ["1", "2"], "b": ["x", "y"]}
    assert block.lines.tolist() == [1, 2]


def test_a_first_line_of_just_these_names_is_skipped(tmp_path):
    """One of a file that a tool wrote with a header, among many without."""
    text_format = TextFormat(header=("a", "b"))
    text = "a, b\n1,x\na,b\n"
    [block] = read_csv(write(tmp_path / "a.csv", text), text_format)
    assert columns(block) == {"a": ["1", "a"], "b": ["x", "b"]}
    assert block.lines.tolist() == [2, 3]
    assert sum(map(len, read_csv(write(tmp_path / "b.csv", "a,b\n"), text_format))) == 0


def test_a_row_in_the_headers_place_is_named(tmp_path):
    [block] = read_csv(write(tmp_path / "a.csv", "Alba,1.5,0\nBern,2,1\n"), TextFormat())
    message = "its first line seems to be a row, not the columns' names: list these under `header`"
    with pytest.raises(InputError, match=message):
        block.column("price")


ESCAPED = 'a,b\n1,"say \\"hi\\", you"\n2,"C:\\\\"\n'


def test_quotes_escaped_by_a_backslash(tmp_path):
    [block] = read_csv(write(tmp_path / "a.csv", ESCAPED), TextFormat(escape="\\"))
    assert columns(block) == {"a": ["1", "2"], "b": ['say "hi", you', "C:\\"]}


def test_quotes_escaped_by_a_backslash_are_named(tmp_path):
    message = (
        r"a\.csv, line 2: not valid CSV: .*; the file seems to escape quotes by a backslash: give "
        r"`escape: backslash` in the spec\.$"
    )
    with pytest.raises(InputError, match=message):
        list(read_csv(write(tmp_path / "a.csv", ESCAPED), TextFormat()))


def test_a_backslash_is_a_character_like_others_without_escape(tmp_path):
    [block] = read_csv(write(tmp_path / "a.csv", "a,b\nC:\\,\\N\n"), TextFormat())
    assert columns(block) == {"a": ["C:\\"], "b": ["\\N"]}


def test_columns_without_a_name_or_with_a_shared_one_matter_when_used(tmp_path):
    """As data frames write their index, and joins their keys."""
    [block] = read_csv(write(tmp_path / "a.csv", ",a,b,b, \n0,1,2,3,4\n"), TextFormat())
    assert list(block.columns) == ["a", "b"]
    assert block.text("a").tolist() == ["1"]
    with pytest.raises(InputError, match=r"the header of .*a\.csv names column 'b' twice; rename"):
        block.numbers("b")


def test_white_space_is_part_of_a_value(tmp_path):
    """Spaces after a delimiter belong to CSV; the graph removes others."""
    [block] = read_csv(write(tmp_path / "a.csv", 'a,b\n 1 ," x "\n\t2,\u00a0y\n'), TextFormat())
    assert columns(block) == {"a": ["1 ", "\t2"], "b": [" x ", "\u00a0y"]}


def test_no_rows(tmp_path):
    for text in ("", "\n\n", "a,b\n", "a,b\n\n"):
        assert list(read_csv(write(tmp_path / "a.csv", text), TextFormat())) == []


def test_an_escape_is_text_where_nothing_needs_one(tmp_path):
    """As Spark, Hive and MySQL write paths and missing values."""
    content = 'a,b\n"C:\\temp",\\N\n"say \\"hi\\"",x\\,y\n"end\\\\",\\t\n'
    path = write(tmp_path / "rows.csv", content)
    [block] = read_csv(path, TextFormat(escape="backslash"))
    assert columns(block) == {
        "a": ["C:\\temp", 'say "hi"', "end\\"],
        "b": ["\\N", "x,y", "\\t"],
    }


@pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "pipe")])
def test_a_quoted_file_with_another_delimiter(tmp_path, delimiter, name):
    lines = [delimiter.join(f'"{v}"' for v in row) for row in (("a", "b"), ("1", "2"))]
    path = write(tmp_path / "rows.csv", "\n".join(lines))
    with pytest.raises(InputError, match=f"line 1: not valid CSV.*delimiter: {name}"):
        list(read_csv(path, TextFormat()))


def test_a_delimiter_that_cannot_be_typed(tmp_path):
    path = write(tmp_path / "rows.csv", "a\x01b\n1\x012\n")
    with pytest.raises(InputError, match=r"delimiter=\^a"):
        next(read_csv(path, TextFormat())).column("a")
    [block] = read_csv(path, TextFormat(delimiter="^A"))
    assert columns(block) == {"a": ["1"], "b": ["2"]}


def test_a_header_of_the_spec_that_the_file_repeats_in_capitals(tmp_path):
    path = write(tmp_path / "rows.csv", "A, B\n1,2\n")
    [block] = read_csv(path, TextFormat(header=("a", "b")))
    assert rows([block]) == [("rows.csv, line 2", ("1", "2"))]


def test_a_line_of_spaces_is_blank(tmp_path):
    [block] = read_csv(write(tmp_path / "rows.csv", "a,b\n  \n1,2\n \n"), TextFormat())
    assert rows([block]) == [("rows.csv, line 3", ("1", "2"))]


def test_rows_retain_values_of_unnamed_columns(tmp_path):
    """So that a rejected row can be reported unchanged."""
    path = write(tmp_path / "rows.csv", "a;x;x;\n1;2;3;4\n5;6;7,5;8\n9;;;\n")
    [block] = read_csv(path, TextFormat(";"))
    assert list(block.values[1]) == ["5", "6", "7,5", "8"]
    assert [list(row) for row in block.rows(np.array([2, 0])).values] == [
        ["9", "", "", ""],
        ["1", "2", "3", "4"],
    ]
    assert [list(row) for row in block.rows(np.array([False, True, False])).values] == [
        ["5", "6", "7,5", "8"]
    ]
