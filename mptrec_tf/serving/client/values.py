"""Converts one column of a request, in any form, to the array that its input takes.

A value is read as the programs read it from a file: missing text is an empty field, and text is
parsed where a number is expected. Lists are sent as one text, see `list_values.join_list`, to
inputs that take them. Imports neither TensorFlow nor pandas.
"""

import decimal
import numbers
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from mptrec_tf.data import canonical
from mptrec_tf.data.input_names import LISTS
from mptrec_tf.errors import InputError

# Types of TensorFlow that inputs may have, by name.
TYPES = {
    "DT_STRING": np.dtype(object),
    "DT_FLOAT": np.dtype(np.float32),
    "DT_DOUBLE": np.dtype(np.float64),
    "DT_INT64": np.dtype(np.int64),
    "DT_INT32": np.dtype(np.int32),
}


# The type of an input that takes lists of texts.
LISTS_KIND = "lists of DT_STRING"
# Precedes each value of a list in a text: `list_values.UNIT`, whose module imports Arrow.
_UNIT = "\x1f"


def make_kind(kind: str, dims: Sequence[tuple[int, str]]) -> str:
    """Returns an input's type in this module, as "DT_FLOAT", "DT_FLOAT[64]" or `LISTS_KIND`.

    Args:
      kind: TensorFlow's name of the type.
      dims: The size and the name of each dimension of the input's shape.
    """
    if dims and dims[0][1] == LISTS:
        return LISTS_KIND
    return f"{kind}[{dims[1][0]}]" if len(dims) == 2 else kind


def to_array(column: str, values: Any, kind: str, optional: bool = False) -> np.ndarray:
    """Returns a column [n] as bytes in an object array, or as finite numbers.

    Args:
      column: Its name, for messages.
      values: A list, an array, or a column of a DataFrame, [n].
      kind: The expected type, as "DT_FLOAT"; see `make_kind`.
      optional: Whether numbers may be missing (None, NaN, usual texts as "NA"), which become NaN.

    Raises:
      InputError: naming the row, counted from 1, and the column.
    """
    if kind == LISTS_KIND:
        return _join_lists(column, values)
    if kind.endswith("]"):
        kind, _, size = kind.rstrip("]").partition("[")
        return _to_vectors(column, values, TYPES[kind], int(size))
    if kind not in TYPES:
        raise InputError(f"column {column!r}: the model takes {kind}, which the client does not.")
    if kind == "DT_STRING" and isinstance(values, list) and set(map(type, values)) == {str}:
        return _encode(column, values)  # as nearly all are, also one row at a time
    array = _as_numpy(values)
    nested = array.ndim > 1 or (
        array.dtype == object and array.size and isinstance(array.flat[0], list | tuple)
    )
    if nested:
        raise InputError(f"column {column!r} holds lists; give one value for each row.")
    if kind == "DT_STRING":
        return _to_texts(column, array)
    if optional and TYPES[kind].kind == "f":
        return _to_optional_numbers(column, array, TYPES[kind])
    return _to_numbers(column, array, TYPES[kind])


def _join_lists(column: str, values: Any) -> np.ndarray:
    """Returns each row as bytes: a text unchanged, a list joined."""
    rows = values.tolist() if isinstance(values, np.ndarray) else list(values)
    texts = np.empty(len(rows), object)
    for row, value in enumerate(rows):
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if isinstance(value, list | tuple):
            unit = _UNIT.encode()
            texts[row] = b"".join(unit + _to_text(column, row + 1, item) for item in value)
        else:
            texts[row] = _to_text(column, row + 1, value)
    return texts


