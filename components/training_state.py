"""Stores the state of an unfinished training where the next run of a component finds it."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tfx.components.trainer.fn_args_utils import FnArgs

from mptrec_tf.storage.directories import copy_directory
from mptrec_tf.training.run_context import LOGS


@contextlib.contextmanager
def training_state(
    fn_args: FnArgs, directory: str, *, is_chief: bool = True, **depends_on: Any
) -> Iterator[str]:
    """Yields the directory of a training's state; it is removed when the block ends well.

    A component that is started again has another output directory, so the state is stored by what
    the training depends on.

    Args:
      fn_args: Whose `model_run_dir` gets TensorBoard's logs.
      directory: Of all unfinished trainings.
      is_chief: Whether this process is the one that writes the results, and removes the state.
      **depends_on: Everything that the training depends on, as plain data; a difference in it makes
        another training.
    """
    key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]
    work = os.path.join(directory, key)
    yield work
    if not is_chief:
        return
    copy_directory(os.path.join(work, LOGS), fn_args.model_run_dir)
    tf.io.gfile.rmtree(work)


def find_examples(fn_args: FnArgs) -> str:
    """Returns the URI of the examples that a trainer was given."""
    [pattern] = fn_args.train_files
    return os.path.dirname(os.path.dirname(pattern))
