"""Reads raw rows from JSON lines: a JSON object in each line, plain or compressed.

Null, and a key that a row lacks, are missing. A column of both text and numbers is text. What a row
holds is what it is in every other file: in a column of both lists and texts, texts stay texts.
"""

import codecs
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from mptrec_tf.data.sources.bad_rows import OnBadRow
from mptrec_tf.data.sources.block import BLOCK_ROWS
from mptrec_tf.data.sources.columns import Columns
from mptrec_tf.data.sources.json_values import parse_lines, to_array
from mptrec_tf.data.sources.streams import READ_ERRORS, open_text, reason_of
from mptrec_tf.data.sources.typed_rows import TypedRows
from mptrec_tf.data.text_format import TextFormat
from mptrec_tf.errors import InputError

_EXACT = 2.0**53  # floats below hold every whole number
_MOST_LEVELS = 500  # tens of thousands would crash Arrow


def read_json(
    path: str, text_format: TextFormat, on_bad_row: OnBadRow | None = None
) -> Iterator[TypedRows]:
    """Yields the rows of a file of JSON lines.

    Args:
      path: The file.
      text_format: Names its encoding.
      on_bad_row: Called with each line that is no JSON object, instead of raising an error.

    Raises:
      InputError: for a file that cannot be read, or a line that is no JSON object.
    """
    keys = functools.cache(lambda: _find_keys(path, text_format))
    names: dict[str, None] = {}
    texts: dict[str, pa.DataType] = {}
    for batch in _batch(_read_lines(path, text_format, escapes=on_bad_row is not None)):
        numbers = [number for number, _ in batch]
        arrays = _parse_at_once([line for _, line in batch], texts)
        if arrays is None:
            numbers, rows = parse_lines(path, batch, on_bad_row)
            keys_here = dict.fromkeys(itertools.chain.from_iterable(rows))
            arrays = {name: to_array([row.get(name) for row in rows]) for name in keys_here}
        names |= dict.fromkeys(arrays)
        yield _make_rows(path, numbers, arrays, names, lambda name: name in keys())


def _make_rows(
    path: str,
    numbers: list[int],
    arrays: Mapping[str, pa.Array],
    names: Iterable[str],
    may_have: Callable[[str], bool],
) -> TypedRows:
    """Returns rows that have the columns of all rows so far, and may have those of later ones."""
    missing = pa.nulls(len(numbers))
    arrays = {name: arrays.get(name, missing) for name in names}
    types = {name: array.type for name, array in arrays.items()}
    columns = Columns(arrays, lambda name: arrays.get(name, missing), may_have)
    lines = np.array(numbers, np.int64)
    return TypedRows(types, columns, path, lines, "line", may_have=may_have)


def _read_lines(path: str, text_format: TextFormat, escapes: bool) -> Iterator[tuple[int, bytes]]:
    """Yields the lines that are not blank, with their numbers."""
    try:
        stream, _ = open_text(path, text_format, escapes)
        with stream:
            for number, line in enumerate(stream, 1):
                text = (line.removeprefix(codecs.BOM_UTF8) if number == 1 else line).strip()
                if text:
                    yield number, text
    except READ_ERRORS as error:
        raise InputError(f"cannot read {path}: {reason_of(error)}.") from error


def _batch(lines: Iterator[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    while batch := list(itertools.islice(lines, BLOCK_ROWS)):
        yield batch


def _parse_at_once(lines: list[bytes], texts: dict[str, pa.DataType]) -> dict[str, pa.Array] | None:
    """Returns the columns of lines by Arrow's reader.

    Args:
      lines: JSON objects, if all is well.
      texts: The types of columns whose texts may all be times, which Arrow would convert; those
        that are found are added.

    Returns:
      None if some lines are no objects, or have values that Arrow would not keep.
    """
    if not all(map(_is_one_object, lines)):
        return None
    raw = b"\n".join(lines)
    try:
        raw.decode()
        table = _read_arrow(raw, texts)
        times = {field.name: _to_text_type(field.type) for field in table.schema}
        times = {name: kind for name, kind in times.items() if kind is not None}
        if times:
            texts |= times
            table = _read_arrow(raw, texts)
    except (UnicodeDecodeError, pa.ArrowException):
        return None
    if table.num_rows != len(lines):
        return None
    arrays = {name: pa.concat_arrays(table.column(name).chunks) for name in table.column_names}
    return None if any(map(_may_be_rounded, arrays.values())) else arrays


def _is_one_object(line: bytes) -> bool:
    """Whether a line among valid ones is one object, and not so deep that Arrow might crash."""
    is_whole = line.startswith(b"{") and line.endswith(b"}")
    return is_whole and line.count(b"{") + line.count(b"[") < _MOST_LEVELS


def _read_arrow(raw: bytes, texts: Mapping[str, pa.DataType]) -> pa.Table:
    return pa.json.read_json(
        pa.BufferReader(raw),
        pa.json.ReadOptions(use_threads=False, block_size=len(raw) + 1),
        pa.json.ParseOptions(pa.schema(list(texts.items()))),
    )


def _to_text_type(kind: pa.DataType) -> pa.DataType | None:
    """Returns the type of texts that were taken for times; None for other columns."""
    if pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_list(kind) and pa.types.is_temporal(kind.value_type):
        return pa.list_(pa.string())
    return None


def _may_be_rounded(array: pa.Array) -> bool:
    """Whether a column of floats has values that may have been whole numbers with more digits."""
    if pa.types.is_list(array.type):
        array = array.flatten()
    if not pa.types.is_floating(array.type):
        return False
    largest = pc.max(pc.abs(array)).as_py()
    return largest is not None and largest >= _EXACT


def _find_keys(path: str, text_format: TextFormat) -> frozenset[str]:
    """Returns the keys of all rows: a column may begin late in a file."""
    keys: set[str] = set()
    for batch in _batch(_read_lines(path, text_format, escapes=True)):
        keys.update(*parse_lines(path, batch, lambda bad: None)[1])
    return frozenset(keys)