def _to_vectors(column: str, values: Any, dtype: np.dtype, size: int) -> np.ndarray:
    """Returns [n, size] finite numbers."""
    rows = values if isinstance(values, np.ndarray) else list(values)
    vectors = np.zeros([len(rows), size], dtype)
    for row, value in enumerate(rows):
        if isinstance(value, str):  # as in a file
            value = re.split(r"[\s,;|]+", value.strip(" []"))
        if np.ndim(value) != 1 or len(value) != size:
            received = f"{len(value)}" if np.ndim(value) == 1 else _format(value)
            raise InputError(
                f"row {row + 1}, column {column!r} should hold {size} numbers, received {received}."
            )
        vectors[row] = [_to_number(column, row, v, dtype) for v in value]
    return vectors


def _as_numpy(values: Any) -> np.ndarray:
    """Returns the values unchanged, in NumPy's type where all share one, otherwise as objects."""
    if isinstance(values, list | tuple):
        return _from_list(values)
    if isinstance(values, np.ma.MaskedArray):
        objects = np.fromiter(values.data, object, len(values))
        objects[np.ma.getmaskarray(values)] = None
        return objects
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "isna") and hasattr(values, "dtype"):  # pandas' Series, Index and arrays
        return _from_pandas(values)
    if hasattr(values, "__array__"):
        return np.asarray(values)
    return _from_list(list(values))


def _from_list(values: Sequence[Any]) -> np.ndarray:
    types = set(map(type, values))
    if types == {float}:
        return np.array(values, np.float64)
    if types == {int}:
        try:
            return np.array(values, np.int64)
        except OverflowError:
            pass
    # NumPy would turn numbers beside a text into text.
    return np.fromiter(values, object, len(values))


def _from_pandas(values: Any) -> np.ndarray:
    categories = getattr(values.dtype, "categories", None)
    if categories is not None:
        # As objects whole numbers beside a missing value stay whole numbers.
        codes = getattr(values, "cat", values).codes
        return np.append(np.asarray(categories, object), None)[np.asarray(codes)]
    numpy = getattr(values.dtype, "numpy_dtype", None)  # of pandas' nullable types, and Arrow's
    if numpy is not None and numpy.kind in "biuf":
        missing = np.asarray(values.isna())
        if not missing.any():
            return values.to_numpy(dtype=numpy)
        # pandas would turn whole numbers into floats, and float32 into float64.
        objects = np.array(values, object)
        objects[missing] = np.nan
        return objects.astype(numpy) if numpy.kind == "f" else objects
    return values.to_numpy() if hasattr(values, "to_numpy") else np.asarray(values)


def _to_texts(column: str, array: np.ndarray) -> np.ndarray:
    kind = array.dtype.kind
    if kind in "biuf":
        # As `Block.text` does it for the programs.
        texts = _encode(column, array.astype(str).tolist())
        if kind == "f":
            texts[np.isnan(array)] = b""
        return texts
    # NumPy would turn times into whole numbers.
    return _encode(column, list(array) if kind in "mM" else array.tolist())


def _encode(column: str, values: Sequence[Any]) -> np.ndarray:
    texts = np.empty(len(values), object)
    try:
        if set(map(type, values)) == {str}:
            texts[:] = [value.encode() for value in values]
            return texts
    except UnicodeEncodeError:
        pass  # the loop below names the row
    texts[:] = [_to_text(column, row, value) for row, value in enumerate(values, 1)]
    return texts


def _to_text(column: str, row: int, value: Any) -> bytes:
    value = _unwrap_scalar(value)
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"row {row}, column {column!r}: {value!r} is not text.") from error
    if isinstance(value, bytes):
        return bytes(value)
    if _is_missing(value):
        return b""
    if isinstance(value, bool | np.bool_ | float | np.floating):
        return str(value).encode()
    # NumPy counts spans of time among its integers.
    if isinstance(value, int | np.integer) and not isinstance(value, np.timedelta64):
        return str(int(value)).encode()
    if isinstance(value, decimal.Decimal):
        return format(value, "f").encode()
    raise InputError(
        f"row {row}, column {column!r}: {value!r} is not text; give it as it is written in the "
        "files that the model was trained on."
    )


