"""Reads the JSON file that describes a directory."""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

from mptrec_tf.errors import InputError
from mptrec_tf.storage.file_systems import get_failure_reason, is_missing, open_file


@contextlib.contextmanager
def open_description(path: str, missing: str, damaged: str) -> Iterator[dict[str, Any]]:
    """Yields a file's content; errors of the block count as damage to the file.

    Args:
      path: The file.
      missing: The message if the file is missing.
      damaged: What to do if the file cannot be read, or lacks what the block reads.

    Raises:
      InputError: if the file is missing or damaged.
    """
    try:
        with open_file(path) as file:
            content = json.load(file)
        yield content
    except InputError:
        raise
    except Exception as error:
        if is_missing(error):
            raise InputError(missing) from error
        if get_failure_reason(error) is None and not isinstance(
            error, ValueError | KeyError | TypeError
        ):
            raise
        raise InputError(f"{path} is damaged ({error}); {damaged}.") from error


def read_description(directory: str, name: str, what: str, program: str) -> dict[str, Any]:
    """Reads the JSON file that describes a directory.

    Args:
      directory: The directory.
      name: The file's name.
      what: What the directory should hold, with its article, for messages: "a task".
      program: The program that writes such directories.

    Raises:
      InputError: if the file is missing or cannot be read.
    """
    path = os.path.join(directory, name)
    try:
        with open_file(path) as file:
            return json.load(file)
    except Exception as error:
        if is_missing(error):
            raise InputError(
                f"{directory} holds no {what.split()[-1]} ({name} is missing); "
                f"give a directory that {program} wrote."
            ) from error
        if get_failure_reason(error) is None and not isinstance(error, ValueError):
            raise
        raise InputError(f"cannot read {path} ({error}); make it again.") from error


@contextlib.contextmanager
def explain_damage(directory: str, name: str) -> Iterator[None]:
    """Turns errors of the block in reading a description into a message about the file.

    Raises:
      InputError: if a field is missing or has a wrong type.
    """
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{os.path.join(directory, name)} is damaged ({error!r}); use an untouched copy."
        ) from error
