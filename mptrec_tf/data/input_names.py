"""The input names of raw columns in the signature `columns`; imports no TensorFlow, for clients."""

import re
from collections.abc import Iterable

# A signature like `columns` with the spec's own names. Versions have it if these differ.
SPEC_COLUMNS = "spec_columns"
# A signature like `columns` with an id of each row, which the model does not read.
COLUMNS_WITH_ID, REQUEST_ID = "columns_with_id", "request_id"
# Name of the first dimension of inputs that take lists.
LISTS = "lists"


def make_input_names(columns: Iterable[str]) -> dict[str, str]:
    """Returns the name of each raw column in the signature `columns`.

    This is the column's own name if TensorFlow accepts it: ASCII letters, digits and _, begins with
    a letter, and differs from the others in more than its case. Other characters become _, and a
    number makes names unique. The model card lists them under `inputs`.

    Example:
      >>> make_input_names(["age", "hours per week"])
      {'age': 'age', 'hours per week': 'hours_per_week'}
    """
    columns = list(columns)
    # Columns with valid names come first, so that they retain them.
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
    """Returns a column's name in characters that TensorFlow accepts."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", column)
    return plain if re.match(r"[A-Za-z]", plain) else f"column_{plain}"


def _is_input_name(column: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", column))