def _is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, or pandas' NA or NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, decimal.Decimal):
        return value.is_nan()
    return isinstance(value, float | np.floating | np.datetime64 | np.timedelta64) and bool(
        value != value
    )


def _unwrap_scalar(value: Any) -> Any:
    """Returns the value of an array without dimensions; other values unchanged."""
    if getattr(value, "shape", None) == () and not isinstance(value, np.generic):
        return np.asarray(value)[()]
    return value


def _to_numbers(column: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    values: Sequence[Any] | np.ndarray = array
    if array.dtype.kind not in "iuf":
        values = [_unwrap_scalar(value) for value in array]
        if not all(map(_may_be_number, set(map(type, values)))):
            bad = next(i for i, v in enumerate(values) if not _may_be_number(type(v)))
            raise _not_finite_error(column, bad, values[bad])
        array = np.fromiter(values, object, len(values))
    if dtype.kind == "f":
        try:
            # From text as `Block.numbers` does it for the programs.
            with np.errstate(over="ignore"):
                cast = array.astype(dtype)
            if np.isfinite(cast).all():
                return cast
        except (ValueError, OverflowError):
            pass  # the loop below names the row
    elif array.dtype.kind != "O":
        # The cast changes a number that does not fit.
        with np.errstate(invalid="ignore"):
            cast = array.astype(dtype)
            if (cast == array).all() and ((cast < 0) == (array < 0)).all():
                return cast
    return np.array([_to_number(column, i, v, dtype) for i, v in enumerate(values)], dtype)


def _to_optional_numbers(column: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Returns what `_to_numbers` does, and NaN for missing values."""
    values: Sequence[Any] | np.ndarray = array
    if array.dtype.kind not in "biuf":
        values = [_unwrap_scalar(value) for value in array]
        array = np.fromiter(values, object, len(values))
    missing = np.array([_is_missing_number(value) for value in values], bool)
    numbers = _to_numbers(column, _replace(array, missing), dtype)
    return np.where(missing, np.array(np.nan, dtype), numbers)


def _replace(array: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Returns values of which the missing ones are 0."""
    present = array.copy()
    present[missing] = 0
    return present


def _is_missing_number(value: Any) -> bool:
    if isinstance(value, str):
        return canonical.is_missing(canonical.canonicalize(value), canonical.MISSING_VALUES)
    return _is_missing(value)


def _may_be_number(kind: type) -> bool:
    if issubclass(kind, bool | np.bool_ | np.timedelta64):
        return False
    return issubclass(kind, numbers.Real | decimal.Decimal | str)


def _to_number(column: str, index: int, value: Any, dtype: np.dtype) -> Any:
    """Returns a value as a number that `dtype` can hold.

    Raises:
      InputError: if it is not such a number.
    """
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    except OverflowError:  # an int of hundreds of digits
        raise _too_large_error(column, index, value) from None
    if not np.isfinite(number):
        raise _not_finite_error(column, index, value)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            if not np.isfinite(dtype.type(number)):
                raise _too_large_error(column, index, value)
        return number
    whole = int(value) if isinstance(value, int | np.integer) else int(number)
    if whole != number and not isinstance(value, int | np.integer):
        raise InputError(f"row {index + 1}, column {column!r}: {value!r} is not a whole number.")
    if not np.iinfo(dtype).min <= whole <= np.iinfo(dtype).max:
        raise _too_large_error(column, index, value)
    return whole


def _not_finite_error(column: str, index: int, value: Any) -> InputError:
    return InputError(
        f"row {index + 1}, column {column!r}: {_format(value)} is not a finite number; every row "
        "needs one there."
    )


def _too_large_error(column: str, index: int, value: Any) -> InputError:
    return InputError(
        f"row {index + 1}, column {column!r}: the number is too large: {_format(value)}."
    )


def _format(value: Any) -> str:
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        value = value.item()  # NumPy 2 writes the type beside the number
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
