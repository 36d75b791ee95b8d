"""File systems that Arrow reads and TensorFlow may not, such as s3:// and hdfs://; for reading."""

import fnmatch
import functools
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.fs

_URI = re.compile(r"([a-zA-Z][\w+.-]*://[^/]*)(.*)", re.DOTALL)


def find_file_system(path: str) -> Any:
    """Returns `tf.io.gfile`, or what has its methods for reading if TensorFlow lacks the scheme.

    Example:
      with find_file_system(path).GFile(path, "rb") as file:
          start = file.read(4096)
    """
    import tensorflow as tf

    scheme, mark, _ = path.partition("://")
    known = not mark or scheme in tf.io.gfile.get_registered_schemes()
    return tf.io.gfile if known else ArrowFileSystem


class ArrowFileSystem:
    """The part of `tf.io.gfile` that readers of rows need, for URIs; errors are OSErrors."""

    @staticmethod
    def isdir(path: str) -> bool:
        """Whether a path is a folder."""
        system, _, inner = _open(path)
        return system.get_file_info(inner).type == pa.fs.FileType.Directory

    @staticmethod
    def stat(path: str) -> SimpleNamespace:
        """Returns the `length` of a file."""
        system, _, inner = _open(path)
        info = system.get_file_info(inner)
        if not info.is_file:
            raise FileNotFoundError(f"{path}; No such file")
        return SimpleNamespace(length=info.size)

    @staticmethod
    def GFile(path: str, mode: str = "rb") -> pa.NativeFile:  # noqa: N802 (TensorFlow's)
        """Opens a file for reading."""
        if mode != "rb":
            raise OSError(f"{path} can only be read")
        system, _, inner = _open(path)
        return system.open_input_file(inner)

    @staticmethod
    def glob(pattern: str) -> list[str]:
        """Returns the paths that match a pattern, in which * does not match /."""
        system, root, inner = _open(pattern)
        fixed = re.match(r"[^*?\[]*", inner)[0]
        if fixed == inner:
            exists = system.get_file_info(inner).type != pa.fs.FileType.NotFound
            return [pattern] if exists else []
        parts = [re.compile(fnmatch.translate(part)) for part in inner.split("/")]
        above = pa.fs.FileSelector(fixed.rpartition("/")[0], allow_not_found=True, recursive=True)
        found = [info.path for info in system.get_file_info(above)]
        return [root + path for path in found if _matches(path.split("/"), parts)]

    @staticmethod
    def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
        """Yields a folder and those below, each with the names of its folders and files."""
        system, root, inner = _open(top)
        inside = system.get_file_info(pa.fs.FileSelector(inner))
        folders = [info.base_name for info in inside if not info.is_file]
        yield root + inner, folders, [info.base_name for info in inside if info.is_file]
        for name in folders:
            yield from ArrowFileSystem.walk(f"{top.rstrip('/')}/{name}")


def _matches(path: list[str], parts: list[re.Pattern]) -> bool:
    if len(path) != len(parts):
        return False
    return all(part.match(name) for name, part in zip(path, parts, strict=True))


def _open(uri: str) -> tuple[pa.fs.FileSystem, str, str]:
    """Returns the file system of a URI, what precedes its paths in URIs, and the path."""
    parts = _URI.fullmatch(uri)
    if parts is None:  # such as 1x://a/b
        raise OSError(f"{uri.partition('://')[0]!r} is no name of a file system; give s3://, say")
    host, rest = parts.groups()
    system, base = _connect(host)
    base = base.rstrip("/")
    return system, host.removesuffix(base) if base else host, base + rest.rstrip("/")


@functools.lru_cache
def _connect(host: str) -> tuple[pa.fs.FileSystem, str]:
    try:
        return pa.fs.FileSystem.from_uri(f"{host}/")
    except (pa.ArrowException, NotImplementedError) as error:
        raise OSError(
            f"no file system for {host.partition('://')[0]}:// is installed; install one for "
            "TensorFlow, or copy the files to a local folder"
        ) from error
