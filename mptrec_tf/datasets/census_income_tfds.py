"""A TensorFlow Datasets builder for Census-Income (KDD), UCI 117.

    import tensorflow_datasets as tfds
    import mptrec_tf.datasets.census_income_tfds  # registers the builder

    data = tfds.load("census_income", split="train")

Without `original_files` it downloads from UCI.
"""

import os
from collections.abc import Iterator

import tensorflow as tf
import tensorflow_datasets as tfds

from mptrec_tf.datasets import census_income
from mptrec_tf.datasets.block import SPLITS, read_split
from mptrec_tf.errors import InputError


class CensusIncome(tfds.core.GeneratorBasedBuilder):
    """Census-Income (KDD): 42 raw columns; train, and the test file halved.

    Args:
      original_files: Directory of the original files, plain or .gz. By default they are
        downloaded from UCI.
      **kwargs: As for every TFDS builder (`data_dir` is where TFDS keeps what it made).
    """

    VERSION = tfds.core.Version("1.0.0")
    name = "census_income"

    def __init__(self, original_files: str | None = None, **kwargs):
        self._original_files = original_files
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Census-Income (KDD), UCI 117: US census rows of 1994 and 1995.",
            features=tfds.features.FeaturesDict(
                {
                    c: tf.float32 if c in census_income.NUMERIC else tf.string
                    for c in census_income.COLUMNS
                }
            ),
            homepage="https://archive.ics.uci.edu/dataset/117/census+income+kdd",
            license="CC BY 4.0",
            citation="White, R. (2000). Census-Income (KDD). UCI Machine Learning Repository.",
        )

    def _split_generators(self, dl_manager):
        source = census_income.CensusIncome(self._original_files or _fetch(dl_manager))
        return {split: self._generate_examples(source, split) for split in SPLITS}

    def _generate_examples(self, source, split):
        for block in read_split(source, split):
            columns = {
                c: block.numbers(c) if c in census_income.NUMERIC else block.text(c)
                for c in census_income.COLUMNS
            }
            for row, line in enumerate(block.lines):
                yield int(line), {name: column[row] for name, column in columns.items()}


def _fetch(manager: tfds.download.DownloadManager) -> str:
    """Downloads and extracts the original files; returns their directory."""
    extracted = manager.extract(manager.download(census_income.URL))
    # UCI's zip holds a tar of the files.
    inner = [f"{folder}/{name}" for folder, name in _files(extracted) if name.endswith(".tar.gz")]
    for archive in (extracted, *manager.extract(inner)):
        for folder, name in _files(archive):
            if name.startswith("census-income.data"):
                return folder
    raise InputError(f"what came from {census_income.URL} holds no census-income.data file.")


def _files(root: os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Yields (folder, name) of every file below `root`."""
    for folder, _, names in tf.io.gfile.walk(os.fspath(root)):
        for name in names:
            yield folder, name


def download() -> str:
    """Downloads the original files from UCI into the TFDS cache; returns their directory.

    Raises:
      InputError: where UCI cannot be reached.
    """
    cache = os.path.join(os.path.expanduser("~"), "tensorflow_datasets", "downloads")
    try:
        manager = tfds.download.DownloadManager(
            download_dir=cache, dataset_name="census_income", register_checksums=False
        )
        return _fetch(manager)
    except InputError:
        raise
    except Exception as error:  # many kinds, from the network libraries below TFDS
        raise InputError(
            f"cannot download Census-Income from {census_income.URL} ({type(error).__name__}); "
            "download it elsewhere and give its directory by --data_dir."
        ) from error
