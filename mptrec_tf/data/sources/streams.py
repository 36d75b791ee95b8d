"""Opens files as streams of bytes, and detects their format by content, whatever their names.

A file called .csv that is gzip, one called .gz that is not, and one that was compressed twice are
all read.
"""

import gzip
import io

import tensorflow as tf

from mptrec_tf.errors import InputError

_CHUNK = 1 << 20
GZIP = b"\x1f\x8b"
_MOST_LAYERS = 3
# First bytes of files that are neither text nor TFRecord.
_OTHERS = {
    b"PAR1": "a Parquet file",
    b"ORC": "an ORC file",
    b"Obj\x01": "an Avro file",
    b"ARROW1": "an Arrow file",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\xd0\xcf\x11\xe0": "a spreadsheet",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ\x00": "compressed by xz",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _File(io.RawIOBase):
    """A file of TensorFlow's file systems, local or remote, for Python's `io`."""

    def __init__(self, path: str):
        super().__init__()
        self._file = tf.io.gfile.GFile(path, "rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def open_stream(path: str) -> tuple[io.BufferedReader, int]:
    """Opens a file and decompresses it; returns its bytes, and its layers of compression.

    Raises:
      tf.errors.OpError, OSError, EOFError, zlib.error: if it cannot be read.
    """
    stream, layers = io.BufferedReader(_File(path), _CHUNK), 0
    while layers < _MOST_LAYERS and stream.peek(2)[:2] == GZIP:
        # The default is the mode of `fileobj`, which for gzip is a number.
        inner = gzip.GzipFile(fileobj=stream, mode="rb")
        stream, layers = io.BufferedReader(inner, _CHUNK), layers + 1
    return stream, layers


def is_tfrecord(start: bytes) -> bool:
    """Whether a file's first bytes are those of TFRecord: a 64-bit length whose upper bits are 0.

    Text has no zero bytes.
    """
    return len(start) >= 12 and start[5:8] == b"\0\0\0"


def check_readable(path: str, start: bytes) -> None:
    """Rejects a file whose first bytes are those of another format.

    Raises:
      InputError: naming the format.
    """
    for magic, kind in _OTHERS.items():
        # Text may begin with the same letters, but has no control bytes after them.
        if start.startswith(magic) and (not magic.isalnum() or any(b < 9 for b in start)):
            what = "save it as UTF-8" if "UTF-16" in kind else "give CSV or TFRecord, plain or gzip"
            raise InputError(f"{path} seems to be {kind}; {what}.")


def is_blank(start: bytes) -> bool:
    """Whether a whole file is empty or white space."""
    return not start.removeprefix(_BYTE_ORDER_MARK).strip()
