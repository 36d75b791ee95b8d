"""AliExpress: impressions in searches, read from a folder per country.

Li et al., *Improving Multi-Scenario Learning to Rank in E-commerce by Exploiting Task Relationships
in the Label Space*, CIKM 2020. Files are CSV with a header: AliExpress_NL/train.csv and test.csv,
as public code joins the files at Tianchi. A tenth of the searches of the training files, by a hash
of their ids, is for validation.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import tensorflow as tf

from mptrec_tf.data.sets.aliexpress.spec import (
    COUNTRIES,
    COUNTRY,
    DEFAULT_TASKS,
    ORIGIN,
    SEARCH,
    check_tasks_of,
    make_spec,
)
from mptrec_tf.data.sets.original_files import find_data_dir, find_original
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.csv_rows import read_csv
from mptrec_tf.data.sources.size import estimate_rows
from mptrec_tf.data.sources.split_rule import SplitRule
from mptrec_tf.data.text_format import OriginalFormat
from mptrec_tf.errors import InputError

_FILE_OF = {"train": "train.csv", "validation": "train.csv", "test": "test.csv"}
_SHARES = {"train": 0.9, "validation": 0.1, "test": 1.0}
# What the rule gives to its second and third part is for validation.
_RULE = SplitRule((0.9, 0.05, 0.05), by=SEARCH)

Shard = tuple[str, str, str]  # split, country, file


class AliExpress:
    """Rows of some countries, each with its country in a column.

    Args:
      data_dir: Directory of the folders AliExpress_NL etc., with files plain or .gz.
      tasks: Names of the tasks, those to pre-train on and those to add.
      countries: Whose folders are read, in this order.

    Raises:
      InputError: for a folder or file that is missing, or a task without rows in these countries.
    """

    def __init__(
        self,
        data_dir: str | None,
        tasks: Sequence[str] = DEFAULT_TASKS,
        countries: Sequence[str] = COUNTRIES,
    ):
        self.spec = make_spec(tasks)
        check_tasks_of(tasks, countries)
        data_dir = find_data_dir(ORIGIN, self.spec.name, data_dir)
        self._folders = {country: _find_folder(data_dir, country) for country in countries}
        for split in _FILE_OF:
            self.shards(split)

    def shards(self, split: str) -> Sequence[Shard]:
        """Returns a shard for each country: its file."""
        if split not in _FILE_OF:
            return []
        name = _FILE_OF[split]
        return [
            (split, country, find_original(ORIGIN, folder, name))
            for country, folder in self._folders.items()
        ]

    def read(self, shard: Shard) -> Iterator[Block]:
        """Yields the rows of a shard, in order.

        Raises:
          InputError: for a row with another number of columns, or a file without rows or a
            search's id.
        """
        split, country, path = shard
        is_empty = True
        for block in filter(len, read_csv(path, OriginalFormat(delimiter="comma"))):
            is_empty = False
            if split != "test":
                validates = _RULE.find_splits(block, self.spec.missing_values) > 0
                block = block.rows(np.flatnonzero(validates == (split == "validation")))
            if len(block):
                yield block.with_text({COUNTRY: pa.array([country] * len(block), pa.string())})
        if is_empty:
            raise InputError(
                f"{path} has no rows; get the file again, or leave {country} out of --countries."
            )

    def estimated_rows(self, split: str) -> int:
        """Returns an estimate of a split's rows."""
        rows = sum(estimate_rows(path) for _, _, path in self.shards(split))
        return round(_SHARES.get(split, 0) * rows)


def _find_folder(data_dir: str, country: str) -> str:
    folder = f"{data_dir}/AliExpress_{country}"
    if not tf.io.gfile.isdir(folder):
        raise InputError(
            f"{data_dir} has no folder AliExpress_{country}; give the directory of all folders by "
            "--data_dir, or leave the country out of --countries."
        )
    return folder
