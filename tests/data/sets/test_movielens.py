import gzip
import io
import pickle
import zipfile

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mptrec_tf.data.canonical import MISSING_VALUES
from mptrec_tf.data.sets import tfds_builders
from mptrec_tf.data.sets.movielens.meanings import OCCUPATIONS, to_occupation
from mptrec_tf.data.sets.movielens.rows import MovieLens
from mptrec_tf.data.sets.movielens.spec import MOVIELENS, ORIGIN, TASKS, make_spec
from mptrec_tf.data.sets.registry import open_source
from mptrec_tf.data.sources.block import read_split
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError

BIG = str(2**53 + 1)  # no float64
# Users, movies, and ratings in no order of time: both sizes can say these alike.
USERS = [
    ("1", 24, "M", "student", "85711"),
    ("2", 7, "F", "educator", "V3N4P"),
    (BIG, 60, "M", "other", "05201"),
]
AGES = {"1": "18", "2": "1", BIG: "56"}
CODES = {"student": 4, "educator": 1, "other": 0}
MOVIES = [
    ("1", "Toy Story (1995)", ["Animation", "Children's", "Comedy"]),
    ("2", "Misérables, Les (1995)", ["Drama"]),
    ("3952", "2001: A Space Odyssey (1968)", ["Drama", "Sci-Fi"]),
]
RATINGS = [
    *[("1", "1", 5, 880_000_009), ("2", "2", 3, 880_000_001), (BIG, "3952", 4, 880_000_002)],
    *[("1", "2", 2, 880_000_000), ("2", "3952", 1, 880_000_003), (BIG, "1", 4, 880_000_008)],
    *[("1", "3952", 4, 880_000_004), ("2", "1", 4, 880_000_005), (BIG, "2", 5, 880_000_006)],
    ("2", "1", 2, 880_000_007),
]
GENRES = (
    "unknown Action Adventure Animation Children's Comedy Crime Documentary Drama Fantasy "
    "Film-Noir Horror Musical Mystery Romance Sci-Fi Thriller War Western"
).split()


def flags_of(genres):
    return [int(genre in genres) for genre in GENRES]


def lines_100k():
    return {
        "u.data": ["\t".join(map(str, row)) for row in RATINGS],
        "u.user": ["|".join(map(str, row)) for row in USERS],
        "u.item": [
            "|".join(
                map(str, (key, title, "01-Jan-1995", "", "http://us.imdb.com/M/x", *flags_of(of)))
            )
            for key, title, of in MOVIES
        ],
        "u.genre": [*(f"{genre}|{number}" for number, genre in enumerate(GENRES)), ""],
    }


def lines_1m():
    return {
        "ratings.dat": ["::".join(map(str, row)) for row in RATINGS],
        "users.dat": [
            "::".join((key, gender, AGES[key], str(CODES[occupation]), zip_code))
            for key, _, gender, occupation, zip_code in USERS
        ],
        "movies.dat": [f"{key}::{title}::{'|'.join(of)}" for key, title, of in MOVIES],
    }


LINES = {"100k": lines_100k, "1m": lines_1m}


