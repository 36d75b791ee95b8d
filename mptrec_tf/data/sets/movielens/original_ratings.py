"""The original files of both sizes: ratings, which are joined with their users and movies.

    ml-100k   u.data by tabs; u.user, u.item (a column for each genre of u.genre) by |
    ml-1m     ratings.dat, users.dat, movies.dat by ::

None of them has a header, and titles are Latin-1.
"""

import abc
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mptrec_tf.data.sets.movielens import meanings
from mptrec_tf.data.sets.movielens.spec import (
    AGE,
    BETWEEN,
    COLUMNS,
    GENDER,
    GENRES,
    LARGE,
    MOVIE,
    MOVIE_COLUMNS,
    OCCUPATION,
    ORIGIN,
    RATING_COLUMNS,
    RATINGS,
    SMALL,
    TITLE,
    USER,
    USER_COLUMNS,
    YEAR,
    ZIP,
)
from mptrec_tf.data.sets.original_files import find_original
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.csv_rows import read_csv
from mptrec_tf.data.sources.lookup import LookupTable, read_text
from mptrec_tf.data.sources.size import estimate_rows
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.text_format import OriginalFormat
from mptrec_tf.errors import InputError

_LINE = "line"
_LATIN = "latin-1"
# The genres are after the last colons.
_MOVIE = f"^(?P<{MOVIE}>[^:]*)::(?P<{TITLE}>.*)::(?P<{GENRES}>[^:]*)$"


class OriginalRatings(abc.ABC):
    """Ratings, without the columns of their users and movies until these are asked for.

    Args:
      spec: The data set's spec.
      data_dir: Directory of the files, plain or .gz.

    Raises:
      InputError: if files are missing.
    """

    ratings: str  # names of files
    others: tuple[str, ...]

    def __init__(self, spec: DatasetSpec, data_dir: str):
        self.spec = spec
        names = (self.ratings, *self.others)
        self._paths = {name: find_original(ORIGIN, data_dir, name) for name in names}
        self._tables: tuple[tuple[LookupTable, str], ...] = ()

    def __getstate__(self) -> dict:
        """Leaves out the tables, which each worker reads itself."""
        return self.__dict__ | {"_tables": ()}

    def shards(self, split: str) -> Sequence[str]:
        """Returns the file of all ratings."""
        del split
        return [self._paths[self.ratings]]

    @abc.abstractmethod
    def read(self, shard: str) -> Iterator[Block]:
        """Yields ratings with their `RATING_COLUMNS`.

        Raises:
          InputError: for a malformed row, with file and line.
        """

    @abc.abstractmethod
    def read_users(self) -> Iterator[Block]:
        """Yields users with their `USER_COLUMNS`; raises as `read` does."""

    @abc.abstractmethod
    def read_movies(self) -> Iterator[Block]:
        """Yields movies with their title and genres; raises as `read` does."""

    def estimated_rows(self, split: str) -> int:
        """Returns an estimate of the number of all ratings."""
        del split
        return estimate_rows(self._paths[self.ratings])

    def complete(self, block: Block) -> Block:
        """Returns ratings with all `COLUMNS`.

        Raises:
          InputError: for a malformed user or movie, or one that is missing or comes twice, with
            file and line.
        """
        if not self._tables:
            self._tables = (
                (self._make_table(USER, self.read_users(), USER_COLUMNS), USER),
                (self._make_table(MOVIE, map(_add_year, self.read_movies()), MOVIE_COLUMNS), MOVIE),
            )
        for table, key in self._tables:
            block = table.join(block, key)
        columns = {name: block.arrow[name] for name in COLUMNS}
        return Block.from_arrow(columns, block.source, block.lines)

    def _make_table(self, key: str, blocks: Iterator[Block], columns: Sequence[str]) -> LookupTable:
        name = self.others[0 if key == USER else 1]
        return LookupTable(blocks, key, {of: of for of in columns}, self._paths[name])


def _add_year(block: Block) -> Block:
    return block.with_text({YEAR: meanings.find_years(read_text(block, TITLE))})


def _to_text(values: Sequence[str]) -> pa.Array:
    return pa.array(values, pa.large_string())


