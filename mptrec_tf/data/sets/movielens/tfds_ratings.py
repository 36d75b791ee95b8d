"""MovieLens over TensorFlow Datasets, which downloads and prepares it, with the same columns."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import tensorflow_datasets as tfds

from mptrec_tf.data.sets.downloads import check_reachable
from mptrec_tf.data.sets.movielens import meanings
from mptrec_tf.data.sets.movielens.spec import BETWEEN, ORIGIN
from mptrec_tf.data.sources import tfds_rows
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec

_GENRES = "movie_genres"
_TIME = "timestamp"


class TfdsRatings:
    """The ratings of TFDS's own `movielens/100k-ratings` or `1m-ratings`.

    Their users and movies are in each row; what is not the same as in the original files is changed
    back by `complete`.

    Args:
      spec: The data set's spec.
      size: "100k" or "1m".

    Raises:
      InputError: if they cannot be downloaded or prepared.
    """

    def __init__(self, spec: DatasetSpec, size: str):
        self.spec = spec
        name = f"movielens/{size}-ratings"
        builder = tfds.builder(name)
        if not builder.is_prepared():
            check_reachable(ORIGIN, builder.builder_config.download_url)
        path = f"tfds:{name}#train"
        self._shards = tfds_rows.list_shards(path)
        self._genres = meanings.to_genres(tfds_rows.read_names(path, _GENRES))
        self._rows = tfds_rows.count_rows(path)

    def shards(self, split: str) -> Sequence[str]:
        """Returns runs of records, all of them."""
        del split
        return self._shards

    def read(self, shard: str) -> Iterator[Block]:
        """Yields rows with the columns of TFDS, the time among them by its own name."""
        return tfds_rows.read_rows(shard, lists=(_GENRES,))

    def estimated_rows(self, split: str) -> int:
        """Returns the number of all ratings."""
        del split
        return self._rows

    def complete(self, block: Block) -> Block:
        """Returns rows with the columns of the original files."""
        genres = np.array(self._genres, object)
        columns = {
            "user_id": block.text("user_id"),
            "movie_id": block.text("movie_id"),
            "rating": block.text("user_rating"),
            _TIME: block.text(_TIME),
            "gender": ["M" if male else "F" for male in block.column("user_gender")],
            "age": block.text("bucketized_user_age"),
            "occupation": [meanings.to_occupation(n) for n in block.text("user_occupation_text")],
            "zip_code": block.text("user_zip_code"),
            "title": block.text("movie_title"),
            "genres": [BETWEEN.join(genres[list(of)]) for of in block.column(_GENRES)],
        }
        arrow = {name: pa.array(values, pa.large_string()) for name, values in columns.items()}
        arrow["year"] = meanings.find_years(arrow["title"])
        return Block.from_arrow(arrow, block.source, block.lines, unit=block.unit)
