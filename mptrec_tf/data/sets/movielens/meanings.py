"""What the columns of both sizes, and of TensorFlow Datasets, mean alike.

age         the first year of one of ml-1m's ranges: 1, 18, 25, 35, 45, 50, 56
occupation  ml-100k's word, where ml-1m has the same occupation; else ml-1m's own
genres      as both sizes have them: "Children's", "unknown"
year        the last year in parentheses of a title; empty if there is none
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

AGES = (1, 18, 25, 35, 45, 50, 56)
# ml-1m's occupations in the order of their codes.
OCCUPATIONS = (
    "other/not specified",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)
# ml-100k's words for these. Where it tells apart what ml-1m does not (doctor and healthcare,
# salesman and marketing, technician and engineer), neither word would be right.
_WORDS = {
    "other/not specified": "other",
    "academic/educator": "educator",
    "clerical/admin": "administrator",
    "college/grad student": "student",
    "K-12 student": "student",
    "executive/managerial": "executive",
}
# Names that TensorFlow Datasets has given to genres.
_RENAMED = {"Children": "Children's", "Unknown": "unknown"}
_YEAR = r"^.*\((?P<year>[0-9]{4})\)"


def to_age_ranges(ages: np.ndarray) -> list[str]:
    """Returns the first year of the range of each age [n]; younger than all is the first.

    Example:
      >>> to_age_ranges(np.array([7, 24, 25, 73]))
      ['1', '18', '25', '56']
    """
    places = np.searchsorted(AGES, ages, side="right") - 1
    return [str(AGES[place]) for place in np.maximum(places, 0).tolist()]


def to_occupation(name: str) -> str:
    """Returns the word for an occupation of either size.

    Example:
      >>> to_occupation("K-12 student"), to_occupation("farmer"), to_occupation("salesman")
      ('student', 'farmer', 'salesman')
    """
    return _WORDS.get(name, name)


def to_genres(names: Sequence[str]) -> list[str]:
    """Returns the genres' own names."""
    return [_RENAMED.get(name, name) for name in names]


def find_years(titles: pa.Array) -> pa.Array:
    """Returns the year of each title [n], as text.

    Example:
      >>> find_years(pa.array(["2001: A Space Odyssey (1968)", "unknown"])).to_pylist()
      ['1968', '']
    """
    [years] = pc.extract_regex(titles, _YEAR).flatten()
    return pc.fill_null(years, "")
