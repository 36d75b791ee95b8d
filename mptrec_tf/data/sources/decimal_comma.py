"""Numbers with a decimal comma, in columns of text in Arrow.

They become numbers with a point, so that "3,0" is the text "3" and the number 3 as "3.0" is
elsewhere; but not in columns of several values, which a comma may separate. A point may be a mark
between thousands: a column that is read as numbers must not hold any.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# A number with a decimal comma: what is before it, and its fraction.
COMMA = r"^(\s*[+-]?[0-9]*),([0-9]+(?:[eE][+-]?[0-9]+)?\s*)$"
_POINT = r"^\s*[+-]?(?:[0-9]+\.[0-9.]*|\.[0-9]+)(?:,[0-9]*)?(?:[eE][+-]?[0-9]+)?\s*$"


def read_commas(column: pa.Array) -> pa.Array:
    """Returns a column of text in which numbers have a point before their fraction."""
    if not pc.any(pc.match_substring(column, ",")).as_py():
        return column
    return pc.replace_substring_regex(column, pattern=COMMA, replacement=r"\1.\2")


def have_points(column: pa.Array) -> np.ndarray:
    """Returns which values [n] are numbers with a point, before commas are read."""
    return pc.match_substring_regex(column, _POINT).to_numpy(zero_copy_only=False).astype(bool)
