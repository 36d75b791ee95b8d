import gzip
import json

import numpy as np
import pytest

from mptrec_tf.data.list_values import read_lists
from mptrec_tf.data.sources.block import BLOCK_ROWS
from mptrec_tf.data.sources.files import estimate_rows, has_rows, read_file
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

ROWS = b"""{"user": "ann", "n": 1, "tags": ["a", "b"], "member": true}

{"user": "b\\u00e9", "n": 2.5, "more": {"a": 1}, "tags": "c"}
{"n": null, "user": 7}
"""


def read(tmp_path, content, name="rows.jsonl", encoding=None, **wanted):
    (tmp_path / name).write_bytes(content)
    return list(read_file(f"{tmp_path}/{name}", TextFormat(encoding=encoding), **wanted))


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows", "rows.csv", "rows.gz"])
@pytest.mark.parametrize("change", [bytes, gzip.compress, lambda raw: b"\xef\xbb\xbf" + raw])
def test_rows(tmp_path, name, change):
    [block] = read(tmp_path, change(ROWS), name)
    assert block.where(1) == f"{tmp_path}/{name}, line 3"
    assert block.text("user").tolist() == ["ann", "bé", "7"]
    assert block.text("n").tolist() == ["1", "2.5", ""]
    np.testing.assert_array_equal(block.numbers("n", ()), [1, 2.5, np.nan])
    assert block.text("member").tolist() == ["true", "", ""]
    assert read_lists(block, "tags", "|").lengths.tolist() == [2, 1, 0]
    assert has_rows(f"{tmp_path}/{name}", TextFormat())
    with pytest.raises(InputError, match="column 'more': its type is struct"):
        block.column("more")
    with pytest.raises(InputError, match="line 4, column 'n': '' is not a finite number"):
        block.numbers("n")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, "1", None], ["1", "1", ""]),
        ([1, True, 2.0], ["1", "true", "2"]),
        ([0.1, "a", 1e-7], ["0.1", "a", "1e-07"]),
        ([2**70, 1, 1.5], [str(2**70), "1", "1.5"]),
        ([2**53 + 1, 0.5], ["9007199254740993", "0.5"]),
        (["2024-01-31 12:00:00", "x"], ["2024-01-31 12:00:00", "x"]),
        (["2024-01-31 12:00:00", None], ["2024-01-31 12:00:00", ""]),
        (["2024-01-31", "2024-02-01T01:00:00Z"], ["2024-01-31", "2024-02-01T01:00:00Z"]),
        ([["2024-01-31"], ["2024-02-01 10:00"]], [["2024-01-31"], ["2024-02-01 10:00"]]),
        ([2**63, 2**64 - 1], ["9223372036854775808", "18446744073709551615"]),
        ([{}, None, 1], None),
        ([float("nan"), "a"], ["", "a"]),
        ([None, None], ["", ""]),
        (["\ud800", "a"], ["?", "a"]),
        ([["a", 1], 2, None], [["a", "1"], "2", ""]),
    ],
)
def test_columns_of_several_types(tmp_path, values, expected):
    lines = "\n".join(json.dumps({"a": value, "b": 1}) for value in values)
    [block] = read(tmp_path, lines.encode())
    if expected is not None:
        assert block.text("a").tolist() == expected
    else:
        with pytest.raises(InputError, match=r"column 'a': its type is struct"):
            block.text("a")


def test_a_column_may_begin_late(tmp_path):
    rows = [{"a": 1}] * BLOCK_ROWS + [{"b": "x"}]
    first, second = read(tmp_path, "\n".join(map(json.dumps, rows)).encode())
    assert set(first.rows(slice(3)).text("b")) == {""}
    assert second.text("a").tolist() == [""]
    assert second.where(0).endswith(f"line {BLOCK_ROWS + 1}")
    assert np.isnan(first.numbers("b", ())).all()
    with pytest.raises(InputError, match=r"rows\.jsonl has no column 'c'; it has a"):
        first.column("c")


