import csv
import io
import random

import pytest

from mptrec_tf.data.sources import csv_input, csv_rows
from mptrec_tf.data.sources.csv_plain import PlainReader
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

COMMA = TextFormat(",")


def read(content, text_format=COMMA, width=2, at_end=True):
    """The rows of a stretch with their lines, and the bytes that were read; None if not plain."""
    content = content.encode() if isinstance(content, str) else content
    plain = PlainReader(text_format, width).read(content, at_end)
    if plain is None:
        return None
    rows = zip(*(column.to_pylist() for column in plain.columns), strict=True)
    return list(zip(plain.lines.tolist(), rows, strict=True)), plain.size, plain.line_count


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("1,2\n3,4", [(0, ("1", "2")), (1, ("3", "4"))]),
        ("1,2\r\n\r\n\n3,\r\n", [(0, ("1", "2")), (3, ("3", ""))]),
        ('"a,b",2\n', [(0, ("a,b", "2"))]),
        ('"a\nb","2\r\n"\n3,4\n', [(0, ("a\nb", "2\r\n")), (3, ("3", "4"))]),
        ('"a\nb",1\n2,3', [(0, ("a\nb", "1")), (2, ("2", "3"))]),
        ('"say ""hi""",""\n"""",x\n', [(0, ('say "hi"', "")), (1, ('"', "x"))]),
        ("1, 2\n  3,4 \n", [(0, ("1", "2")), (1, ("3", "4 "))]),
        ('"a, b", 2\n', [(0, ("a, b", "2"))]),
        ('"a, b","\n c"\n', [(0, ("a, b", "\n c"))]),
        ('" a","b"\n', [(0, (" a", "b"))]),
        ("é,\u2028\x0b\n", [(0, ("é", "\u2028\x0b"))]),
        ("NA,null\n", [(0, ("NA", "null"))]),
    ],
)
def test_plain_text(content, rows):
    assert read(content) == (rows, len(content.encode()), content.count("\n"))


@pytest.mark.parametrize(
    "content",
    [
        *("1,2\r3,4\n", "1,2\0\n", '1,5" x\n', '1,"x" \n', '1, "x"\n', '1,"x"y\n', '1,"x\n'),
        *('1,"\r"\n', "1\n", "1,2,3\n", "  \n1,2\n", "\ufeff1,2\n", b"1,\xff\n", "", "\n"),
        *('" a", b\n', f"1,{'x' * 140_000}\n"),
    ],
)
def test_text_that_is_not_plain(content):
    assert read(content) is None


def test_a_stretch_ends_with_its_last_row():
    assert read("1,2\n3,4", at_end=False) == ([(0, ("1", "2"))], 4, 1)
    assert read('1,2\n3,"a\nb', at_end=False) == ([(0, ("1", "2"))], 4, 1)
    assert read('1,"a\nb"\n3,"', at_end=False) == ([(0, ("1", "a\nb"))], 8, 2)
    assert read('1,"a\nb', at_end=False) is None
    assert read("1,2\r\n3,4\r", at_end=False) == ([(0, ("1", "2"))], 5, 1)


def test_other_formats():
    assert read("1;2\n", TextFormat(";")) == ([(0, ("1", "2"))], 4, 1)
    assert read("1  2\n", TextFormat(" "), 3) == ([(0, ("1", "", "2"))], 5, 1)
    assert read("1§2\n", TextFormat("§")) is None
    assert read("1,C:\\\n", COMMA) == ([(0, ("1", "C:\\"))], 6, 1)
    assert read("1,C:\\\n", TextFormat(",", escape="\\")) is None
    assert read("1\n", width=1) is None


def expect(text):
    """The rows of text by Python's `csv` alone, and what is wrong with it.

    Rows end at the first of another length; text that is not CSV may be reported before it.
    """
    lines = list(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    reader = csv.reader(iter(lines), skipinitialspace=True, strict=True)
    rows, errors, width = [], [], None
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return rows[1:], errors
        except csv.Error as error:
            return rows[1:], [*errors, f"line {line}: not valid CSV: {error}"]
        if len(row) < 2 and not lines[reader.line_num - 1].strip():
            continue
        width = width or len(row)
        if len(row) != width and not errors:
            errors.append(f"line {line}: {len(row)} columns, but the header has {width}")
        if not errors:
            rows.append((line, row))


def read_all(path, on_bad_row=None):
    """The rows of a file, the sizes of blocks, and the error that ends them."""
    rows, sizes = [], []
    try:
        for block in csv_rows.read_csv(path, TextFormat(), on_bad_row):
            sizes.append(len(block))
            rows += zip(block.lines.tolist(), block.values, strict=True)
    except InputError as error:
        return rows, sizes, str(error)
    return rows, sizes, None


def make_value(rng, parts):
    value = "".join(rng.choices(parts, k=rng.randint(0, 5)))
    if rng.random() < 0.3 or set(value) & set(',"\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


def make_text(rng):
    """Text most of which is valid, with blank lines, quotes and a few mistakes."""
    end, between = rng.choice(["\n", "\r\n"]), rng.choice([",", ",", ", "])
    parts = ["a", "é", *rng.sample(["1", " ", ",", '"', "\n", "\r\n"], rng.randint(0, 4))]
    rows = ["a,b,c"]
    for _ in range(rng.randint(0, 30)):
        rows.append(between.join(make_value(rng, parts) for _ in range(3)))
        if rng.random() < 0.05:
            rows.append(rng.choice(["", "  ", "\t"]))
    text = end.join(rows) + rng.choice(["", end, end + end])
    if rng.random() < 0.5:
        place = rng.randrange(len(text) + 1)
        wrong = rng.choice(['"', '""', ",", "\n", "\r", " ", '" ', "\ufeff", "\\", 'x"y'])
        text = text[:place] + wrong + text[place + rng.randint(0, 1) :]
    return rng.choice(["", "", "\ufeff"]) + text


@pytest.mark.parametrize("seed", range(4))
def test_random_text_is_read_as_by_csv(tmp_path, monkeypatch, seed):
    """Each file in stretches of another size, so that all that can be cut is cut somewhere."""
    rng = random.Random(seed)
    plain = 0
    read_plain = PlainReader.read

    def count(self, content, at_end):
        nonlocal plain
        result = read_plain(self, content, at_end)
        plain += result is not None
        return result

    monkeypatch.setattr(PlainReader, "read", count)
    for _ in range(60):
        text, size = make_text(rng), rng.choice([10, 40, 100, 1000])
        monkeypatch.setattr(csv_input, "_PIECE", rng.choice([3, 20]))
        monkeypatch.setattr(csv_rows, "_FIRST_CHUNK", size)
        monkeypatch.setattr(csv_rows, "_CHUNK", size)
        monkeypatch.setattr(csv_rows, "BLOCK_ROWS", rng.choice([1, 3, 7]))
        path = tmp_path / "a.csv"
        path.write_bytes(text.encode())
        expected, errors = expect(text)
        rows, sizes, error = read_all(str(path))
        if errors:
            assert error is not None, text
            assert any(e in error for e in errors), text
            assert rows == expected[: len(rows)], text
            # A block that is not full is left out, and so are rows that are read with a wrong one.
            assert len(rows) > len(expected) - 2 * csv_rows.BLOCK_ROWS, text
        else:
            assert (rows, error) == (expected, None), text
            assert read_all(str(path), pytest.fail)[0] == expected, text
            assert all(n == csv_rows.BLOCK_ROWS for n in sizes[:-1])
    assert plain > 30
