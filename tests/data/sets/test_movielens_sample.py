"""A sample of MovieLens's shape: its files, what is planted in them, and that they are prepared."""

import numpy as np
import pytest

from mptrec_tf.data.prepare import prepare
from mptrec_tf.data.prepared import PreparedData
from mptrec_tf.data.sets.movielens import sample
from mptrec_tf.data.sets.movielens.rows import MovieLens
from mptrec_tf.data.sets.movielens.spec import MOVIELENS
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.splits import SPLITS

FILES = {
    True: ["u.data", "u.genre", "u.item", "u.user"],
    False: ["movies.dat", "ratings.dat", "users.dat"],
}


def write(folder, rows, seed=1, small=True):
    folder.mkdir()
    counted = []
    sample.write_ratings(str(folder), rows, seed, counted.append, small)
    assert sum(counted) == rows
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read(folder, column):
    source = MovieLens(str(folder))
    blocks = [block for split in SPLITS for block in read_split(source, split)]
    return np.concatenate([block.text(column) for block in blocks])


@pytest.mark.parametrize("small", [True, False])
def test_the_same_seed_gives_the_same_bytes(tmp_path, small):
    first = write(tmp_path / "a", 3000, small=small)
    assert list(first) == FILES[small]
    assert write(tmp_path / "b", 3000, small=small) == first
    other = write(tmp_path / "c", 3000, seed=2, small=small)
    assert all(other[name] != of for name, of in first.items() if name != "u.genre")
    ratings = read(tmp_path / "a", "rating")
    assert len(ratings) == 3000
    assert set(ratings) == set("12345")
    assert 0.05 < np.mean(read(tmp_path / "a", "occupation") == "student") < 0.6
    assert any("é" in title for title in read(tmp_path / "a", "title"))


def test_the_number_of_rows_decides_which_size_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(sample, "_MOST_SMALL", 500)
    for rows, small in ((500, True), (501, False)):
        folder = tmp_path / str(rows)
        folder.mkdir()
        MOVIELENS.write_sample(str(folder), rows, 1, lambda rows: None)
        assert sorted(path.name for path in folder.iterdir()) == FILES[small]


def test_ratings_follow_from_users_and_genres(tmp_path):
    write(tmp_path / "a", 6000)
    ratings = read(tmp_path / "a", "rating").astype(int)
    keys = read(tmp_path / "a", "user_id") + "/" + read(tmp_path / "a", "genres")
    # The mean of odd rows tells those of even rows with the same user and genres.
    means = {key: ratings[1::2][keys[1::2] == key].mean() for key in set(keys[1::2])}
    known = np.array([key in means for key in keys[::2]])
    expected = np.array([means.get(key, 0.0) for key in keys[::2]])[known]
    assert np.corrcoef(expected, ratings[::2][known])[0, 1] > 0.15  # by chance 0.02


def test_a_sample_is_prepared(tmp_path):
    write(tmp_path / "a", 1000)
    tasks = ("like", "love", "dislike", "like_students")
    prepare(MovieLens(str(tmp_path / "a"), tasks=tasks), str(tmp_path / "data"))
    data = PreparedData(str(tmp_path / "data"))
    assert {split: of["rows"] for split, of in data.splits.items()} == {
        "train": 800,
        "validation": 100,
        "test": 100,
    }
    of_tasks = data.splits["train"]["tasks"]
    assert 0 < of_tasks["like_students"]["rows"] < 600
    assert of_tasks["love"]["positives"] < of_tasks["like"]["positives"] < 600
    assert data.split["rule"]["by"] == "time:timestamp"