def test_a_bag_is_the_same_whatever_else_its_block_holds(tmp_path):
    rows = [{"tags": "a|b"}] * BLOCK_ROWS + [{"tags": "c|d"}, {"tags": ["e|f", "g"]}, {"tags": 1}]
    first, second = read(tmp_path, "\n".join(map(json.dumps, rows)).encode())
    assert read_lists(first, "tags", "|").values.tolist()[:2] == ["a", "b"]
    for block in (second, second.rows([0, 1, 2])):
        assert read_lists(block, "tags", "|").values.tolist() == ["c", "d", "e|f", "g", "1"]
    with pytest.raises(InputError, match=r"line 2002, column 'tags': \['e\|f', 'g'\] is a list"):
        second.distinct("tags")


def test_objects_that_are_not_in_lines(tmp_path):
    with pytest.raises(InputError, match="line 1: not a JSON object"):
        read(tmp_path, b'{"a":1}{"a":\n2}\n')


def test_times_stay_text_in_every_block(tmp_path):
    rows = [{"at": "2024-01-31"}] * BLOCK_ROWS + [{"at": "31.1.2024"}, {"at": None}, {"b": 1}]
    first, second = read(tmp_path, "\n".join(map(json.dumps, rows)).encode())
    assert set(first.text("at")) == {"2024-01-31"}
    assert second.text("at").tolist() == ["31.1.2024", "", ""]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"user": "bob"', "not a JSON object (Expecting ',' delimiter: line 1 column 15"),
        (b"[1, 2]", "not a JSON object"),
        (b'{"a": 1}, {"b": 2}', "not a JSON object (Extra data"),
        (b'{"user": "\xff"}', "not UTF-8 text (invalid start byte)"),
        (b'{"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "not a JSON object (too many levels)"),
        (b'{"a": Inf}', "not a JSON object (Expecting value"),
    ],
)
def test_bad_lines(tmp_path, bad, reason):
    content = ROWS + bad + b'\n{"user": "eve", "n": 3}\n'
    with pytest.raises(InputError) as error:
        read(tmp_path, content)
    assert str(error.value).startswith(f"{tmp_path}/rows.jsonl, line 5: {reason}")
    rows = []
    [block] = read(tmp_path, content, on_bad_row=rows.append, needed=["user"])
    assert [(row.line, row.reason.startswith(reason)) for row in rows] == [(5, True)]
    assert block.text("user").tolist() == ["ann", "bé", "7", "eve"]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "cp500"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows"])
def test_encodings(tmp_path, name, encoding):
    content = '{"user": "bé"}\n{"user": "ÿ"}\n{"late": 1}\n'.encode(encoding)
    [block] = read(tmp_path, content, name, encoding)
    assert block.text("user").tolist() == ["bé", "ÿ", ""]
    assert block.where(1).endswith(f"{name}, line 2")
    if encoding == "latin-1":
        with pytest.raises(InputError, match=r"line 1: not UTF-8 text .*; save the file"):
            read(tmp_path, content, "rows.jsonl")


def test_json_in_text_files_is_text(tmp_path):
    [block] = read(tmp_path, b'{"a": 1};x\n{"a": 2};y\n', "rows.csv")
    assert block.unit == "line"
    assert list(block.columns) == ['{"a": 1};x']


def test_what_is_not_in_lines(tmp_path):
    for content in (b'[\n  {"a": 1},\n  {"a": 2}\n]\n', b'[{"a": 1}, {"a": 2}]'):
        with pytest.raises(InputError, match=r"line 1: not a JSON object.*; write one object in"):
            read(tmp_path, content, "rows")
    with pytest.raises(InputError, match="line 1: not a JSON object"):
        read(tmp_path, b'{"a":\n 1}\n')


def test_files_without_rows_and_cut_ones(tmp_path):
    assert read(tmp_path, b" \n\n") == []
    path = f"{tmp_path}/rows.jsonl"
    assert not has_rows(path, TextFormat())
    with pytest.raises(InputError, match=r"cannot read .*rows\.jsonl: "):
        read(tmp_path, gzip.compress(ROWS)[:-9])
    read(tmp_path, ROWS)
    assert estimate_rows(path) == 4  # lines, about
