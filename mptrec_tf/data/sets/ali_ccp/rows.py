"""Ali-CCP (Tianchi 408): impressions, clicks and conversions, read in their original format.

Ma et al., *Entire Space Multi-Task Model*, SIGIR 2018. `sample_skeleton_{train,test}.csv` are
joined with `common_features_{train,test}.csv`; both have no header. A tenth of the training rows,
by a hash of their ids, is for validation.
"""

import atexit
import copy
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence

import apache_beam as beam
import tensorflow as tf

from mptrec_tf.data.row_counts import RowCounts
from mptrec_tf.data.sets.ali_ccp import joined
from mptrec_tf.data.sets.ali_ccp.spec import DEFAULT_TASKS, ORIGIN, find_folder, make_spec
from mptrec_tf.data.sets.original_files import find_data_dir, find_original
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.size import estimate_rows
from mptrec_tf.storage.file_systems import is_remote

_FILE_OF = {"train": "train", "validation": "train", "test": "test"}
_SHARES = {"train": 0.9, "validation": 0.1, "test": 1.0}


class AliCcp:
    """Rows of the original files, joined once.

    Args:
      data_dir: Directory of the original files, plain or .gz, or of the folders sample_train and
        sample_test that hold them.
      tasks: Names of the tasks, those to pre-train on and those to add.

    Raises:
      InputError: if files are missing.
    """

    def __init__(self, data_dir: str | None, tasks: Sequence[str] = DEFAULT_TASKS):
        self.spec = make_spec(tasks)
        data_dir = find_data_dir(ORIGIN, self.spec.name, data_dir)
        self._skeletons, self._users = (
            {
                of: find_original(ORIGIN, find_folder(data_dir, of), f"{name}_{of}.csv")
                for of in ("train", "test")
            }
            for name in ("sample_skeleton", "common_features")
        )
        self._joined: dict[str, list[str]] = {}

    def join(
        self,
        directory: str,
        make_pipeline: Callable[[], beam.Pipeline],
        counts: RowCounts | None = None,
        files: Sequence[str] = ("train", "test"),
    ) -> "AliCcp":
        """Returns the source with its rows joined.

        Args:
          directory: An existing directory for them, which all workers can write.
          make_pipeline: Makes the pipeline that joins them.
          counts: Optional. What counts the rows of the skeletons.
          files: Which files: "train" makes train and validation.

        Raises:
          InputError: for malformed rows, or a common-feature id that is missing or comes twice.
        """
        source = copy.copy(self)
        source._joined = self._joined | joined.join_files(
            _select(self._skeletons, files),
            _select(self._users, files),
            directory,
            make_pipeline,
            counts=counts,
        )
        return source

    def original_files(self) -> dict[str, int]:
        """Returns the size in bytes of each file that it reads, by its absolute path."""
        paths = [*self._skeletons.values(), *self._users.values()]
        return {
            path if is_remote(path) else os.path.abspath(path): tf.io.gfile.stat(path).length
            for path in paths
        }

    def shards(self, split: str) -> Sequence[str]:
        """Returns the files of joined rows; joins them in this process if nobody has."""
        if split not in _FILE_OF:
            return []
        if split not in self._joined:
            directory = tempfile.mkdtemp(prefix="ali_ccp-")
            atexit.register(shutil.rmtree, directory, ignore_errors=True)
            self._joined = self.join(directory, beam.Pipeline, files=[_FILE_OF[split]])._joined
        return self._joined[split]

    def read(self, shard: str) -> Iterator[Block]:
        """Yields the rows of a shard; their places are those in the skeleton."""
        return joined.read_joined(shard)

    def estimated_rows(self, split: str) -> int:
        """Returns an estimate of a split's rows."""
        return round(_SHARES[split] * estimate_rows(self._skeletons[_FILE_OF[split]]))


def _select(paths: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    return {name: paths[name] for name in names}