def write(folder, size, **changed):
    """Writes the files of a size; `changed` has other lines by the name's end."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in LINES[size]().items():
        lines = next((of for end, of in changed.items() if end in name), lines)
        content = "".join(f"{line}\n" for line in lines)
        (folder / name).write_bytes(content.encode("latin-1"))
    return str(folder)


def read(source, split):
    """Rows as dicts, in the order of time."""
    rows = []
    for block in read_split(source, split):
        columns = {name: block.text(name).tolist() for name in block.columns}
        rows += [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
    return sorted(rows, key=lambda row: row["timestamp"])


def read_all(source):
    return {split: read(source, split) for split in SPLITS}


def test_the_spec():
    assert make_spec().task_names == ("like", "love", "dislike")
    spec = make_spec(tuple(TASKS))
    assert spec.user_id == "user_id"
    assert not {"rating", "timestamp"} & set(spec.feature_names)
    assert [task.describe_rows() for task in spec.tasks] == ["", "", "", "occupation is student"]
    with pytest.raises(InputError, match="unknown task 'hate': data set 'movielens' has like, lo"):
        make_spec(["hate"])


@pytest.mark.parametrize("size", LINES)
def test_ratings_are_split_by_time_and_joined(tmp_path, size):
    rows = read_all(MovieLens(write(tmp_path, size)))
    times = {
        split: [int(row["timestamp"]) - 880_000_000 for row in of] for split, of in rows.items()
    }
    assert times == {"train": list(range(8)), "validation": [8], "test": [9]}
    assert rows["train"][2] == {
        "user_id": BIG,
        "movie_id": "3952",
        "rating": "4",
        "timestamp": "880000002",
        "gender": "M",
        "age": "56",
        "occupation": "other",
        "zip_code": "05201",
        "title": "2001: A Space Odyssey (1968)",
        "year": "1968",
        "genres": "Drama|Sci-Fi",
    }
    assert rows["train"][0]["title"] == "Misérables, Les (1995)"
    assert [rows["test"][0][name] for name in ("age", "occupation")] == ["18", "student"]
    assert rows["train"][1]["zip_code"] == "V3N4P"


def test_both_sizes_have_the_same_columns(tmp_path):
    small, large = (MovieLens(write(tmp_path / size, size)) for size in LINES)
    assert read_all(small) == read_all(large)
    assert set(read(small, "train")[0]) == set(MOVIELENS.columns)
    assert small.spec == large.spec
    assert small.describe_split()["text"] == (
        "0.8 / 0.1 / 0.1 by timestamp: validation from 880000008, test from 880000009"
    )
    assert [small.estimated_rows(split) for split in (*SPLITS, "trial")] == [8, 1, 1, 0]
    assert small.shards("trial") == []


def test_labels(tmp_path):
    source = MovieLens(write(tmp_path, "100k"), tasks=tuple(TASKS))
    [block] = read_split(source, "train")
    ratings = block.text("rating").tolist()
    assert ratings == ["3", "4", "2", "1", "4", "4", "5", "2"]
    labels = {name: task.labels(block, MISSING_VALUES).tolist() for name, task in TASKS.items()}
    assert labels["like"] == [0, 1, 0, 0, 1, 1, 1, 0]
    assert labels["love"] == [0, 0, 0, 0, 0, 0, 1, 0]
    assert labels["dislike"] == [0, 0, 1, 1, 0, 0, 0, 1]
    # The first user is the only student.
    np.testing.assert_array_equal(
        labels["like_students"], [np.nan, np.nan, 0, np.nan, 1, np.nan, np.nan, np.nan]
    )


def test_occupations_are_those_of_ml_100k_as_far_as_they_are_the_same():
    words = [to_occupation(name) for name in OCCUPATIONS]
    assert [words[code] for code in (0, 1, 3, 4, 7, 10, 20)] == (
        ["other", "educator", "administrator", "student", "executive", "student", "writer"]
    )
    assert [words[code] for code in (5, 6, 8, 14, 17)] == [
        OCCUPATIONS[c] for c in (5, 6, 8, 14, 17)
    ]


def test_titles_of_ml_1m_may_hold_colons(tmp_path):
    titles = ["7::Face/Off:::Action", "8::A::B (1990)::Drama", "9::None at all::"]
    lines = {"movies": titles, "ratings": [f"1::{m}::5::{m}" for m in (7, 8, 9)]}
    rows = [
        row for of in read_all(MovieLens(write(tmp_path, "1m", **lines))).values() for row in of
    ]
    assert [(row["title"], row["year"], row["genres"]) for row in rows] == [
        ("Face/Off:", "", "Action"),
        ("A::B (1990)", "1990", "Drama"),
        ("None at all", "", ""),
    ]


@pytest.mark.parametrize("size", LINES)
def test_packed_files_and_workers(tmp_path, size):
    write(tmp_path, size)
    for path in list(tmp_path.iterdir()):
        with gzip.open(f"{path}.gz", "wb") as file:
            file.write(path.read_bytes())
        path.unlink()
    source = MovieLens(str(tmp_path))
    rows = read_all(source)
    assert len(rows["train"]) == 8
    assert source._ratings._tables
    other = pickle.loads(pickle.dumps(source))
    assert not other._ratings._tables
    assert read_all(other) == rows
    directory, patterns = MOVIELENS.files({"data_dir": str(tmp_path)})
    assert directory == str(tmp_path)
    assert set(patterns) == set(SPLITS)
    for pattern in patterns.values():
        assert {path.name for path in tmp_path.glob(pattern)} == {
            p.name for p in tmp_path.iterdir()
        }
    assert MOVIELENS.files({}) is None
    remote = MOVIELENS.files({"data_dir": "gs://bucket/ml"})
    assert remote == ("gs://bucket/ml", dict.fromkeys(SPLITS, "*"))


@pytest.mark.parametrize("size", LINES)
def test_files_that_were_saved_as_utf_8_with_a_mark(tmp_path, size):
    rows = read_all(MovieLens(write(tmp_path, size)))
    for path in tmp_path.iterdir():
        path.write_text(path.read_text(encoding="latin-1"), encoding="utf-8-sig")
    assert read_all(MovieLens(str(tmp_path))) == rows


@pytest.mark.parametrize(
    ("size", "changed", "message"),
    [
        (
            "100k",
            {"u.data": ["1\t1\t5\t1", "1\t1\t5"]},
            r"u.data, line 2: 3 columns, but the header in the spec has 4",
        ),
        (
            "100k",
            {"u.data": ["1\t1\t5\tnow"]},
            r"u.data, line 1, column 'timestamp': 'now' is not a t",
        ),
        (
            "100k",
            {"u.data": ["1\t1\t5\t1", "1\t1\t5\t1"]},
            r"u.data cannot be split by time: .* 1 diff",
        ),
        (
            "100k",
            {"user": ["2|7|F|other|1"]},
            rf"u.data, line 3: .*u.user has no user_id '{BIG}'; both files",
        ),
        (
            "100k",
            {"user": ["1|7|F|other|1", "1|8|F|other|1"]},
            r"u.user, line 2: user_id '1' comes twice, also in .*u.user, line 1; remove one",
        ),
        (
            "100k",
            {"user": ["1|old|F|other|1"]},
            r"u.user, line 1, column 'age': 'old' is not a finite number",
        ),
        ("100k", {"item": ["1|Toy Story (1995)|||"]}, r"u.item, line 1: 5 columns, but .* has 24"),
        (
            "100k",
            {"item": ["1|A|||" + "|0" * 18 + "|2"]},
            r"u.item, line 1, column 'Western': '2' is neither 0 nor 1; get the file again",
        ),
        (
            "100k",
            {"genre": ["unknown|0", "Action|2"]},
            r"u.genre does not number its genres from 0 on",
        ),
        (
            "1m",
            {"ratings": ["1::1::5::1", "1::1::5:1"]},
            r"ratings.dat, line 2: 6 columns, but the header in the spec has 7",
        ),
        (
            "1m",
            {"ratings": ["1::1::5::1", "1:1:1::5::1"]},
            r"ratings.dat, line 2: the row is not user_id::movie_id::rating::timestamp; fix it",
        ),
        (
            "1m",
            {"users": ["1::M::18::21::1"]},
            r"users.dat, line 1: '21' is no occupation; codes are 0 to 20",
        ),
        (
            "1m",
            {"movies": ["1::A::Drama", "2:B"]},
            r"movies.dat, line 2: the row is not movie_id::title",
        ),
        (
            "1m",
            {"movies": ["1::A::Drama"]},
            r"ratings.dat, line 2: .*movies.dat has no movie_id '2'",
        ),
    ],
)
def test_malformed_files(tmp_path, size, changed, message):
    folder = write(tmp_path, size, **changed)
    with pytest.raises(InputError, match=message):
        read_all(MovieLens(folder))


def test_files_of_neither_size_or_both(tmp_path):
    message = r"holds neither u.data \(ml-100k\) nor ratings.dat \(ml-1m\); give the directory of"
    with pytest.raises(InputError, match=message):
        MovieLens(str(tmp_path))
    write(tmp_path, "100k")
    with pytest.raises(InputError, match="holds ml-100k, not ml-1m; leave the size out"):
        open_source("movielens", data_dir=str(tmp_path), size="1m")
    assert open_source("movielens", data_dir=str(tmp_path), size="100k").spec.name == "movielens"
    (tmp_path / "u.item").unlink()
    with pytest.raises(
        InputError, match=r"holds neither u.item nor u.item.gz; give the directory of"
    ):
        MovieLens(str(tmp_path))
    write(tmp_path, "1m")
    with pytest.raises(
        InputError, match=r"holds both u.data \(ml-100k\) and ratings.dat \(ml-1m\)"
    ):
        MovieLens(str(tmp_path))
    with pytest.raises(
        InputError, match="there is no MovieLens of size '10m' here; give 100k or 1m"
    ):
        MovieLens(None, "10m")


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Serves archives without a network; TFDS prepares its own data in a directory of the test."""
    urls = []

    def extract(self, url):
        urls.append(url)
        return str(tmp_path / "archives")

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", extract)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO())
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path / "tfds"))
    return urls


