"""Converts raw rows to the arrays that the signature `columns` takes; imports no TensorFlow."""

import difflib
import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mptrec_tf.data.input_names import make_plain_name
from mptrec_tf.errors import InputError
from mptrec_tf.serving.client.values import to_array

_MOST_SHOWN = 50  # names of columns in a message


class _Needed(NamedTuple):
    """A column that the model needs.

    Attributes:
      name: str. Its name in the spec; the input's name where the spec's is not known.
      input: str. Its name in the signature.
      kind: str. Its type, as "DT_FLOAT".
    """

    name: str
    input: str
    kind: str


def to_request_arrays(
    rows: Any,
    types: Mapping[str, str],
    names: Mapping[str, str] | None,
    optional: Collection[str] = (),
) -> tuple[dict[str, np.ndarray], int]:
    """Returns the arrays of a request by input, and its number of rows n.

    Columns that the model does not need are ignored, whatever they hold. One that it needs may have
    the spec's name or the input's; if both are given, the spec's counts, as in files.

    Args:
      rows: A list of dicts, a pandas DataFrame, or arrays by column. An array of a single value
        may be given beside longer ones: it is sent once.
      types: The signature's inputs and their types, as "DT_FLOAT".
      names: Input by column of the spec, or None where that is not known: then columns and inputs
        are matched by the columns' plain names.
      optional: The inputs whose numbers may be missing.

    Raises:
      InputError: naming the column, and the row, that does not fit.
    """
    called = {input_: name for name, input_ in (names or {}).items()}
    needed = [_Needed(called.get(name, name), name, kind) for name, kind in types.items()]
    by_plain_name = not names
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        columns = _from_frame(rows, needed, by_plain_name)
    elif isinstance(rows, Mapping):
        columns = _from_arrays(rows, needed, by_plain_name)
    elif isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        columns = _from_dicts(rows, needed, by_plain_name)
    else:
        raise InputError(
            f"rows should be a list of dicts, a DataFrame or a dict of arrays; received "
            f"{type(rows).__name__}."
        )
    arrays = {
        c.input: to_array(c.name, columns[c.input], c.kind, c.input in optional) for c in needed
    }
    count = max(map(len, arrays.values()), default=0)
    if not count:
        raise _no_rows_error()
    for column in needed:
        if len(arrays[column.input]) not in (1, count):
            raise InputError(
                f"column {column.name!r} has {len(arrays[column.input])} values, others have "
                f"{count}; give each row one, or a single one for all rows."
            )
    return arrays, count


def _no_rows_error() -> InputError:
    return InputError("the request has no rows; give at least one.")


def _from_frame(frame: Any, needed: Sequence[_Needed], by_plain_name: bool) -> dict[str, Any]:
    given = list(frame.columns)
    matches = _match(needed, given, by_plain_name, "the request")
    for name in matches.values():
        if given.count(name) > 1:
            raise InputError(f"the request has column {name!r} twice; rename or drop one of them.")
    return {input_: frame[name] for input_, name in matches.items()}


def _from_arrays(
    arrays: Mapping[Any, Any], needed: Sequence[_Needed], by_plain_name: bool
) -> dict[str, Any]:
    if not arrays:
        raise _no_rows_error()
    matches = _match(needed, arrays, by_plain_name, "the request")
    return {
        input_: [arrays[name]] if _is_single(arrays[name]) else arrays[name]
        for input_, name in matches.items()
    }


def _is_single(values: Any) -> bool:
    # NumPy would read all of a list to find its depth.
    if isinstance(values, list | tuple):
        return False
    return isinstance(values, str | bytes) or np.ndim(values) == 0


def _from_dicts(
    rows: Sequence[Any], needed: Sequence[_Needed], by_plain_name: bool
) -> dict[str, Any]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise InputError(f"row {number} is a {type(row).__name__}; give a dict of its columns.")
    if not rows:
        raise _no_rows_error()
    matches = _match(needed, rows[0], by_plain_name, "row 1")
    try:
        return {input_: [row[name] for row in rows] for input_, name in matches.items()}
    except KeyError:  # a row that lacks a column, or spells it otherwise
        each = [
            _match(needed, row, by_plain_name, f"row {number}")
            for number, row in enumerate(rows, 1)
        ]
        return {
            input_: [row[names[input_]] for row, names in zip(rows, each, strict=True)]
            for input_ in matches
        }


def _match(
    needed: Sequence[_Needed], given: Iterable[Any], by_plain_name: bool, where: str
) -> dict[str, Any]:
    """Returns the given name of each needed column, by input."""
    # Spaces around a name in a header do not belong to the name, as in files.
    names = {name.strip(): name for name in given if isinstance(name, str)}
    names |= {name: name for name in given if isinstance(name, str)}
    own = {column.name for column in needed}
    # The name of one column may be the input of another: "age" and "Age" are age_2 and Age.
    if not own <= names.keys() and all(column.input in names for column in needed):
        return {column.input: names[column.input] for column in needed}
    matches = {}
    for column in needed:
        if column.name in names:
            matches[column.input] = names[column.name]
        elif column.input in names and column.input not in own:
            matches[column.input] = names[column.input]
        elif by_plain_name:
            alike = {names[n] for n in names if n not in own and make_plain_name(n) == column.input}
            if len(alike) > 1:
                first, second = sorted(alike)[:2]
                raise InputError(
                    f"columns {first!r} and {second!r} are both {column.input!r} to the model; "
                    "give the client `inputs` of the model's assets.extra/model_card.json."
                )
            if alike:
                matches[column.input] = alike.pop()
        if column.input not in matches:
            raise _missing_column_error(column, given, where, own)
    return matches


def _missing_column_error(
    column: _Needed, given: Iterable[Any], where: str, own: set[str]
) -> InputError:
    given = list(given)
    shown = [str(name) for name in itertools.islice(given, _MOST_SHOWN)]
    if len(given) > len(shown):
        shown.append(f"and {len(given) - len(shown)} more")
    near = _find_nearest(column.name, [n for n in given if isinstance(n, str) and n not in own])
    hint = f" Rename {near!r} if that is it." if near else ""
    return InputError(
        f"{where} has no column {column.name!r}; the model needs it, and {where} has "
        f"{', '.join(shown) or 'none'}.{hint}"
    )


def _find_nearest(name: str, others: Sequence[str]) -> str | None:
    """Returns the name that may be meant."""
    by_letters = {_strip_marks(other): other for other in others}
    close = difflib.get_close_matches(_strip_marks(name), by_letters, 1, cutoff=0.8)
    return by_letters[close[0]] if close else None


def _strip_marks(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
