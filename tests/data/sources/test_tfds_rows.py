import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import Numeric
from mptrec_tf.data.sources import tfds_rows
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.tabular import Tabular, estimate_file_rows
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError

NAMES = ["ann", "bob", "eve", "kai", "zoë"]
SPEC = DatasetSpec(
    "ratings",
    (Categorical("user/name"), Categorical("kind"), Numeric("price")),
    (BinaryTask("liked", "liked", positive="1"),),
)


class Ratings(tfds.core.GeneratorBasedBuilder):
    """Ten rows to train with and three to test with."""

    VERSION = tfds.core.Version("1.0.0")
    name = "mptrec_ratings"

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "user": {"name": tf.string},
                    "kind": tfds.features.ClassLabel(names=["film", "song"]),
                    "price": tf.float32,
                    "liked": tf.bool,
                    "embedding": tfds.features.Tensor(shape=(2,), dtype=tf.float32),
                    "tags": tfds.features.Sequence(tf.string),
                    "moods": tfds.features.Sequence(tfds.features.ClassLabel(names=["a", "b"])),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(10), "test": self._generate_examples(3)}

    def _generate_examples(self, count):
        for row in range(count):
            yield (
                row,
                {
                    "user": {"name": NAMES[row % 5]},
                    "kind": row % 2,
                    "price": row / 2,
                    "liked": row % 3 == 0,
                    "embedding": [0.0, 1.0],
                    "tags": ["é"] * (row % 3),
                    "moods": [],
                },
            )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    Ratings(data_dir=str(folder)).download_and_prepare()
    return folder


@pytest.fixture
def ratings(data_dir):
    return f"tfds:{data_dir}/mptrec_ratings/1.0.0"


def rows(blocks):
    """Rows as tuples of text; TFDS writes them in an order of its own."""
    columns = ("user/name", "kind", "price", "liked")
    return [row for b in blocks for row in zip(*(b.text(c) for c in columns), strict=True)]


def test_rows_and_columns(ratings):
    source = Tabular(SPEC, {"train": [f"{ratings}#train"], "test": [f"{ratings}#test"]})
    expected = [(NAMES[i % 5], str(i % 2), f"{i / 2:g}", str(int(i % 3 == 0))) for i in range(10)]
    blocks = list(read_split(source, "train"))
    assert sorted(rows(blocks)) == sorted(expected)
    assert sorted(blocks[0].columns) == ["kind", "liked", "price", "user/name"]
    assert np.concatenate([SPEC.tasks[0].labels(b, ()) for b in blocks]).sum() == 4
    assert source.estimated_rows("train") == 10
    assert blocks[0].where(0) == f"{ratings}#train, record 1"


def test_classes_have_names(ratings):
    [shard] = tfds_rows.list_shards(f"{ratings}#test")
    assert tfds_rows.read_names(shard, "kind") == ["film", "song"]
    assert tfds_rows.read_names(f"{ratings}#train", "moods") == ["a", "b"]


def test_shards_hold_every_row_once_and_in_order(ratings, monkeypatch):
    monkeypatch.setattr(tfds_rows, "_SHARD_ROWS", 4)
    whole = rows(tfds_rows.read_rows(f"{ratings}#train[:90%]+test"))
    assert len(whole) == 9 + 3
    shards = tfds_rows.list_shards(f"{ratings}#train[:90%]+test")
    assert [shard.rpartition("#")[2] for shard in shards] == [
        "train[0:4]",
        "train[4:8]",
        "train[8:9]",
        "test[0:3]",
    ]
    assert [row for shard in shards for row in rows(tfds_rows.read_rows(shard))] == whole
    assert [estimate_file_rows(shard) for shard in shards] == [4, 4, 1, 3]
    [block] = tfds_rows.read_rows(shards[1])
    assert block.lines.tolist() == [5, 6, 7, 8]


def test_a_builder_by_name_prepares_its_data(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds, "builder", functools.partial(tfds.builder, data_dir=str(tmp_path)))
    assert tfds_rows.count_rows("tfds:mptrec_ratings#train[5:]") == 5
    made = f"{tmp_path}/mptrec_ratings/1.0.0"
    assert tfds_rows.find_directory("tfds:mptrec_ratings#test") == made
    assert len(rows(tfds_rows.read_rows("tfds:mptrec_ratings#test"))) == 3


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("tfds:movielens", r"'tfds:movielens' should be tfds:NAME#SPLIT, for example tfds:movie"),
        ("tfds:no_such_thing#train", r"cannot open the TFDS data set 'no_such_thing' \(.*give the"),
        ("tfds:/no/such/folder#train", r"cannot open the TFDS data set '/no/such/folder'"),
        ("{ratings}#dev", r"'dev' is not a split of mptrec_ratings/1.0.0, which has .*test"),
        ("{ratings}#train[:11]", r"'train\[:11\]' is not a split"),
    ],
)
def test_what_cannot_be_read(ratings, path, message):
    with pytest.raises(InputError, match=message):
        Tabular(SPEC, {"train": [path.format(ratings=ratings)]})


def test_a_feature_of_more_than_one_value_is_not_a_column(ratings):
    [block] = tfds_rows.read_rows(f"{ratings}#test")
    with pytest.raises(InputError, match=r"#test has no column 'embedding'; it has kind, liked"):
        block.text("embedding")


def test_features_of_several_values_are_lists_where_they_are_asked_for(ratings):
    lists = ("embedding", "tags")
    [block] = tfds_rows.read_rows(f"{ratings}#test", lists=lists)
    assert block.column("embedding").tolist() == [[0.0, 1.0]] * 3
    assert block.column("tags").tolist() == [["é"] * (i % 3) for i in order_of(block)]
    assert rows([block]) == rows(tfds_rows.read_rows(f"{ratings}#test"))
    bad = []
    [same] = tfds_rows.read_rows(f"{ratings}#test", bad.append, lists)
    assert (same.column("tags").tolist(), bad) == (block.column("tags").tolist(), [])


def order_of(block):
    """The number of each row, from its price."""
    return (2 * block.numbers("price")).astype(int)
