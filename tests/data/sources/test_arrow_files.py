import gzip

import pyarrow as pa
import pyarrow.feather
import pytest

from mptrec_tf.data.sources.files import estimate_rows, has_rows, read_file
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

TABLE = pa.table({"user": ["ann", None, "bob"], "tags": [["a"], [], ["b"]], "raw": [b"\xff"] * 3})


def write(path, table=TABLE, stream=False):
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return str(path)


def read(path):
    return list(read_file(path, TextFormat()))


@pytest.mark.parametrize("stream", [False, True])
def test_rows_and_their_places(tmp_path, stream):
    path = write(tmp_path / "rows", stream=stream)
    first, second = read(path)
    assert first.text("user").tolist() == ["ann", ""]
    assert second.column("tags").tolist() == [["b"]]
    assert second.where(0) == f"{path}, record batch 2, row 3"
    with pytest.raises(InputError, match="rows, record batch 2, row 3, column 'raw': not UTF-8"):
        second.column("raw")
    assert has_rows(path, TextFormat())
    assert estimate_rows(path) == (0 if stream else 4)  # of equal batches


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_feather(tmp_path, compression):
    path = f"{tmp_path}/rows.feather"
    pyarrow.feather.write_feather(TABLE, path, compression=compression)
    [block] = read(path)
    assert block.text("user").tolist() == ["ann", "", "bob"]


def test_files_that_cannot_be_read(tmp_path):
    content = (tmp_path / "rows").read_bytes() if write(tmp_path / "rows") else b""
    for bad, message in (
        (content[:-20], "cannot read .*bad as Arrow: "),
        (b"FEA1\0\0\0\0" * 9, "bad is of the first version of Feather; write it again"),
        (gzip.compress(content), "bad is a compressed Arrow file; decompress it"),
    ):
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(InputError, match=message):
            read(f"{tmp_path}/bad")


def test_a_file_without_rows(tmp_path):
    path = write(tmp_path / "rows", TABLE.slice(0, 0))
    assert not has_rows(path, TextFormat())
    assert estimate_rows(path) == 0
