"""Reads the JSON file that says what a directory holds."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from mptrec_tf.errors import InputError


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
        with tf.io.gfile.GFile(path) as file:
            content = json.load(file)
        yield content
    except tf.errors.NotFoundError as error:
        raise InputError(missing) from error
    except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise InputError(f"{path} is damaged ({error}); {damaged}.") from error
