"""File operations: local paths by Python, remote ones by TensorFlow, which is slow to import."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from typing import IO, Any

from mptrec_tf.errors import InputError


def is_remote(path: str) -> bool:
    """Whether a path is a URI, such as gs://, which Python alone cannot read."""
    return "://" in path


def get_file_system(*paths: str) -> Any:
    """Returns `tf.io.gfile`, or `Local` if none of the paths is remote."""
    if not any(map(is_remote, paths)):
        return Local
    import tensorflow as tf

    return tf.io.gfile


class Local:
    """The part of `tf.io.gfile` that this package needs, for local paths."""

    exists = staticmethod(os.path.exists)
    isdir = staticmethod(os.path.isdir)
    listdir = staticmethod(os.listdir)
    remove = staticmethod(os.remove)
    rmtree = staticmethod(shutil.rmtree)

    @staticmethod
    def makedirs(path: str) -> None:
        """Makes a directory and its parents; does nothing if it exists."""
        os.makedirs(path, exist_ok=True)

    @staticmethod
    def rename(source: str, target: str, overwrite: bool = False) -> None:
        """Renames a file, or a directory whose target is missing or empty."""
        (os.replace if overwrite else os.rename)(source, target)

    @staticmethod
    def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
        """Yields folders below `top`, following links; none if `top` is missing."""

        def fail(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        return os.walk(top, onerror=fail, followlinks=True)

    @staticmethod
    def copy(source: str, target: str) -> None:
        """Copies the content of a file."""
        shutil.copyfile(source, target)


def open_file(path: str, mode: str = "r") -> IO:
    """Opens a file, see `get_text_options`."""
    if is_remote(path):
        return get_file_system(path).GFile(path, mode)
    return open(path, mode, **get_text_options(mode))


def get_text_options(mode: str) -> dict[str, str]:
    """Returns arguments of `open` for UTF-8 text with unchanged line ends."""
    return {} if "b" in mode else {"encoding": "utf-8", "newline": ""}


def get_failure_reason(error: BaseException) -> str | None:
    """Returns a file system error's message; None for any other error."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    tensorflow = sys.modules.get("tensorflow")  # not imported: not its error
    if tensorflow and isinstance(error, tensorflow.errors.OpError):
        return error.message
    return None


def is_missing(error: BaseException) -> bool:
    """Whether an error reports a missing file."""
    if isinstance(error, OSError):
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    tensorflow = sys.modules.get("tensorflow")
    return bool(tensorflow) and isinstance(error, tensorflow.errors.NotFoundError)


@contextlib.contextmanager
def explain_failure(what: str) -> Iterator[None]:
    """Turns file system errors of the block into input errors that begin with `what`.

    Raises:
      InputError: for a file system error.
      BrokenPipeError: if a pipe has no reader any more, which is no error to report.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception as error:
        reason = get_failure_reason(error)
        if reason is None:
            raise
        raise InputError(f"{what}: {reason}.") from error
