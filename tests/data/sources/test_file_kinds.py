import pytest

from mptrec_tf.data.sources.file_kinds import is_blank, is_tfrecord


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ((17).to_bytes(8, "little") + b"\x01\x02\x03\x04", True),
        ((70_000).to_bytes(8, "little") + b"\x01\x02\x03\x04", True),
        (b"user,price,label\n", False),
        (b"a\n1\n", False),
        (b"", False),
        (b"\xff" * 12, False),
        ("a,b\n1,2\n".encode("utf-32-le"), False),
        ("a,b\n1,2\n".encode("utf-32"), False),
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
