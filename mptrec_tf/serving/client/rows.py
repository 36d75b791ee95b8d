"""Raw rows to the arrays that the signature `columns` takes; imports no TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mptrec_tf.errors import InputError
from mptrec_tf.input_names import plain_name

# Types of TensorFlow that inputs may have, by name.
TYPES = {
    "DT_STRING": np.dtype(object),
    "DT_FLOAT": np.dtype(np.float32),
    "DT_DOUBLE": np.dtype(np.float64),
    "DT_INT64": np.dtype(np.int64),
    "DT_INT32": np.dtype(np.int32),
}


def request_arrays(
    rows: Any, types: Mapping[str, str], names: Mapping[str, str] | None
) -> tuple[dict[str, np.ndarray], int]:
    """Returns the arrays of a request by input, and its number of rows n.

    Args:
      rows: A list of dicts, a pandas DataFrame, or arrays by column. Among arrays, one of a single
        value may stand beside longer ones: it is sent once.
      types: The signature's inputs and their types, as "DT_FLOAT".
      names: Input by raw column, or None where a column's plain name is its input.

    Raises:
      InputError: naming the column, and the row, that does not fit.
    """
    columns = _columns(rows)
    chosen = _inputs(columns, types, names)
    arrays = {
        chosen[column]: _array(column, values, types[chosen[column]])
        for column, values in columns.items()
    }
    count = max(map(len, arrays.values()))
    for column, name in chosen.items():
        if len(arrays[name]) not in (1, count):
            raise InputError(
                f"column {column!r} has {len(arrays[name])} values, others have {count}; give "
                "each row one, or a single one for all rows."
            )
    return arrays, count


def _columns(rows: Any) -> dict[str, Sequence[Any]]:
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        columns = {name: rows[name].to_numpy() for name in rows.columns}
    elif isinstance(rows, Mapping):
        columns = {
            name: [values] if isinstance(values, str | bytes) or np.ndim(values) == 0 else values
            for name, values in rows.items()
        }
    elif isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        columns = _columns_of_dicts(rows)
    else:
        raise InputError(
            f"rows should be a list of dicts, a DataFrame or a dict of arrays; received "
            f"{type(rows).__name__}."
        )
    odd = [name for name in columns if not isinstance(name, str)]
    if odd:
        raise InputError(f"column {odd[0]!r} has no name that is text.")
    if not columns or not all(len(values) for values in columns.values()):
        raise InputError("the request has no rows; give at least one.")
    return columns


def _columns_of_dicts(rows: Sequence[Any]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise InputError(f"row {number} is a {type(row).__name__}; give a dict of its columns.")
        if number > 1 and row.keys() != columns.keys():
            odd = sorted(row.keys() ^ columns.keys(), key=str)[0]
            place = "which the rows before it lack" if odd in row else "which those before it have"
            verb = "has" if odd in row else "lacks"
            raise InputError(f"row {number} {verb} column {odd!r}, {place}.")
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


def _inputs(
    columns: Mapping[str, Any], types: Mapping[str, str], names: Mapping[str, str] | None
) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for column in columns:
        name = names.get(column) if names else column if column in types else plain_name(column)
        if name not in types:
            raise InputError(
                f"unknown column {column!r}: the model takes {', '.join(names or sorted(types))}."
            )
        if name in chosen.values():
            raise InputError(
                f"column {column!r} and another one are both {name!r} to the model; give the "
                "client `inputs` of the model's assets.extra/model_card.json."
            )
        chosen[column] = name
    missing = sorted(types.keys() - set(chosen.values()))
    if missing:
        called = {name: column for column, name in (names or {}).items()}
        raise InputError(
            f"the request has no column {called.get(missing[0], missing[0])!r}; the model needs "
            f"it, and has {', '.join(columns)}."
        )
    return chosen


def _array(column: str, values: Sequence[Any], kind: str) -> np.ndarray:
    if kind not in TYPES:
        raise InputError(f"column {column!r}: the model takes {kind}, which the client does not.")
    if np.ndim(values) > 1 and not isinstance(values[0], str | bytes):
        raise InputError(f"column {column!r} holds lists; give one value for each row.")
    if kind == "DT_STRING":
        array = np.empty(len(values), object)
        array[:] = [_text(column, row, value) for row, value in enumerate(values, 1)]
        return array
    for row, value in enumerate(values, 1):
        if isinstance(value, str | bytes | bool | np.bool_) or not _finite(value):
            raise InputError(
                f"row {row}, column {column!r}: {value!r} is not a finite number; every row needs "
                "one there."
            )
        if TYPES[kind].kind == "i" and value != int(value):
            raise InputError(f"row {row}, column {column!r}: {value!r} is not a whole number.")
    with np.errstate(over="ignore"):
        array = np.asarray(values).astype(TYPES[kind])
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0]) + 1
        raise InputError(f"row {row}, column {column!r}: the number is too large.")
    return array


def _finite(value: Any) -> bool:
    try:
        return bool(np.isfinite(value))
    except TypeError:
        return False


def _text(column: str, row: int, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"row {row}, column {column!r}: {value!r} is no text.") from error
    if (
        isinstance(value, bool | np.bool_ | int | np.integer | float | np.floating)
        and value == value
    ):
        return str(value).encode()
    raise InputError(f"row {row}, column {column!r}: {value!r} is no text; every row needs one.")
