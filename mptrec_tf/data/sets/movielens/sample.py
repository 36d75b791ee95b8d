"""Writes files of the shape of MovieLens, with planted structure.

Up to 100,000 rows are written as ml-100k, more as ml-1m, with about as many rows for a user and a
movie as there. Unlike there, a user may rate a movie twice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.sets.movielens import meanings
from mptrec_tf.data.sets.planted import Planted

_MOST_SMALL = 100_000
_ROWS_OF_USER, _ROWS_OF_MOVIE = {True: 106, False: 165}, {True: 60, False: 258}  # if it is small
_MOST_USERS, _MOST_MOVIES = 1_000_000, 100_000
_LIKING = "like"
_EDGES = (-2.6, -1.6, -0.5, 1.0)  # between the stars
# First and last second.
_TIMES = {True: (874_724_710, 893_286_638), False: (956_703_932, 1_046_454_590)}
# In the order of ml-100k's columns. ml-1m has all but the first.
_GENRES = (
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance"),
    *("Sci-Fi", "Thriller", "War", "Western"),
)
_OCCUPATIONS = (
    *("administrator", "artist", "doctor", "educator", "engineer", "entertainment", "executive"),
    *("healthcare", "homemaker", "lawyer", "librarian", "marketing", "none", "other"),
    *("programmer", "retired", "salesman", "scientist", "student", "technician", "writer"),
)
_STUDENT = {True: _OCCUPATIONS.index("student"), False: 4}
_STUDENTS = 0.2  # of the users
_TITLES = ("Les Misérables", "Star Wars: Episode", "À bout de souffle", "Casino", "Das Boot, Part")
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_OF_USERS, _OF_MOVIES, _OF_ROWS = 1, 2, 3  # keys of generators


def write_sample(directory: str, rows: int, seed: int, on_rows: Callable[[int], Any]) -> None:
    """Writes the files of one size; see `DataSet.write_sample`."""
    write_ratings(directory, rows, seed, on_rows, small=rows <= _MOST_SMALL)


def write_ratings(
    directory: str, rows: int, seed: int, on_rows: Callable[[int], Any], small: bool
) -> None:
    """Writes the files of ml-100k if it is `small`, else those of ml-1m."""
    users = min(max(rows // _ROWS_OF_USER[small], 2), _MOST_USERS)
    movies = min(max(rows // _ROWS_OF_MOVIE[small], 2), _MOST_MOVIES)
    planted = Planted(seed, users, movies, {_LIKING: 0.0})
    ratings = _make_ratings(planted, rows, small, on_rows)
    if small:
        files = {
            "u.genre": [f"{name}|{number}\n" for number, name in enumerate(_GENRES)] + ["\n"],
            "u.user": _make_users(planted, small),
            "u.item": _make_movies_small(planted),
            "u.data": ratings,
        }
    else:
        files = {
            "users.dat": _make_users(planted, small),
            "movies.dat": _make_movies_large(planted),
            "ratings.dat": ratings,
        }
    for name, lines in files.items():
        with open(f"{directory}/{name}", "w", encoding="latin-1", newline="") as file:
            file.writelines(lines)


def _join(separator: str, columns: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yields lines of columns."""
    return (separator.join(map(str, row)) + "\n" for row in zip(*columns, strict=True))


def _make_ratings(
    planted: Planted, rows: int, small: bool, on_rows: Callable[[int], Any]
) -> Iterator[str]:
    begin, end = _TIMES[small]
    for drawn in planted.draw(rows):
        rng = planted.rng(_OF_ROWS, drawn.first)
        liking = drawn.logits[_LIKING] + rng.logistic(size=len(drawn))
        stars = 1 + np.searchsorted(_EDGES, liking)
        times = rng.integers(begin, end + 1, size=len(drawn))
        columns = (1 + drawn.user, 1 + drawn.item, stars, times)
        yield from _join("\t" if small else "::", [of.tolist() for of in columns])
        on_rows(len(drawn))


def _make_users(planted: Planted, small: bool) -> Iterator[str]:
    """Yields lines of users, whose attributes follow from what they like."""
    occupations = len(_OCCUPATIONS if small else meanings.OCCUPATIONS)
    gender, age = planted.user_groups(2, 1), planted.user_groups(len(meanings.AGES), 2)
    occupation = planted.user_groups(occupations, 3)
    for first in range(0, len(gender), planted.CHUNK):
        of = np.arange(first, min(first + planted.CHUNK, len(gender)))
        rng = planted.rng(_OF_USERS, first)
        codes = np.where(rng.random(len(of)) < _STUDENTS, _STUDENT[small], occupation[of])
        years = np.array(meanings.AGES)[age[of]]
        if small:
            years = np.maximum(years, 7) + rng.integers(5, size=len(of))
        zips = [f"{code:05d}" for code in rng.integers(100_000, size=len(of)).tolist()]
        ids, genders = (1 + of).tolist(), np.array(["M", "F"])[gender[of]].tolist()
        if small:
            words = np.array(_OCCUPATIONS)[codes].tolist()
            yield from _join("|", (ids, years.tolist(), genders, words, zips))
        else:
            yield from _join("::", (ids, genders, years.tolist(), codes.tolist(), zips))


def _draw_movies(planted: Planted) -> tuple[list[str], np.ndarray, list[tuple[int, ...]]]:
    """Returns titles, years and genres (places in `_GENRES`) of all movies."""
    first, second = (planted.item_groups(len(_GENRES) - 1, salt) for salt in (4, 5))
    years = (
        1995 - 3 * planted.item_groups(20, 6) + planted.rng(_OF_MOVIES).integers(4, size=len(first))
    )
    titles = [f"{_TITLES[n % len(_TITLES)]} {n} ({year})" for n, year in enumerate(years.tolist())]
    genres = [
        tuple(sorted({1 + a, 1 + b})) for a, b in zip(first.tolist(), second.tolist(), strict=True)
    ]
    return titles, years, genres


def _make_movies_small(planted: Planted) -> Iterator[str]:
    """Yields lines of movies; one is unknown, as in the original."""
    titles, years, genres = _draw_movies(planted)
    for n, (title, year, of) in enumerate(zip(titles, years.tolist(), genres, strict=True)):
        date, url = f"01-{_MONTHS[n % 12]}-{year}", f"http://us.imdb.com/M/title-exact?{n}"
        if n == 1:
            title, date, url, of = "unknown", "", "", (0,)
        flags = ("1" if place in of else "0" for place in range(len(_GENRES)))
        yield "|".join((str(n + 1), title, date, "", url, *flags)) + "\n"


def _make_movies_large(planted: Planted) -> Iterator[str]:
    titles, _, genres = _draw_movies(planted)
    for n, (title, of) in enumerate(zip(titles, genres, strict=True)):
        yield f"{n + 1}::{title}::{'|'.join(_GENRES[place] for place in of)}\n"
