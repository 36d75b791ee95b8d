"""MovieLens: ratings in the order of time, from the original files or over TensorFlow Datasets.

Harper and Konstan, *The MovieLens Datasets*, ACM TiiS 5(4), 2015. The earliest eight tenths of the
ratings are for training, the next tenth for validation and the last for test. One pass over the
ratings counts their times; then each split joins its own ratings with their users and movies.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from mptrec_tf.data.sets.movielens.original_ratings import Ratings1m, Ratings100k
from mptrec_tf.data.sets.movielens.spec import (
    DEFAULT_TASKS,
    LARGE,
    SIZES,
    SMALL,
    TIME,
    find_size,
    make_spec,
)
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.split_rows import SplitRows
from mptrec_tf.data.sources.split_rule import SplitRule
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError

_FORMATS = {SMALL: Ratings100k, LARGE: Ratings1m}


class MovieLens:
    """Ratings with their users and movies, split by their times.

    Args:
      data_dir: Directory of the original files, plain or .gz, of ml-100k or of ml-1m. By default
        the rows come over TensorFlow Datasets, which needs a network the first time.
      size: "100k" or "1m": what comes over TensorFlow Datasets, by default "100k".
      tasks: Names of the tasks, those to pre-train on and those to add.

    Raises:
      InputError: if files are missing, are of another size, or cannot be downloaded; for a
        malformed rating, or fewer than three times.
    """

    def __init__(
        self,
        data_dir: str | None = None,
        size: str | None = None,
        tasks: Sequence[str] = DEFAULT_TASKS,
    ):
        self.spec = make_spec(tasks)
        self._ratings = _open_ratings(self.spec, data_dir, size)
        self._split = SplitRows(self._ratings, SplitRule(by=f"time:{TIME}"))

    def shards(self, split: str) -> Sequence[Any]:
        """Returns the parts of the ratings, each of which may have rows of the split."""
        return self._split.shards(split) if split in SPLITS else []

    def read(self, shard: Any) -> Iterator[Block]:
        """Yields the rows of a split in a shard.

        Raises:
          InputError: for a malformed rating, user or movie, or one that is missing or comes twice,
            with file and line.
        """
        return map(self._ratings.complete, self._split.read(shard))

    def estimated_rows(self, split: str) -> int:
        """Returns an estimate of a split's rows."""
        return self._split.estimated_rows(split) if split in SPLITS else 0

    def describe_split(self) -> dict[str, Any]:
        """Returns how the rows were split, see `SplitRows.describe_split`."""
        return self._split.describe_split()


def _open_ratings(spec: DatasetSpec, data_dir: str | None, size: str | None) -> Any:
    if size not in (None, *SIZES):
        raise InputError(f"there is no MovieLens of size {size!r} here; give {' or '.join(SIZES)}.")
    if not data_dir:
        # TFDS is slow to import.
        from mptrec_tf.data.sets.movielens.tfds_ratings import TfdsRatings

        return TfdsRatings(spec, size or SMALL)
    found = find_size(data_dir)
    if size not in (None, found):
        raise InputError(
            f"{data_dir} holds ml-{found}, not ml-{size}; leave the size out, or give another "
            "directory."
        )
    return _FORMATS[found](spec, data_dir)
