"""TensorFlow Datasets builders over the original files of the data sets.

    import tensorflow_datasets as tfds
    import mptrec_tf.data.sets.tfds_builders  # registers them

    data = tfds.load("census_income", split="train")
    builder = tfds.builder("ali_ccp", original_files="DIR")

Without `original_files` they download, where the licence allows that a program does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from mptrec_tf.data.features.base import NUMBER, TEXT, TEXTS
from mptrec_tf.data.list_values import read_lists
from mptrec_tf.data.sets.downloads import fetch
from mptrec_tf.data.sets.registry import DATASETS
from mptrec_tf.data.sources.block import Block, read_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.spec import DatasetSpec

_TYPES = {TEXT: tf.string, NUMBER: tf.float32, TEXTS: tfds.features.Sequence(tf.string)}


class OriginalFiles(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The raw columns of a data set, in its own splits.

    Args:
      original_files: Directory of the original files. By default they are downloaded.
      **kwargs: As for every TFDS builder (`data_dir` is where TFDS stores prepared data).

    Raises:
      InputError: when it is prepared, for files that are missing, wrong, or not to be downloaded.
    """

    VERSION = tfds.core.Version("1.0.0")
    data_set: str

    def __init__(self, original_files: str | None = None, **kwargs):
        self._original_files = original_files
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        of = DATASETS.get(self.data_set)
        return self.dataset_info_from_configs(
            description=of.origin.title,
            features=tfds.features.FeaturesDict({c: _TYPES[t] for c, t in of.columns.items()}),
            homepage=of.origin.homepage,
            license=of.origin.licence,
            citation=of.origin.citation,
        )

    def _split_generators(self, dl_manager):
        of = DATASETS.get(self.data_set)
        files = self._original_files or fetch(dl_manager, of.origin)
        source = of.open(of.tasks, data_dir=files)
        return {
            split: self._generate_examples(source, split) for split in (*SPLITS, *of.other_splits)
        }

    def _generate_examples(self, source, split):
        types = DATASETS.get(self.data_set).columns
        number = 0
        for block in read_split(source, split):
            columns = {
                name: _read_column(source.spec, block, name, kind) for name, kind in types.items()
            }
            for row in range(len(block)):
                yield number, {name: column[row] for name, column in columns.items()}
                number += 1


def _read_column(spec: DatasetSpec, block: Block, name: str, kind: str) -> Sequence[Any]:
    """Returns a raw column [n] as its TFDS feature takes it."""
    if kind == NUMBER:
        return block.numbers(name)
    if kind == TEXTS:
        lists = read_lists(block, name, spec.raw_columns[name].separator)
        return np.split(lists.values, np.cumsum(lists.lengths)[:-1])
    return block.text(name)


class AliCcp(OriginalFiles):
    """Ali-CCP: fields with one value in a row, clicks and conversions; joined, and split."""

    name = data_set = "ali_ccp"


class AliExpress(OriginalFiles):
    """AliExpress: 82 columns and the country, of all four; a tenth of train is for validation."""

    name = data_set = "aliexpress"


class ByteRec(OriginalFiles):
    """Byte-Rec: 12 columns; split 8:1:1 by user and video."""

    name = data_set = "byte_rec"


class CensusIncome(OriginalFiles):
    """Census-Income (KDD): 42 columns; train, and the test file halved."""

    name = data_set = "census_income"


class Kuairand(OriginalFiles):
    """KuaiRand-Pure: logs with their users and videos, split by date, and the random log."""

    name = data_set = "kuairand"


class MovielensRatings(OriginalFiles):
    """MovieLens: ratings with their users and movies, split by time. TFDS has a `movielens`."""

    name, data_set = "movielens_ratings", "movielens"
