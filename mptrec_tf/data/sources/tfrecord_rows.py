"""Reads raw rows from TFRecord files of tf.Examples."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.data.sources.bad_rows import OnBadRow, read_good_records
from mptrec_tf.data.sources.block import BLOCK_ROWS, Block, Columns
from mptrec_tf.errors import InputError


def read_tfrecord(
    path: str,
    layers: int,
    on_bad_row: OnBadRow | None = None,
    needed: Sequence[str] = (),
) -> Iterator[Block]:
    """Yields the rows of a TFRecord file of tf.Examples.

    A column that is used needs one value in each record; unused ones are not checked.

    Args:
      path: The file.
      layers: Number of layers of gzip compression.
      on_bad_row: Called with each record that cannot be read, instead of raising an error.
      needed: With `on_bad_row`, the columns that each record must have.

    Raises:
      InputError: for a file that cannot be read, a record that is not a tf.Example, or a record
        without exactly one value (UTF-8 text or a number) of a column that is used, with file and
        record.
    """
    if layers > 1:
        raise InputError(f"{path} was compressed {layers} times; decompress it once.")
    compression = "GZIP" if layers else ""
    records = tf.data.TFRecordDataset(path, compression_type=compression).as_numpy_iterator()
    numbered = enumerate(records, 1)
    try:
        while batch := list(itertools.islice(numbered, BLOCK_ROWS)):
            if on_bad_row:

                def values_of(record: bytes, path: str, number: int):
                    example = _parse_example(record, path, number)
                    return {name: _get_value(example, name, path, number) for name in needed}

                numbers, rows = read_good_records(batch, values_of, path, needed, on_bad_row)
                columns = Columns(
                    needed, lambda name, rows=rows: _make_array([r[name] for r in rows])
                )
            else:
                numbers = [number for number, _ in batch]
                examples = [_parse_example(record, path, number) for number, record in batch]
                names = sorted({name for example in examples for name in example})
                columns = Columns(
                    names,
                    lambda name, examples=examples, numbers=numbers: _make_array(
                        [
                            _get_value(example, name, path, number)
                            for example, number in zip(examples, numbers, strict=True)
                        ]
                    ),
                )
            lines = np.array(numbers, np.int64)
            yield Block(columns, path, lines, "record", is_examples=True)
    except tf.errors.OpError as error:
        raise InputError(f"cannot read {path} as TFRecord: {error.message}.") from error


def _parse_example(record: bytes, path: str, number: int):
    try:
        return tf.train.Example.FromString(record).features.feature
    except Exception as error:  # protobuf's own DecodeError differs between its versions
        raise InputError(f"{path}, record {number}: not a tf.Example ({error}).") from error


def _get_value(example, name: str, path: str, number: int) -> str | int | float:
    where = f"{path}, record {number}: feature {name!r}"
    if name not in example:
        raise InputError(f"{where} is missing; each record needs it.")
    kind = example[name].WhichOneof("kind")
    values = getattr(example[name], kind).value if kind else ()
    if len(values) != 1:
        raise InputError(f"{where} has {len(values)} values; it needs exactly one.")
    try:
        return values[0].decode() if kind == "bytes_list" else values[0]
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text ({error.reason}).") from error


def _make_array(values: list[str | int | float]) -> np.ndarray:
    types = set(map(type, values))
    if types <= {int}:
        return np.array(values, np.int64)
    if types == {float}:
        return np.array(values, np.float32)
    array = np.empty(len(values), object)
    array[:] = values
    return array
