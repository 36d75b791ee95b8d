"""Reads the JSON file that says what a directory holds."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from mptrec_tf.errors import InputError
from mptrec_tf.file_systems import is_missing, open_file, trouble


@contextlib.contextmanager
def description(path: str, missing: str, damaged: str) -> Iterator[dict[str, Any]]:
    """Yields what a file holds; what goes wrong with it in the block is a sentence, too.

    Args:
      path: The file.
      missing: The sentence where there is none.
      damaged: What to do where it cannot be read, or lacks what the block looks for.

    Raises:
      InputError: in both cases.
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
        if trouble(error) is None and not isinstance(error, ValueError | KeyError | TypeError):
            raise
        raise InputError(f"{path} is damaged ({error}); {damaged}.") from error
