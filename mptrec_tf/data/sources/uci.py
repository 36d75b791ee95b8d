"""Downloads the original Census-Income files from UCI, through TFDS's cache."""

import os
import urllib.request
from collections.abc import Iterator

import tensorflow as tf
import tensorflow_datasets as tfds

from mptrec_tf.errors import InputError

URL = "https://archive.ics.uci.edu/static/public/117/census+income+kdd.zip"


def fetch(manager: tfds.download.DownloadManager) -> str:
    """Downloads and extracts the original files; returns their directory."""
    extracted = manager.extract(manager.download(URL))
    # UCI's zip holds a tar of the files.
    inner = [f"{folder}/{name}" for folder, name in _files(extracted) if name.endswith(".tar.gz")]
    for archive in (extracted, *manager.extract(inner)):
        for folder, name in _files(archive):
            if name.startswith("census-income.data"):
                return folder
    raise InputError(f"the archive from {URL} holds no census-income.data file.")


def _files(root: os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Yields (folder, name) of every file below `root`."""
    for folder, _, names in tf.io.gfile.walk(os.fspath(root)):
        for name in names:
            yield folder, name


def download() -> str:
    """Downloads the original files from UCI into the TFDS cache; returns their directory.

    Raises:
      InputError: if UCI cannot be reached.
    """
    cache = os.path.join(os.path.expanduser("~"), "tensorflow_datasets", "downloads")
    try:
        if not any(tf.io.gfile.glob(f"{cache}/{below}*.zip") for below in ("", "*/")):
            # TFDS tries for minutes before it reports that there is no network.
            urllib.request.urlopen(urllib.request.Request(URL, method="HEAD"), timeout=15).close()
        manager = tfds.download.DownloadManager(
            download_dir=cache, dataset_name="census_income", register_checksums=False
        )
        return fetch(manager)
    except InputError:
        raise
    except Exception as error:  # many kinds, from the network libraries below TFDS
        raise InputError(
            f"cannot download Census-Income from {URL} ({type(error).__name__}); "
            "download it elsewhere and give its directory by --data_dir."
        ) from error
