import gzip
import os
import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mptrec_tf.data.features.vectors import Vector
from mptrec_tf.data.list_values import read_lists
from mptrec_tf.data.sources import random_access, streams
from mptrec_tf.data.sources.block import BLOCK_ROWS
from mptrec_tf.data.sources.files import estimate_rows, has_rows, read_file
from mptrec_tf.data.sources.row_times import DATES, read_times
from mptrec_tf.data.sources.typed_rows import find_partitions
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

TABLE = pa.table(
    {
        "user": ["ann", None, "bob"],
        "age": [31, None, 7],
        "price": [0.5, 1.5, 2.5],
        "tags": [["a", "b"], None, ["a b"]],
        "title": pa.array([[0.5, 1], [2, 3], [4, 5]], pa.list_(pa.float32(), 2)),
        "at": pa.array([0, 1, 2], pa.timestamp("s")),
        "more": [{"a": 1}] * 3,
        "raw": [b"x", b"\xff", b"y"],
    }
)


@pytest.fixture
def path(tmp_path):
    pq.write_table(TABLE, tmp_path / "rows.parquet", row_group_size=2)
    return f"{tmp_path}/rows.parquet"


def read(path, **wanted):
    return list(read_file(path, TextFormat(), **wanted))


def test_rows_and_their_places(path):
    first, second = read(path)
    assert first.where(1) == f"{path}, row group 1, row 2"
    assert second.where(0) == f"{path}, row group 2, row 3"
    assert first.text("user").tolist() == ["ann", ""]
    assert first.text("age").tolist() == ["31", ""]
    np.testing.assert_array_equal(first.numbers("age", missing_values=()), [31, np.nan])
    assert second.numbers("age").tolist() == [7]
    assert first.numbers("price").tolist() == [0.5, 1.5]
    assert first.column("tags").tolist() == [["a", "b"], []]
    assert read_lists(second, "tags", " ").values.tolist() == ["a b"]
    assert Vector("title", 2).read_vectors(first).tolist() == [[0.5, 1], [2, 3]]
    times, kind = read_times(first, "at")
    assert (times.tolist(), kind) == ([0, 1], DATES)
    assert (estimate_rows(path), has_rows(path, TextFormat())) == (3, True)


def test_some_rows_of_a_block(path):
    first, _ = read(path)
    second = first.rows(np.array([1]))
    assert read_lists(second, "tags", " ").lengths.tolist() == [0]
    assert Vector("title", 2).read_vectors(second).tolist() == [[2, 3]]
    assert second.text("user").tolist() == [""]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda b: b.numbers("age"), "row group 1, row 2, column 'age': '' is not a finite number"),
        (lambda b: b.column("raw"), "row group 1, row 2, column 'raw': not UTF-8 text"),
        (lambda b: b.column("more"), "column 'more': its type is struct<a: int64>, which is no"),
        (lambda b: b.column("pric"), "has no column 'pric'; it has user, .*did you mean 'price'"),
        (lambda b: b.numbers("tags"), r"row 1, column 'tags': \"\['a', 'b'\]\" is not a finite"),
        (lambda b: Vector("title", 3).read_vectors(b), "row 1, column 'title': a vector of 2 num"),
        (lambda b: Vector("tags", 2).read_vectors(b), "column 'tags': a b are not finite numbers"),
    ],
)
def test_bad_columns(path, use, message):
    first, _ = read(path)
    with pytest.raises(InputError, match=rf"rows\.parquet,? .*{message}"):
        use(first)


