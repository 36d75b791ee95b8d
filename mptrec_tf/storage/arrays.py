"""Saves and loads named arrays (weights) in one .npz file, local or remote."""

import io
import zipfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from mptrec_tf.errors import InputError
from mptrec_tf.storage.directories import write_file


def save_arrays(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Saves arrays by name; the file is written atomically.

    Example:
      >>> save_arrays("weights.npz", {"kernel": np.ones((2, 3))})
      >>> load_arrays("weights.npz")["kernel"].shape
      (2, 3)
    """
    buffer = io.BytesIO()
    # `np.savez` takes names as keyword arguments, so that a name could not be "file".
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, value in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(value), allow_pickle=False)
    write_file(path, buffer.getvalue())


def load_arrays(path: str) -> dict[str, np.ndarray]:
    """Loads what `save_arrays` saved.

    Raises:
      InputError: if the file is missing or damaged.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            stored = np.load(io.BytesIO(file.read()), allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array without a name")
        return {name: stored[name] for name in stored.files}
    except tf.errors.OpError as error:
        raise InputError(f"cannot read {path}: {error.message}.") from error
    except (ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}); make it again.") from error
