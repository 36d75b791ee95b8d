import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from mptrec_tf.data.sources.tabular import estimate_file_rows, has_rows, list_shards, read_file
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError
from mptrec_tf.storage.arrow_file_systems import ArrowFileSystem, find_file_system


@pytest.fixture
def uri(tmp_path, monkeypatch):
    """A folder of files, by a scheme that TensorFlow does not know."""
    monkeypatch.setattr(tf.io.gfile, "get_registered_schemes", lambda: ["", "gs"])
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"x,y\n3,4\n"))
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "c" / "y=6").mkdir(parents=True)
    pq.write_table(pa.table({"x": [5]}), tmp_path / "c" / "y=6" / "d.parquet")
    return f"file://{tmp_path}"


def test_only_what_tensorflow_lacks(uri):
    assert find_file_system("/a/b.csv") is tf.io.gfile
    assert find_file_system("gs://a/b.csv") is tf.io.gfile
    assert find_file_system(uri) is ArrowFileSystem


def test_rows(uri):
    paths = list_shards([uri])
    assert paths == [f"{uri}/{name}" for name in ("a.csv", "b.csv.gz", "c/y=6/d.parquet")]
    for path, values in zip(paths, ([1, 2], [3, 4], [5, 6]), strict=True):
        [block] = read_file(path, TextFormat())
        assert [block.numbers(name).tolist() for name in "xy"] == [[value] for value in values]
        assert has_rows(path, TextFormat())
        assert estimate_file_rows(path) > 0


def test_globs(uri):
    assert list_shards([f"{uri}/*.csv"]) == [f"{uri}/a.csv"]
    assert list_shards([f"{uri}/*/y=[0-9]/*"]) == [f"{uri}/c/y=6/d.parquet"]
    assert list_shards([f"{uri}/c"]) == [f"{uri}/c/y=6/d.parquet"]
    assert list_shards([f"{uri}/a.csv"]) == [f"{uri}/a.csv"]


@pytest.mark.parametrize("name", ["none.csv", "none*", "none/*.csv"])
def test_missing_files(uri, name):
    with pytest.raises(InputError, match=r"no file matches 'file://.*none"):
        list_shards([f"{uri}/{name}"])
    with pytest.raises(InputError, match=r"cannot read file://.*none.*No such file"):
        list(read_file(f"{uri}/none.csv", TextFormat()))


def test_a_file_system_that_nobody_knows():
    with pytest.raises(
        InputError, match=r"cannot look for 'nosuch://a/b.csv': no file system for nosuch://"
    ):
        list_shards(["nosuch://a/b.csv"])


@pytest.mark.parametrize("path", ["1x://a/b.csv", "_://a/*.csv"])
def test_what_is_no_name_of_a_file_system(path):
    with pytest.raises(InputError, match=r"'(1x|_)' is no name of a file system; give s3://"):
        list_shards([path])
