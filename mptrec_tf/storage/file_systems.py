"""Files of this machine by Python itself, remote ones by TensorFlow, which takes long to import."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from typing import IO, Any

from mptrec_tf.errors import InputError


def is_remote(path: str) -> bool:
    """Whether a path names a file system that TensorFlow alone knows, as gs:// does."""
    return "://" in path


def get_file_system(*paths: str) -> Any:
    """Returns what works on these paths: `tf.io.gfile`, or `Local` where none of them is remote."""
    if not any(map(is_remote, paths)):
        return Local
    import tensorflow as tf

    return tf.io.gfile


class Local:
    """The part of `tf.io.gfile` that this package needs, for paths of this machine."""

    exists = staticmethod(os.path.exists)
    isdir = staticmethod(os.path.isdir)
    listdir = staticmethod(os.listdir)
    remove = staticmethod(os.remove)
    rmtree = staticmethod(shutil.rmtree)

    @staticmethod
    def makedirs(path: str) -> None:
        """Makes a directory and those above it; one that is there is left as it is."""
        os.makedirs(path, exist_ok=True)

    @staticmethod
    def rename(source: str, target: str, overwrite: bool = False) -> None:
        """Renames a file, or a directory to what is none or an empty one."""
        (os.replace if overwrite else os.rename)(source, target)

    @staticmethod
    def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
        """Yields folders below `top`, links followed; none where there is no `top`."""

        def fail(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        return os.walk(top, onerror=fail, followlinks=True)

    @staticmethod
    def copy(source: str, target: str) -> None:
        """Copies what a file holds."""
        shutil.copyfile(source, target)


def open_file(path: str, mode: str = "r") -> IO:
    """Opens a file, see `get_text_options`."""
    if is_remote(path):
        return get_file_system(path).GFile(path, mode)
    return open(path, mode, **get_text_options(mode))


def get_text_options(mode: str) -> dict[str, str]:
    """Arguments of `open` that make text UTF-8 and leave its line ends as they are."""
    return {} if "b" in mode else {"encoding": "utf-8", "newline": ""}


def get_failure_reason(error: BaseException) -> str | None:
    """What a file system says in an error; None if the error is none of a file system."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    tensorflow = sys.modules.get("tensorflow")  # no error of it without it
    if tensorflow and isinstance(error, tensorflow.errors.OpError):
        return error.message
    return None


def is_missing(error: BaseException) -> bool:
    """Whether a file system says that there is no such file."""
    if isinstance(error, OSError):
        return isinstance(error, FileNotFoundError | NotADirectoryError)
    tensorflow = sys.modules.get("tensorflow")
    return bool(tensorflow) and isinstance(error, tensorflow.errors.NotFoundError)


@contextlib.contextmanager
def explain_failure(what: str) -> Iterator[None]:
    """Makes a sentence that begins with `what` of a file system's error.

    Raises:
      InputError: with that sentence.
      BrokenPipeError: where nobody reads any more, which is nothing to mend.
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
