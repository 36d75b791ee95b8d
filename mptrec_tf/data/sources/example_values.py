"""Values of single tf.Examples, record by record: what is wrong where, and columns of mixed types.

`tfrecord_rows` reads most columns at once, and asks here for all others.
"""

import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.data.sources.bad_rows import OnBadRow, read_good_records
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.columns import Columns
from mptrec_tf.errors import InputError


def read_examples(
    records: Sequence[tuple[int, bytes]], path: str, lists: Sequence[str] = ()
) -> Block:
    """Returns records, with their numbers, as a block; see `tfrecord_rows.read_tfrecord`.

    Raises:
      InputError: for a record that is not a tf.Example.
    """
    numbers = [number for number, _ in records]
    examples = [_parse_example(record, path, number) for number, record in records]
    names = sorted({*lists, *(name for example in examples for name in example)})

    def sparse(name: str, may_lack: bool = True) -> np.ndarray:
        return _make_array(
            [
                _get(example, name, path, number, lists, may_lack)
                for example, number in zip(examples, numbers, strict=True)
            ]
        )

    columns = Columns(names, functools.partial(sparse, may_lack=False))
    lines = np.array(numbers, np.int64)
    return Block(columns, path, lines, "record", is_examples=True, sparse=sparse)


def read_good_examples(
    records: Sequence[tuple[int, bytes]],
    path: str,
    on_bad_row: OnBadRow,
    needed: Sequence[str],
    lists: Sequence[str],
    optional: Sequence[str],
) -> Block:
    """Returns the readable ones of records as a block; see `tfrecord_rows.read_tfrecord`."""

    def values_of(record: bytes, path: str, number: int):
        example = _parse_example(record, path, number)
        values = {name: _get(example, name, path, number, lists) for name in needed}
        return values | {name: _get_value(example, name, path, number, True) for name in optional}

    numbers, rows = read_good_records(records, values_of, path, on_bad_row)

    def make(name: str) -> np.ndarray:
        return _make_array([row[name] for row in rows])

    lines = np.array(numbers, np.int64)
    columns = Columns((*needed, *optional), make)
    return Block(columns, path, lines, "record", is_examples=True, sparse=make)


def _get(
    example, name: str, path: str, number: int, lists: Sequence[str], may_lack: bool = False
) -> str | int | float | list[str | int | float] | None:
    if name in lists:
        return _get_list(example, name, path, number)
    return _get_value(example, name, path, number, may_lack)


def _parse_example(record: bytes, path: str, number: int):
    try:
        return tf.train.Example.FromString(record).features.feature
    except Exception as error:  # protobuf's own DecodeError differs between its versions
        raise InputError(f"{path}, record {number}: not a tf.Example ({error}).") from error


def _get_value(
    example, name: str, path: str, number: int, may_lack: bool = False
) -> str | int | float | None:
    where = f"{path}, record {number}: feature {name!r}"
    if name not in example:
        if may_lack:
            return None
        raise InputError(f"{where} is missing; each record needs it.")
    kind = example[name].WhichOneof("kind")
    values = getattr(example[name], kind).value if kind else ()
    if may_lack and not values:
        return None
    if len(values) != 1:
        raise InputError(
            f"{where} has {len(values)} values; it needs exactly one (only a column that the spec "
            "lists under bags, for example, may have several)."
        )
    try:
        return values[0].decode() if kind == "bytes_list" else values[0]
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text ({error.reason}).") from error


def _get_list(example, name: str, path: str, number: int) -> list[str | int | float]:
    """Returns all values of a feature; none if the example lacks it."""
    kind = example[name].WhichOneof("kind") if name in example else None
    values = getattr(example[name], kind).value if kind else ()
    try:
        return [v.decode() for v in values] if kind == "bytes_list" else list(values)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}, record {number}: feature {name!r} is not UTF-8 text ({error.reason})."
        ) from error


def _make_array(values: list[str | int | float | None]) -> np.ndarray:
    """Returns values [n]: floats with NaN for none, or an object array with None for none."""
    types = set(map(type, values))
    if types <= {int}:
        return np.array(values, np.int64)
    if float in types and types <= {float, type(None)}:
        return np.array(values, np.float32)  # NaN for None
    return np.fromiter(values, object, len(values))  # of lists of one length, too