@pytest.mark.parametrize("size", LINES)
def test_over_tfds_the_rows_are_the_same(tmp_path, served, size):
    folder = write(tmp_path / "archives" / f"ml-{size}", size)
    source = open_source("movielens", size=size)
    assert read_all(source) == read_all(MovieLens(folder))
    assert source.describe_split()["rule"]["cuts"] == [880_000_008, 880_000_009]
    assert source.estimated_rows("train") == 8
    # What is prepared is not downloaded again.
    assert read_all(pickle.loads(pickle.dumps(MovieLens(size=size)))) == read_all(source)
    assert served == [f"https://files.grouplens.org/datasets/movielens/ml-{size}.zip"]


def test_over_tfds_by_default_it_is_the_small_one(tmp_path, served):
    write(tmp_path / "archives" / "ml-100k", "100k")
    assert len(read(open_source("movielens"), "train")) == 8


def test_without_a_network(tmp_path, served, monkeypatch):
    def reject(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr("urllib.request.urlopen", reject)
    message = (
        r"cannot download MovieLens from https://files.*ml-1m.zip \(OSError\); download it els"
    )
    with pytest.raises(InputError, match=message):
        MovieLens(size="1m")
    assert served == []


def test_the_builder_reads_the_same_rows(tmp_path, monkeypatch):
    folder = write(tmp_path / "ml-100k", "100k")
    with zipfile.ZipFile(tmp_path / "ml-100k.zip", "w") as archive:
        for path in (tmp_path / "ml-100k").iterdir():
            archive.write(path, f"ml-100k/{path.name}")
    urls = []

    def download(self, url):
        urls.append(url)
        return tmp_path / "ml-100k.zip"

    monkeypatch.setattr(tfds.download.DownloadManager, "download", download)
    read_by = {}
    for how in ({"original_files": folder}, {}):
        builder = tfds_builders.MovielensRatings(data_dir=str(tmp_path / str(len(how))), **how)
        builder.download_and_prepare()
        assert {s: of.num_examples for s, of in builder.info.splits.items()} == {
            "train": 8,
            "validation": 1,
            "test": 1,
        }
        [row] = tfds.as_numpy(builder.as_dataset(split="test"))
        read_by[len(how)] = {n: v.tolist() if n == "genres" else v for n, v in row.items()}
    assert urls == [ORIGIN.archive]
    assert read_by[0] == read_by[1]
    assert read_by[0]["genres"] == [b"Animation", b"Children's", b"Comedy"]
    assert read_by[0]["rating"] == np.float32(5)
    assert read_by[0]["timestamp"] == b"880000009"
    assert set(read_by[0]) == set(MOVIELENS.columns)
