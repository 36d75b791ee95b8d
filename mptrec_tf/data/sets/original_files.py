"""Finds the original files of a data set."""

import tensorflow as tf

from mptrec_tf.data.sets.data_set import Origin
from mptrec_tf.errors import InputError


def reject_download(origin: Origin) -> InputError:
    """Returns the error for a data set that no program may download."""
    return InputError(
        f"{origin.title} cannot be downloaded by a program; get it from {origin.homepage} and "
        "give the directory of its files by --data_dir."
    )


def check_data_dir(origin: Origin, data_dir: str | None) -> str:
    """Returns the directory of a data set that no program may download.

    Raises:
      InputError: if none is given.
    """
    if not data_dir:
        raise reject_download(origin)
    return data_dir.rstrip("/")


def find_original(origin: Origin, directory: str, name: str) -> str:
    """Returns the path of an original file, plain or .gz.

    Raises:
      InputError: if it is missing.
    """
    for candidate in (name, f"{name}.gz"):
        path = f"{directory.rstrip('/')}/{candidate}"
        try:
            if tf.io.gfile.exists(path):
                return path
        except tf.errors.OpError as error:
            raise InputError(f"cannot look into {directory}: {error.message}.") from error
    raise InputError(
        f"{directory} holds neither {name} nor {name}.gz; give the directory of the original "
        f"{origin.title} files."
    )
