"""Files compressed by gzip, bzip2, zstd or xz, as their first bytes tell; without TensorFlow."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO

GZIP = b"\x1f\x8b"
_PIECE, _CHUNK = 1 << 16, 1 << 20
_MOST_LAYERS = 3
# What reading a compressed local file can raise; Arrow's own errors are of these.
DECOMPRESSION_ERRORS = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError)


def _open_zstd(stream: BinaryIO) -> BinaryIO:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")


# By a file's first bytes: the name of its compression, and what opens it.
_COMPRESSIONS: dict[bytes, tuple[str, Callable[[BinaryIO], BinaryIO]]] = {
    # The default is the mode of `fileobj`, which for gzip is a number.
    GZIP: ("gzip", lambda stream: gzip.GzipFile(fileobj=stream, mode="rb")),
    b"BZh": ("bzip2", bz2.BZ2File),
    b"\x28\xb5\x2f\xfd": ("zstd", _open_zstd),
    b"\xfd7zXZ\x00": ("xz", lzma.LZMAFile),
}


def find_compression(start: bytes) -> str:
    """Returns the name of the compression of a file with these first bytes; empty text for none."""
    for magic, (name, _) in _COMPRESSIONS.items():
        # BZh can begin text; a digit and the mark of a block or of the end follow it.
        if start.startswith(magic) and (magic != b"BZh" or start[4:6] in (b"1A", b"\x17r")):
            return name
    return ""


def _open(stream: BinaryIO, name: str) -> BinaryIO:
    return dict(_COMPRESSIONS.values())[name](stream)


def decompress(file: io.RawIOBase) -> tuple[io.BufferedReader, tuple[str, ...]]:
    """Returns a file's content, and the names of the compressions around it, the outer one first.

    Raises:
      DECOMPRESSION_ERRORS: if it cannot be read.
    """
    stream, names = io.BufferedReader(file, _CHUNK), ()
    while len(names) < _MOST_LAYERS and (name := find_compression(stream.peek(16))):
        inner = _Decompressed(_open(stream, name), stream)
        stream, names = io.BufferedReader(inner, _CHUNK), (*names, name)
    return stream, names


class _Decompressed(io.RawIOBase):
    """A stream that ends with its file, for Python's `io`."""

    def __init__(self, inner: BinaryIO, outer: BinaryIO):
        super().__init__()
        self._inner, self._outer = inner, outer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        content = self._inner.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
            self._outer.close()
        super().close()


def decompress_start(start: bytes) -> bytes:
    """Returns as much of a file's content as its first bytes hold."""
    name, parts = find_compression(start), []
    if not name:
        return start
    stream = _open(io.BytesIO(start), name)
    try:
        while part := stream.read(_PIECE):
            parts.append(part)
    except DECOMPRESSION_ERRORS:
        pass  # it goes on behind these bytes, or is corrupt, which its reader reports
    return b"".join(parts)
