"""Options of text files: quotes, encodings, decimal commas and lines before the header."""

import gzip

import numpy as np
import pytest

from mptrec_tf.data.features.vectors import Vector
from mptrec_tf.data.list_values import read_lists
from mptrec_tf.data.sources import files, streams
from mptrec_tf.data.sources.csv_rows import read_csv
from mptrec_tf.data.text_format import OriginalFormat, TextFormat
from mptrec_tf.errors import InputError


def write(path, content):
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def columns(block):
    return {name: values.tolist() for name, values in block.columns.items()}


def test_quotes_of_another_kind(tmp_path):
    path = write(tmp_path / "a.csv", "a,b\n'x, y',\"z\n'it''s','1\n2'\n")
    [block] = read_csv(path, TextFormat(quote="'"))
    assert columns(block) == {"a": ["x, y", "it's"], "b": ['"z', "1\n2"]}
    assert block.lines.tolist() == [2, 3]


@pytest.mark.parametrize("unlike", ["", "\r"])  # by Arrow, and by `csv`
def test_quotes_that_are_characters_like_others(tmp_path, unlike):
    path = write(tmp_path / "a.csv", f'a,b\n5" pipe,"x\n"y,z"\n{unlike}')
    [block] = read_csv(path, TextFormat(quote="none"))
    assert columns(block) == {"a": ['5" pipe', '"y'], "b": ['"x', 'z"']}


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        *(
            ("latin-1", "a,b\ncafé,ÿ\n"),
            ("cp1252", "a,b\n€,x\n"),
            ("gb18030", "a,b\n咖啡,\U0001f600\n"),
        ),
        *(("utf-16", "a,b\né,\u2028\n"), ("utf-16-le", "a,b\né,x\n"), ("utf-32-be", "a,b\né,x\n")),
        *(("UTF8", "a,b\né,x\n"), ("utf-8-sig", "a,b\né,x\n"), ("cp500", "a,b\né,x\n")),
    ],
)
@pytest.mark.parametrize("name", ["rows.csv", "rows", "rows.csv.gz"])
def test_encodings(tmp_path, encoding, text, name):
    path = write(tmp_path / name, text.encode(encoding))
    [block] = files.read_file(path, TextFormat(encoding=encoding))
    values = text.splitlines()[1] if "\u2028" not in text else "é,\u2028"
    assert [[name, *of] for name, of in columns(block).items()] == [
        list(pair) for pair in zip("ab", values.split(","), strict=True)
    ]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "gb18030"])
def test_a_file_with_the_mark_of_utf_8_is_utf_8(tmp_path, encoding):
    path = write(tmp_path / "rows.csv", "é,x\nb,咖\n".encode("utf-8-sig"))
    [block] = read_csv(path, TextFormat(encoding=encoding, header=("a", "b")))
    assert columns(block) == {"a": ["é", "b"], "b": ["x", "咖"]}


def test_encoded_text_is_transcoded_piece_by_piece(tmp_path, monkeypatch):
    """Letters of several bytes are cut anywhere."""
    monkeypatch.setattr(streams, "_CHUNK", 7)
    text = "a,b\n" + "".join(f"é{i},咖{i}\n" for i in range(50))
    for encoding in ("utf-16", "gb18030"):
        path = write(tmp_path / "rows.csv", text.encode(encoding))
        [block] = read_csv(path, TextFormat(encoding=encoding))
        assert columns(block) == {
            "a": [f"é{i}" for i in range(50)],
            "b": [f"咖{i}" for i in range(50)],
        }


def test_text_that_is_not_in_the_encoding(tmp_path):
    path = write(tmp_path / "rows.csv", b"a,b\n1,2\n3,\x81\n4,5\n")
    message = r"rows.csv, line 3: not cp1252 text \(.*\); give the file's own `encoding`\.$"
    with pytest.raises(InputError, match=message):
        list(read_csv(path, TextFormat(encoding="cp1252")))
    bad = []
    blocks = list(read_csv(path, TextFormat(encoding="cp1252"), bad.append))
    assert [columns(block) for block in blocks] == [{"a": ["1", "4"], "b": ["2", "5"]}]
    assert [(row.line, row.row) for row in bad] == [(3, r"3,\x81")]


def test_a_decimal_comma(tmp_path):
    text = "n;text\n1,5;3,0\n-0,25;a,b\n 2;1,2,3\n,5; \n1e-3;12.2024\n"
    [block] = read_csv(write(tmp_path / "a.csv", text), TextFormat(";", decimal=","))
    assert block.numbers("n").tolist() == [1.5, -0.25, 2, 0.5, np.float32(0.001)]
    assert block.text("text").tolist() == ["3.0", "a,b", "1,2,3", "", "12.2024"]
    assert block.canonical_text("text").tolist()[0] == "3"
    assert block.values[0] == ["1,5", "3,0"]  # as they are written
    some = block.rows([1, 4])
    assert some.numbers("n").tolist() == [-0.25, np.float32(0.001)]


