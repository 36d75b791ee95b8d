"""Opens files of Arrow's formats, which are not read from start to end, and creates them."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from mptrec_tf.data.sources.streams import READ_ERRORS, open_bytes, reason_of
from mptrec_tf.errors import InputError
from mptrec_tf.storage.file_systems import is_remote, open_file


def open_for_arrow(path: str) -> pa.NativeFile:
    """Opens a local file by Arrow itself, and others as all readers do.

    Raises:
      OSError, tf.errors.OpError: if it cannot be read.
    """
    if is_remote(path):
        return pa.PythonFile(io.BufferedReader(open_bytes(path), 1 << 20), mode="r")
    return pa.OSFile(path)


def create_for_arrow(path: str) -> pa.NativeFile:
    """Creates a local file by Arrow itself, and others by TensorFlow; the caller closes it."""
    if is_remote(path):
        return pa.PythonFile(io.BufferedWriter(_Written(path), 1 << 20), mode="w")
    return pa.OSFile(path, "wb")


class _Written(io.RawIOBase):
    """A file of `tf.io.gfile` that is written from start to end."""

    def __init__(self, path: str):
        self._file = open_file(path, "wb")

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._file.write(bytes(content))
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


@contextlib.contextmanager
def explain(path: str, kind: str) -> Iterator[None]:
    """Turns errors of reading a file as some format into input errors.

    Raises:
      InputError: for an error of Arrow or of a file system.
    """
    try:
        yield
    except READ_ERRORS as error:
        reason = reason_of(error).splitlines()[0].rstrip(".")
        raise InputError(f"cannot read {path} as {kind}: {reason}.") from error
