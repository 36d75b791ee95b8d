import bz2
import gzip
import lzma

import numpy as np
import pyarrow as pa
import pytest

from mptrec_tf.data.sources.streams import (
    READ_ERRORS,
    open_stream,
)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_files_are_decompressed(tmp_path, layers):
    plain = bytes(range(256)) * 20_000  # more than one chunk
    content = plain
    for _ in range(layers):
        content = gzip.compress(content, 1)
    (tmp_path / "a.csv").write_bytes(content)
    stream, detected = open_stream(f"{tmp_path}/a.csv")
    with stream:
        assert (stream.read(), detected) == (plain, ("gzip",) * layers)


COMPRESS = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda content: bytes(pa.compress(content, "zstd", asbytes=True)),
}


@pytest.mark.parametrize("name", COMPRESS)
def test_kinds_of_compression(tmp_path, name):
    plain = bytes(range(256)) * 20_000
    path = tmp_path / "a.csv"
    for content in (plain, b"a,b\n", b""):
        path.write_bytes(COMPRESS[name](content))
        stream, layers = open_stream(str(path))
        with stream:
            assert (stream.read(), layers) == (content, (name,))
    # Several files in one, and one within another.
    path.write_bytes(COMPRESS[name](b"a\n") + COMPRESS[name](b"b\n"))
    stream, _ = open_stream(str(path))
    with stream:
        assert stream.read() == b"a\nb\n"
    path.write_bytes(gzip.compress(COMPRESS[name](b"a\n")))
    stream, layers = open_stream(str(path))
    with stream:
        assert (stream.read(), layers) == (b"a\n", ("gzip", name))


@pytest.mark.parametrize("name", COMPRESS)
def test_compressed_files_that_are_cut_short(tmp_path, name):
    path = tmp_path / "a.csv"
    path.write_bytes(COMPRESS[name](np.random.default_rng(1).bytes(5000))[:-12])
    with pytest.raises(READ_ERRORS):
        open_stream(str(path))[0].read()


@pytest.mark.parametrize("content", [b"", b"a", b"BZh", b"BZhang,1\n", b"\xfd7z"])
def test_text_that_begins_like_a_compressed_file(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    stream, layers = open_stream(f"{tmp_path}/a.csv")
    assert (stream.read(), layers) == (content, ())


def test_gzip_of_several_members(tmp_path):
    """As `cat a.gz b.gz` makes."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    stream, _ = open_stream(f"{tmp_path}/a.gz")
    with stream:
        assert stream.read() == b"a\nb\n"
