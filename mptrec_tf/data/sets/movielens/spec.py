"""The spec of MovieLens, one for ml-100k and ml-1m; imports no TensorFlow, since flags read it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.bags import Bag
from mptrec_tf.data.features.base import NUMBER, TEXT, TEXTS
from mptrec_tf.data.features.categorical import Categorical
from mptrec_tf.data.features.numeric import MEAN, Numeric
from mptrec_tf.data.sets.data_set import DataSet, Files, Option, Origin, check_tasks
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.binary import BinaryTask
from mptrec_tf.errors import InputError
from mptrec_tf.storage.file_systems import get_file_system, is_remote

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Source

NAME = "movielens"
USER, MOVIE, RATING, TIME = RATING_COLUMNS = ("user_id", "movie_id", "rating", "timestamp")
GENDER, AGE, OCCUPATION, ZIP = USER_COLUMNS = ("gender", "age", "occupation", "zip_code")
TITLE, YEAR, GENRES = MOVIE_COLUMNS = ("title", "year", "genres")
COLUMNS = (*RATING_COLUMNS, *USER_COLUMNS, *MOVIE_COLUMNS)
BETWEEN = "|"  # genres
SMALL, LARGE = SIZES = ("100k", "1m")
# By size, the file with its ratings, and a glob of all of its files.
RATINGS = {SMALL: "u.data", LARGE: "ratings.dat"}
_GLOBS = {SMALL: "u.*", LARGE: "*.dat*"}

_STARS = ("1", "2", "3", "4", "5")


def _task(name: str, *stars: str, **others: Any) -> BinaryTask:
    rest = tuple(star for star in _STARS if star not in stars)
    return BinaryTask(name, RATING, positive=stars, negative=rest, **others)


TASKS = {
    task.name: task
    for task in (
        _task("like", "4", "5"),
        _task("love", "5"),
        _task("dislike", "1", "2"),
        # A market: the same question, asked of students alone.
        _task("like_students", "4", "5", where={OCCUPATION: "student"}),
    )
}
DEFAULT_TASKS = ("like", "love", "dislike")
ORIGIN = Origin(
    title="MovieLens",
    homepage="https://grouplens.org/datasets/movielens/",
    licence="GroupLens's terms of use",
    citation=(
        "Harper and Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015."
    ),
    file=RATINGS[SMALL],
    archive="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
)


def make_spec(tasks: Sequence[str] = DEFAULT_TASKS) -> DatasetSpec:
    """Returns the spec, which is the same for both sizes.

    Raises:
      InputError: for an unknown task.
    """
    check_tasks(NAME, tasks, list(TASKS))
    categories = (USER, MOVIE, GENDER, AGE, OCCUPATION)
    return DatasetSpec(
        name=NAME,
        features=(
            *map(Categorical, categories),
            Numeric(YEAR, "standard", missing=MEAN),
            Bag(GENRES, separator=BETWEEN),
        ),
        tasks=tuple(TASKS[name] for name in tasks),
        user_id=USER,
    )


def find_size(data_dir: str) -> str:
    """Returns the size of the original files in a directory, by the name of their ratings.

    Raises:
      InputError: if the files of neither size are there, or those of both.
    """
    directory = data_dir.rstrip("/")
    exists = get_file_system(directory).exists
    found = [
        size
        for size, name in RATINGS.items()
        if any(exists(f"{directory}/{of}") for of in (name, f"{name}.gz"))
    ]
    if len(found) == 1:
        return found[0]
    names = [f"{name} (ml-{size})" for size, name in RATINGS.items()]
    what = "holds both" if found else "holds neither"
    raise InputError(
        f"{directory} {what} {(' and ' if found else ' nor ').join(names)}; give the directory of "
        "the original files of one size."
    )


def _open(tasks: Sequence[str], data_dir: str | None = None, size: str | None = None) -> "Source":
    from mptrec_tf.data.sets.movielens.rows import MovieLens

    return MovieLens(data_dir, size, tasks)


def _files(options: Mapping[str, Any]) -> Files | None:
    data_dir = options.get("data_dir")
    if not data_dir:
        return None
    # A pipeline is compiled where there may be no network.
    pattern = "*" if is_remote(data_dir) else _GLOBS[find_size(data_dir)]
    return data_dir, dict.fromkeys(("train", "validation", "test"), pattern)


MOVIELENS = DataSet(
    NAME,
    make_spec,
    _open,
    DEFAULT_TASKS,
    new_task="dislike",
    options={
        "data_dir": Option(
            str,
            "directory of the original files, of ml-100k or ml-1m; without it they come over "
            "TensorFlow Datasets",
            is_directory=True,
        ),
        "size": Option(
            str,
            "without --data_dir, which of TensorFlow Datasets' data to read: 100k, the default, "
            "or 1m",
            flag="movielens_size",
        ),
    },
    files=_files,
    origin=ORIGIN,
    columns={**dict.fromkeys(COLUMNS, TEXT), RATING: NUMBER, GENRES: TEXTS},
    sample="mptrec_tf.data.sets.movielens.sample:write_sample",
)
