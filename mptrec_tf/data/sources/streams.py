"""Opens files as streams of bytes.

A file called .csv that is gzip, one called .gz that is not, and one that was compressed twice are
all read.
"""

import codecs
import io
import lzma
import re
import zlib
from typing import BinaryIO

import pyarrow as pa
import tensorflow as tf

from mptrec_tf.data.sources.compression import decompress
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError
from mptrec_tf.storage.arrow_file_systems import find_file_system
from mptrec_tf.storage.file_systems import is_remote

_CHUNK = 1 << 20
_SCHEME = re.compile("scheme '([^']+)' not implemented")
# What reading a file can raise.
READ_ERRORS = (tf.errors.OpError, pa.ArrowException, OSError, EOFError, zlib.error, lzma.LZMAError)


class _RemoteFile(io.RawIOBase):
    """A file of a file system that TensorFlow or Arrow knows, for Python's `io`."""

    def __init__(self, path: str):
        super().__init__()
        self._path, self._file = path, find_file_system(path).GFile(path, "rb")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_CUR:
            offset += self.tell()
        elif whence == io.SEEK_END:
            offset += find_file_system(self._path).stat(self._path).length
        self._file.seek(offset)
        return offset

    def readinto(self, buffer) -> int:
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def open_bytes(path: str) -> io.RawIOBase:
    """Opens a file for reading its bytes in any order.

    Raises:
      READ_ERRORS: if it cannot be read.
    """
    # Python reads local files faster than TensorFlow.
    return _RemoteFile(path) if is_remote(path) else io.FileIO(path)


def open_stream(path: str) -> tuple[io.BufferedReader, tuple[str, ...]]:
    """Opens a file and decompresses it; returns its bytes, and the names of its compressions.

    Raises:
      READ_ERRORS: if it cannot be read.
    """
    return decompress(open_bytes(path))


def reason_of(error: Exception) -> str:
    """Returns what one of `READ_ERRORS` says, for a message that names the file."""
    message = getattr(error, "message", None) or getattr(error, "strerror", None) or str(error)
    if isinstance(error, tf.errors.UnimplementedError) and (scheme := _SCHEME.search(message)):
        return (
            f"no file system for {scheme[1]}:// is installed; install one for TensorFlow, or copy "
            "the files to a local folder"
        )
    return message


def open_text(
    path: str, text_format: TextFormat, escapes: bool = False
) -> tuple[io.BufferedReader, tuple[str, ...]]:
    """Opens a text file as `open_stream` does, and transcodes it to UTF-8.

    A file that begins with the mark of UTF-8 is UTF-8, whatever its encoding is said to be: an
    editor has saved it anew.

    Args:
      path: The file.
      text_format: How it is written.
      escapes: Whether bytes that are not in its encoding become surrogates; by default they are
        errors.

    Raises:
      READ_ERRORS: if it cannot be read.
    """
    stream, layers = open_stream(path)
    if text_format.is_utf8:
        return stream, layers
    is_marked = not text_format.is_wide and stream.peek(4).startswith(codecs.BOM_UTF8)
    encoding = "utf-8-sig" if is_marked else text_format.encoding
    text = _Transcoded(stream, encoding, path, escapes)
    return io.BufferedReader(text, _CHUNK), layers


class _Transcoded(io.RawIOBase):
    """A text file's content in UTF-8, without a byte order mark.

    Args:
      stream: The file's bytes.
      encoding: Their encoding, of Python's codecs.
      path: The file, for messages.
      escapes: Whether bytes that cannot be decoded become surrogates; by default they are errors.
    """

    def __init__(self, stream: BinaryIO, encoding: str, path: str, escapes: bool = False):
        super().__init__()
        self._stream, self._encoding, self._path = stream, encoding, path
        self._errors = "surrogateescape" if escapes else "strict"
        self._decoder = codecs.getincrementaldecoder(encoding)(self._errors)
        self._ready, self._line, self._at_end = b"", 1, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._ready and not self._at_end:
            raw = self._stream.read(_CHUNK)
            self._at_end = not raw
            text = self._decode(raw)
            self._line += text.count("\n")
            # Bytes that were no text are none in UTF-8 either, even if they look like it.
            self._ready = text.encode("utf-8", "surrogatepass")
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def _decode(self, raw: bytes) -> str:
        try:
            return self._decoder.decode(raw, final=self._at_end)
        except UnicodeError as error:
            start = getattr(error, "start", 0)
            good = getattr(error, "object", b"")[:start].decode(self._encoding, "ignore")
            raise InputError(
                f"{self._path}, line {self._line + good.count(chr(10))}: not {self._encoding} text "
                f"({getattr(error, 'reason', error)}); give the file's own `encoding`."
            ) from error

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
