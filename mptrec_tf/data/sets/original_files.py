"""Finds the original files of a data set."""

import tensorflow as tf

from mptrec_tf.data.sets.data_set import Origin
from mptrec_tf.errors import InputError


def reject_download(origin: Origin, option: str = "--data_dir") -> InputError:
    """Returns the error for a data set that no program may download.

    Args:
      origin: Where it comes from.
      option: What takes the directory of its files.
    """
    return InputError(
        f"{origin.title} cannot be downloaded by a program; get it from {origin.homepage} and "
        f"give the directory of its files by {option}."
    )


def find_data_dir(origin: Origin, name: str, data_dir: str | None) -> str:
    """Returns the directory of the original files: the given one, or one with downloaded files.

    Args:
      origin: Where they come from.
      name: The name of the data set.
      data_dir: Optional. The directory that a user gives.

    Raises:
      InputError: if none is given and they cannot be downloaded.
    """
    if data_dir:
        return data_dir.rstrip("/")
    if origin.archive is None:
        raise reject_download(origin)
    from mptrec_tf.data.sets.downloads import download  # TFDS is slow to import

    return download(origin, name)


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
