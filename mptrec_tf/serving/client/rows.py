"""Raw rows to the arrays that the signature `columns` takes; imports no TensorFlow."""

import difflib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mptrec_tf.data.input_names import make_plain_name
from mptrec_tf.errors import InputError
from mptrec_tf.serving.client.values import to_array

_MOST_SHOWN = 50  # names of columns in a message


class _Needed(NamedTuple):
    """A column that the model needs.

    Attributes:
      name: str. What the spec calls it; the input's name where the spec's is not known.
      input: str. What the signature calls it.
      kind: str. Its type, as "DT_FLOAT".
    """

    name: str
    input: str
    kind: str


def request_arrays(
    rows: Any, types: Mapping[str, str], names: Mapping[str, str] | None
) -> tuple[dict[str, np.ndarray], int]:
    """Returns the arrays of a request by input, and its number of rows n.

    Columns that the model does not need are passed over, whatever they hold. One that it needs may
    stand under the spec's name or under the input's; if it stands under both, the spec's counts,
    as in files.

    Args:
      rows: A list of dicts, a pandas DataFrame, or arrays by column. Among arrays, one of a single
        value may stand beside longer ones: it is sent once.
      types: The signature's inputs and their types, as "DT_FLOAT".
      names: Input by column of the spec, or None where that is not known: then a column is the
        input that its plain name is.

    Raises:
      InputError: naming the column, and the row, that does not fit.
    """
    called = {input_: name for name, input_ in (names or {}).items()}
    needed = [_Needed(called.get(name, name), name, kind) for name, kind in types.items()]
    loose = not names
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        columns = _of_frame(rows, needed, loose)
    elif isinstance(rows, Mapping):
        columns = _of_arrays(rows, needed, loose)
    elif isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        columns = _of_dicts(rows, needed, loose)
    else:
        raise InputError(
            f"rows should be a list of dicts, a DataFrame or a dict of arrays; received "
            f"{type(rows).__name__}."
        )
    arrays = {c.input: to_array(c.name, columns[c.input], c.kind) for c in needed}
    count = max(map(len, arrays.values()), default=0)
    if not count:
        raise _no_rows()
    for column in needed:
        if len(arrays[column.input]) not in (1, count):
            raise InputError(
                f"column {column.name!r} has {len(arrays[column.input])} values, others have "
                f"{count}; give each row one, or a single one for all rows."
            )
    return arrays, count


def _no_rows() -> InputError:
    return InputError("the request has no rows; give at least one.")


def _of_frame(frame: Any, needed: Sequence[_Needed], loose: bool) -> dict[str, Any]:
    given = list(frame.columns)
    found = _match(needed, given, loose, "the request")
    for name in found.values():
        if given.count(name) > 1:
            raise InputError(f"the request has column {name!r} twice; rename or drop one of them.")
    return {input_: frame[name] for input_, name in found.items()}


def _of_arrays(arrays: Mapping[Any, Any], needed: Sequence[_Needed], loose: bool) -> dict[str, Any]:
    if not arrays:
        raise _no_rows()
    found = _match(needed, arrays, loose, "the request")
    return {
        input_: [arrays[name]] if _is_single(arrays[name]) else arrays[name]
        for input_, name in found.items()
    }


def _is_single(values: Any) -> bool:
    # NumPy would read all of a list to say how deep it is.
    if isinstance(values, list | tuple):
        return False
    return isinstance(values, str | bytes) or np.ndim(values) == 0


def _of_dicts(rows: Sequence[Any], needed: Sequence[_Needed], loose: bool) -> dict[str, Any]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise InputError(f"row {number} is a {type(row).__name__}; give a dict of its columns.")
    if not rows:
        raise _no_rows()
    found = _match(needed, rows[0], loose, "row 1")
    try:
        return {input_: [row[name] for row in rows] for input_, name in found.items()}
    except KeyError:  # a row that lacks a column, or spells it otherwise
        each = [_match(needed, row, loose, f"row {number}") for number, row in enumerate(rows, 1)]
        return {
            input_: [row[names[input_]] for row, names in zip(rows, each, strict=True)]
            for input_ in found
        }


def _match(
    needed: Sequence[_Needed], given: Iterable[Any], loose: bool, where: str
) -> dict[str, Any]:
    """The given name of each needed column, by input."""
    # A space beside a name in a header is none of the name, as in files.
    names = {name.strip(): name for name in given if isinstance(name, str)}
    names |= {name: name for name in given if isinstance(name, str)}
    own = {column.name for column in needed}
    # The name of one column may be the input of another: "age" and "Age" are age_2 and Age.
    if not own <= names.keys() and all(column.input in names for column in needed):
        return {column.input: names[column.input] for column in needed}
    found = {}
    for column in needed:
        if column.name in names:
            found[column.input] = names[column.name]
        elif column.input in names and column.input not in own:
            found[column.input] = names[column.input]
        elif loose:
            alike = {names[n] for n in names if n not in own and make_plain_name(n) == column.input}
            if len(alike) > 1:
                first, second = sorted(alike)[:2]
                raise InputError(
                    f"columns {first!r} and {second!r} are both {column.input!r} to the model; "
                    "give the client `inputs` of the model's assets.extra/model_card.json."
                )
            if alike:
                found[column.input] = alike.pop()
        if column.input not in found:
            raise _lacks(column, given, where, own)
    return found


def _lacks(column: _Needed, given: Iterable[Any], where: str, own: set[str]) -> InputError:
    given = list(given)
    shown = [str(name) for name in itertools.islice(given, _MOST_SHOWN)]
    if len(given) > len(shown):
        shown.append(f"and {len(given) - len(shown)} more")
    near = _nearest(column.name, [n for n in given if isinstance(n, str) and n not in own])
    hint = f" Rename {near!r} if that is it." if near else ""
    return InputError(
        f"{where} has no column {column.name!r}; the model needs it, and {where} has "
        f"{', '.join(shown) or 'none'}.{hint}"
    )


def _nearest(name: str, others: Sequence[str]) -> str | None:
    """The name that may be meant."""
    bare = {_bare(other): other for other in others}
    found = difflib.get_close_matches(_bare(name), bare, 1, cutoff=0.8)
    return bare[found[0]] if found else None


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
