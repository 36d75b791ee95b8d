"""Fetches the original files of a data set, through the cache of TFDS."""

import os
import urllib.request
from collections.abc import Iterator

import tensorflow as tf
import tensorflow_datasets as tfds

from mptrec_tf.data.sets.data_set import Origin
from mptrec_tf.data.sets.original_files import reject_download
from mptrec_tf.errors import InputError


def fetch(manager: tfds.download.DownloadManager, origin: Origin) -> str:
    """Downloads and extracts the original files; returns their directory.

    Archives within the archive are extracted, too.

    Raises:
      InputError: for a data set that no program may download, or an archive without its files.
    """
    if origin.archive is None:
        raise reject_download(origin, "original_files")
    extracted = manager.extract(manager.download(origin.archive))
    inner = [f"{folder}/{name}" for folder, name in _files(extracted) if name.endswith(".tar.gz")]
    for root in (extracted, *manager.extract(inner)):
        for folder, name in _files(root):
            if name.startswith(origin.file):
                return folder
    raise InputError(f"the archive from {origin.archive} holds no {origin.file} file.")


def _files(root: os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Yields (folder, name) of every file below `root`."""
    for folder, _, names in tf.io.gfile.walk(os.fspath(root)):
        for name in names:
            yield folder, name


def download(origin: Origin, name: str) -> str:
    """Downloads the original files into the TFDS cache; returns their directory.

    Args:
      origin: Where they are.
      name: The name of the data set.

    Raises:
      InputError: if they cannot be downloaded.
    """
    cache = os.path.join(os.path.expanduser("~"), "tensorflow_datasets", "downloads")
    url = origin.archive
    try:
        if url and not tf.io.gfile.glob(f"{cache}/{name}/*{os.path.splitext(url)[1]}"):
            check_reachable(origin, url)
        manager = tfds.download.DownloadManager(
            download_dir=cache, dataset_name=name, register_checksums=False
        )
        return fetch(manager, origin)
    except InputError:
        raise
    except Exception as error:  # many kinds, from the network libraries below TFDS
        raise _explain(origin, url, error) from error


def check_reachable(origin: Origin, url: str) -> None:
    """Checks that there is a network: TFDS tries for minutes before it reports that there is none.

    Raises:
      InputError: if the URL cannot be reached.
    """
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=15).close()
    except Exception as error:  # many kinds
        raise _explain(origin, url, error) from error


def _explain(origin: Origin, url: str | None, error: Exception) -> InputError:
    return InputError(
        f"cannot download {origin.title} from {url} ({type(error).__name__}); "
        "download it elsewhere and give its directory by --data_dir."
    )