class Ratings100k(OriginalRatings):
    """ml-100k."""

    ratings = RATINGS[SMALL]
    others = ("u.user", "u.item", "u.genre")

    def read(self, shard: str) -> Iterator[Block]:
        """See the base class."""
        return read_csv(shard, OriginalFormat(delimiter="\t", header=RATING_COLUMNS, quote="none"))

    def read_users(self) -> Iterator[Block]:
        """See the base class; an age becomes that of its range."""
        header = (USER, AGE, GENDER, OCCUPATION, ZIP)
        for block in self._read_bars("u.user", header):
            ages = meanings.to_age_ranges(block.numbers(AGE))
            yield block.with_text({AGE: _to_text(ages)})

    def read_movies(self) -> Iterator[Block]:
        """See the base class; the columns of genres become one."""
        genres = self._read_genres()
        dates = ("release_date", "video_release_date", "imdb_url")
        for block in self._read_bars("u.item", (MOVIE, TITLE, *dates, *genres)):
            flags = np.stack([_read_flags(block, genre) for genre in genres], axis=1)
            names = np.array(genres, object)
            joined = [BETWEEN.join(names[of_movie]) for of_movie in flags]
            yield block.with_text({GENRES: _to_text(joined)})

    def _read_bars(self, name: str, header: Sequence[str]) -> Iterator[Block]:
        text_format = OriginalFormat(
            delimiter="|", header=tuple(header), quote="none", encoding=_LATIN
        )
        return filter(len, read_csv(self._paths[name], text_format))

    def _read_genres(self) -> list[str]:
        """Returns the genres in the order of their columns."""
        numbered = {}
        for block in self._read_bars("u.genre", ("genre", "number")):
            numbered |= dict(zip(block.text("number"), block.text("genre"), strict=True))
        names = [numbered.get(str(number)) for number in range(len(numbered))]
        if not names or None in names:
            raise InputError(
                f"{self._paths['u.genre']} does not number its genres from 0 on; get the file "
                "again."
            )
        return names


def _read_flags(block: Block, genre: str) -> np.ndarray:
    """Returns which movies have a genre, [n] bool."""
    text = block.text(genre)
    bad = np.flatnonzero((text != "0") & (text != "1"))
    if len(bad):
        raise InputError(
            f"{block.where(bad[0])}, column {genre!r}: {text[bad[0]]!r} is neither 0 nor 1; get "
            "the file again."
        )
    return text == "1"


class Ratings1m(OriginalRatings):
    """ml-1m."""

    ratings = RATINGS[LARGE]
    others = ("users.dat", "movies.dat")

    def read(self, shard: str) -> Iterator[Block]:
        """See the base class."""
        return _read_colons(shard, RATING_COLUMNS)

    def read_users(self) -> Iterator[Block]:
        """See the base class; codes of occupations become words."""
        header = (USER, GENDER, AGE, OCCUPATION, ZIP)
        words = [meanings.to_occupation(name) for name in meanings.OCCUPATIONS]
        codes = _to_text([str(code) for code in range(len(words))])
        for block in _read_colons(self._paths["users.dat"], header):
            found = pc.index_in(read_text(block, OCCUPATION), value_set=codes)
            if found.null_count:
                row = int(np.flatnonzero(found.is_null())[0])
                raise InputError(
                    f"{block.where(row)}: {block.text(OCCUPATION)[row]!r} is no occupation; codes "
                    f"are 0 to {len(words) - 1}."
                )
            yield block.with_text({OCCUPATION: _to_text(words).take(found)})

    def read_movies(self) -> Iterator[Block]:
        """See the base class. Titles may hold colons, also beside those that separate."""
        path, header = self._paths["movies.dat"], (MOVIE, TITLE, GENRES)
        # No line holds the delimiter, so that each is one value.
        lines = OriginalFormat(delimiter="\x01", header=(_LINE,), quote="none", encoding=_LATIN)
        for block in filter(len, read_csv(path, lines)):
            columns = pc.extract_regex(read_text(block, _LINE), _MOVIE)
            if columns.null_count:
                raise _reject(block, int(np.flatnonzero(columns.is_null())[0]), header)
            yield block.with_text(dict(zip(header, columns.flatten(), strict=True)))


def _read_colons(path: str, header: Sequence[str]) -> Iterator[Block]:
    """Yields rows whose values hold no colon: by single ones, with an empty value between two."""
    empty = [f"colons {n}" for n in range(1, len(header))]
    names = [name for pair in itertools.zip_longest(header, empty) for name in pair if name]
    for block in filter(
        len, read_csv(path, OriginalFormat(delimiter=":", header=tuple(names), quote="none"))
    ):
        for name in empty:
            filled = np.flatnonzero(pc.binary_length(block.arrow[name]).to_numpy())
            if len(filled):
                raise _reject(block, int(filled[0]), header)
        yield block


def _reject(block: Block, row: int, header: Sequence[str]) -> InputError:
    """Returns the error about a row whose values are not separated by ::."""
    return InputError(
        f"{block.where(row)}: the row is not {'::'.join(header)}; fix it, or get the file again."
    )
