"""What the signature `columns` calls raw columns; imports no TensorFlow, for clients."""

import re
from collections.abc import Iterable

# A signature like `columns`, by the spec's own names. Versions have it where these differ.
SPEC_COLUMNS = "spec_columns"


def make_input_names(columns: Iterable[str]) -> dict[str, str]:
    """Returns what the signature `columns` calls each raw column.

    A column's own name where TensorFlow takes it: ASCII letters, digits and _, begins with a
    letter, and differs from the others in more than its case. Other characters become _, and a
    number tells apart what would be the same. `inputs` in the card says it for every column.
    """
    columns = list(columns)
    # Columns that can keep their names keep them, whatever stands before them.
    taken, names = {"self"}, {}
    for column in sorted(columns, key=lambda column: _is_input_name(column), reverse=True):
        plain = make_plain_name(column)
        name, number = plain, 2
        while name.lower() in taken:
            name, number = f"{plain}_{number}", number + 1
        taken.add(name.lower())
        names[column] = name
    return {column: names[column] for column in columns}


def make_plain_name(column: str) -> str:
    """A column's name in characters that TensorFlow takes."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", column)
    return plain if re.match(r"[A-Za-z]", plain) else f"column_{plain}"


def _is_input_name(column: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", column))