def test_only_what_is_used_is_read(path, monkeypatch):
    asked = []
    original = pq.ParquetFile.read_row_group

    def read_row_group(file, index, columns):
        asked.append((index, columns))
        return original(file, index, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", read_row_group)
    for block in read_file(path, TextFormat()):
        block.text("user"), block.numbers("price"), block.text("user")
    assert asked == [(0, ["user"]), (0, ["price"]), (1, ["user", "price"])]


def test_large_row_groups_are_several_blocks(tmp_path):
    numbers = np.arange(BLOCK_ROWS + 5)
    pq.write_table(pa.table({"n": numbers}), tmp_path / "rows")
    blocks = read(f"{tmp_path}/rows")
    assert list(map(len, blocks)) == [BLOCK_ROWS, 5]
    assert np.concatenate([block.column("n") for block in blocks]).tolist() == numbers.tolist()
    assert blocks[1].where(0).endswith(f"row group 1, row {BLOCK_ROWS + 1}")


def test_bad_rows_are_reported_one_by_one(path):
    bad = []
    first, second = read(path, on_bad_row=bad.append, needed=["raw", "user"], optional=["age"])
    assert [(b.source, b.line, b.reason) for b in bad] == [
        (path, 2, "column 'raw' is not UTF-8 text (invalid start byte)")
    ]
    assert (first.lines.tolist(), second.lines.tolist()) == ([1], [3])
    assert list(first.columns) == ["raw", "user", "age"]
    with pytest.raises(InputError, match="has no column 'pric'; it has user, age, price"):
        read(path, on_bad_row=bad.append, needed=["pric"])


def test_partitions(tmp_path):
    folder = tmp_path / "country=C%2FH" / "day=2024-01-31" / f"user={'__HIVE_DEFAULT_PARTITION__'}"
    folder.mkdir(parents=True)
    pq.write_table(TABLE.drop(["user"]), folder / "rows.parquet")
    [block] = read(f"{folder}/rows.parquet")
    assert block.text("country").tolist() == ["C/H"] * 3
    assert block.text("user").tolist() == [""] * 3
    assert read_times(block, "day")[1] == DATES
    above = {"given": ["no", f"{tmp_path}/country=C%2FH/"]}
    assert list(read(f"{folder}/rows.parquet", **above)[0].columns)[-2:] == ["day", "user"]
    assert find_partitions("a%20b=c%20d/e.parquet") == {"a b": "c d"}
    pq.write_table(TABLE, folder / "rows.parquet")
    [block] = read(f"{folder}/rows.parquet")
    assert block.numbers("price").tolist() == [0.5, 1.5, 2.5]
    with pytest.raises(InputError, match=r"has a column 'user', and so has its folder \(user="):
        block.text("user")


def test_two_columns_of_one_name(tmp_path):
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], ["a", "a", "b"])
    pq.write_table(table, tmp_path / "rows")
    [block] = read(f"{tmp_path}/rows")
    assert block.numbers("b").tolist() == [3]
    with pytest.raises(InputError, match="names column 'a' twice"):
        block.numbers("a")


def test_files_that_cannot_be_read(path, tmp_path):
    whole = (tmp_path / "rows.parquet").read_bytes()
    for content, message in (
        (whole[: len(whole) // 2], "cannot read .*bad as Parquet: Parquet magic bytes not found"),
        (b"PARE" + whole[4:-4] + b"PARE", "cannot read .*bad as Parquet: .*ncrypt"),
        (gzip.compress(whole), "bad is a compressed Parquet file; decompress it"),
    ):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(InputError, match=message):
            read(f"{tmp_path}/bad")
        assert estimate_rows(f"{tmp_path}/bad") == 0
        assert has_rows(f"{tmp_path}/bad", TextFormat())
    (tmp_path / "bad").write_bytes(whole[:4] + b"\xff" * 60 + whole[64:])
    with pytest.raises(InputError, match=r"cannot read .*bad as Parquet: "):
        [block.text("user") for block in read(f"{tmp_path}/bad")]


def test_a_file_without_rows(tmp_path):
    pq.write_table(TABLE.slice(0, 0), tmp_path / "rows")
    assert not has_rows(f"{tmp_path}/rows", TextFormat())
    assert estimate_rows(f"{tmp_path}/rows") == 0


def test_other_file_systems(path, monkeypatch):
    """A file that TensorFlow opens gives the same rows as one that Arrow opens."""
    for module in (streams, random_access):
        monkeypatch.setattr(module, "is_remote", lambda path: True)
    texts = [block.text("user").tolist() for block in read(path)]
    assert texts == [["ann", ""], ["bob"]]


def test_a_remote_file_is_closed(path, monkeypatch):
    opened = []
    system = types.SimpleNamespace(
        GFile=lambda *of: opened.append(open(*of)) or opened[-1],  # noqa: SIM115 (to be closed)
        stat=lambda of: types.SimpleNamespace(length=os.path.getsize(of)),
    )
    monkeypatch.setattr(streams, "find_file_system", lambda path: system)
    for module in (streams, random_access):
        monkeypatch.setattr(module, "is_remote", lambda path: True)
    with random_access.open_for_arrow(path) as file:
        assert pq.read_metadata(file).num_rows == 3
    assert [of.closed for of in opened] == [True]
