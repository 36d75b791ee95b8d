"""A TensorFlow Datasets builder for Census-Income (KDD), UCI 117.

    import tensorflow_datasets as tfds
    import mptrec_tf.data.sources.census_income_tfds  # registers the builder

    data = tfds.load("census_income", split="train")

Without `original_files` it downloads from UCI.
"""

import tensorflow as tf
import tensorflow_datasets as tfds

from mptrec_tf.data.sources import census_income, census_income_spec, uci
from mptrec_tf.data.sources.block import SPLITS, read_split


class CensusIncome(tfds.core.GeneratorBasedBuilder):
    """Census-Income (KDD): 42 raw columns; train, and the test file halved.

    Args:
      original_files: Directory of the original files, plain or .gz. By default they are
        downloaded from UCI.
      **kwargs: As for every TFDS builder (`data_dir` is where TFDS stores prepared data).
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
                    c: tf.float32 if c in census_income_spec.NUMERIC else tf.string
                    for c in census_income_spec.COLUMNS
                }
            ),
            homepage="https://archive.ics.uci.edu/dataset/117/census+income+kdd",
            license="CC BY 4.0",
            citation="White, R. (2000). Census-Income (KDD). UCI Machine Learning Repository.",
        )

    def _split_generators(self, dl_manager):
        source = census_income.CensusIncome(self._original_files or uci.fetch(dl_manager))
        return {split: self._generate_examples(source, split) for split in SPLITS}

    def _generate_examples(self, source, split):
        for block in read_split(source, split):
            columns = {
                c: block.numbers(c) if c in census_income_spec.NUMERIC else block.text(c)
                for c in census_income_spec.COLUMNS
            }
            for row, line in enumerate(block.lines):
                yield int(line), {name: column[row] for name, column in columns.items()}
