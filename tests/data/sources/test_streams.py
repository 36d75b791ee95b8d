import gzip

import pytest

from mptrec_tf.data.sources.streams import is_blank, is_tfrecord, open_stream


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_files_are_decompressed(tmp_path, layers):
    plain = bytes(range(256)) * 20_000  # more than one chunk
    content = plain
    for _ in range(layers):
        content = gzip.compress(content, 1)
    (tmp_path / "a.csv").write_bytes(content)
    stream, detected = open_stream(f"{tmp_path}/a.csv")
    with stream:
        assert (stream.read(), detected) == (plain, layers)


def test_gzip_of_several_members(tmp_path):
    """As `cat a.gz b.gz` makes."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    stream, _ = open_stream(f"{tmp_path}/a.gz")
    with stream:
        assert stream.read() == b"a\nb\n"


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ((17).to_bytes(8, "little") + b"\x01\x02\x03\x04", True),
        ((70_000).to_bytes(8, "little") + b"\x01\x02\x03\x04", True),
        (b"user,price,label\n", False),
        (b"a\n1\n", False),
        (b"", False),
        (b"\xff" * 12, False),
    ],
)
def test_tfrecord_begins_with_a_length(start, expected):
    assert is_tfrecord(start) == expected


@pytest.mark.parametrize(
    ("start", "expected"),
    [(b"", True), (b"\xef\xbb\xbf\r\n", True), (b" \t\n", True), (b"\n0", False)],
)
def test_blank_files(start, expected):
    assert is_blank(start) == expected