def test_values_with_several_parts_have_no_decimal_comma(tmp_path):
    path = write(tmp_path / "a.csv", "n;bag;vector\n1,5;7,12;1,5\n2;3,0;0,25\n")
    [block] = read_csv(path, TextFormat(";", decimal=","))
    for some in (block, block.rows([0, 1])):
        assert read_lists(some, "bag", ",").values.tolist() == ["7", "12", "3", "0"]
        vectors = Vector("vector", 2, separator=",").read_vectors(some)
        assert vectors.tolist() == [[1, 5], [0, 25]]
        assert some.raw("n").tolist() == ["1,5", "2"]
    assert read_lists(block, "bag", "|").values.tolist() == ["7,12", "3,0"]


def test_numbers_that_commas_are_the_delimiter_of(tmp_path):
    path = write(tmp_path / "a.csv", 'n,m\n"1,5",2\n')
    [block] = read_csv(path, TextFormat(decimal="comma"))
    assert [block.numbers("n")[0], block.numbers("m")[0]] == [1.5, 2]


@pytest.mark.parametrize("value", ["1.234,5", "1.234", "1.234.567", ".5", "1.5e3"])
def test_a_point_is_no_part_of_numbers_with_a_decimal_comma(tmp_path, value):
    path = write(tmp_path / "a.csv", f"n;m\n1,5;1\n{value};2\n;3\n")
    [block] = read_csv(path, TextFormat(";", decimal=","))
    message = (
        rf"a\.csv, line 3, column 'n': '{value}' is not a finite number with a decimal comma and "
        "without marks between thousands"
    )
    for missing in (None, ("NA",)):
        with pytest.raises(InputError, match=message):
            block.numbers("n", missing)
    assert block.not_numbers("n", ()).tolist() == [1]
    assert block.rows([1, 2]).not_numbers("n", ()).tolist() == [0]
    assert block.numbers("m").tolist() == [1, 2, 3]


@pytest.mark.parametrize("on_bad_row", [None, print])
def test_lines_before_the_header(tmp_path, on_bad_row):
    path = write(tmp_path / "a.csv", 'Report of "May\n\nfrom 2024, \xff\na,b\n1,2\n\n3,4\n')
    [block] = read_csv(path, TextFormat(skip_rows=3), on_bad_row)
    assert columns(block) == {"a": ["1", "3"], "b": ["2", "4"]}
    assert block.lines.tolist() == [5, 7]
    [block] = read_csv(path, TextFormat(skip_rows=4, header=("x", "y")), on_bad_row)
    assert columns(block) == {"x": ["1", "3"], "y": ["2", "4"]}
    [block] = read_csv(path, TextFormat(skip_rows=3, header=("A", "B")), on_bad_row)
    assert columns(block) == {"A": ["1", "3"], "B": ["2", "4"]}
    assert list(read_csv(path, TextFormat(skip_rows=9), on_bad_row)) == []


def test_all_options_together(tmp_path):
    text = "remark\n'é|x'|'1,5'|u\n'ü''s\n'|2|v\n"
    path = write(tmp_path / "a.txt", text.encode("utf-16"))
    text_format = TextFormat(
        delimiter="pipe",
        quote="single",
        encoding="utf-16",
        decimal=",",
        skip_rows=1,
        header=("a", "n", ""),
    )
    [block] = files.read_file(path, text_format)
    assert block.text("a").tolist() == ["é|x", "ü's\n"]
    assert block.numbers("n").tolist() == [1.5, 2]
    assert block.lines.tolist() == [2, 3]


def test_the_numbers_of_a_block_are_its_own(tmp_path):
    """They can be changed without changing what is read again."""
    [block] = read_csv(write(tmp_path / "a.csv", "a,b\n1,2\n"), TextFormat())
    block.numbers("a")[:] = 7
    assert block.numbers("a").tolist() == [1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a b,c d\na b,c d,e f\n", r"line 2: 3 columns, .*; fix the row, or get the file again\."),
        ("a\tb\nc\td\n", r"have tabs between its values, not commas: get the original one\."),
        ("a,b\n\xff,c\n".encode("latin-1"), r"line 2: not UTF-8 .*; fix the row, or get the file"),
        ("a,b\nc\0,d\n", r"line 2: not valid CSV: .*NUL; fix the row, or get the file again\."),
        ("a,b\nc,d\n".encode("utf-16"), r"seems to be UTF-16 text; get the original one\."),
        (b"PK\x03\x04abc", r"seems to be a zip archive or a spreadsheet; get the original one\."),
    ],
)
def test_no_message_advises_to_change_the_format_of_a_published_file(tmp_path, content, message):
    path = write(tmp_path / "rows.csv", content)
    with pytest.raises(InputError, match=message) as caught:
        list(read_csv(path, OriginalFormat(header=("x", "y"))))
    assert "--delimiter" not in str(caught.value)
    # Nor of a format that its file's name completes.
    assert OriginalFormat().for_file(path).is_fixed


def test_a_published_file_without_its_header(tmp_path):
    [block] = read_csv(write(tmp_path / "rows.csv", "1,2\n3,4\n"), OriginalFormat())
    with pytest.raises(InputError, match=r"not the columns' names: get the original one\."):
        block.column("x")
