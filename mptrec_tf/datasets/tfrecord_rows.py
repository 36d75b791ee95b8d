"""Reads raw rows from TFRecord files of tf.Examples."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.datasets.block import BLOCK_ROWS, Block, Columns, number_text
from mptrec_tf.errors import InputError


def read_tfrecord(path: str, layers: int) -> Iterator[Block]:
    """Yields the rows of a TFRecord file of tf.Examples.

    A column that is asked for has one value in each record; what nobody asks for is not looked at.

    Args:
      path: The file.
      layers: How often it is compressed by gzip.

    Raises:
      InputError: for a file that cannot be read, a record that is no tf.Example, and, where a
        column is asked for, a record that lacks it, has more or fewer values than one or no UTF-8
        text, with file and record.
    """
    if layers > 1:
        raise InputError(f"{path} was compressed {layers} times; decompress it once.")
    compression = "GZIP" if layers else ""
    records = tf.data.TFRecordDataset(path, compression_type=compression).as_numpy_iterator()
    numbered = enumerate(records, 1)
    try:
        while batch := list(itertools.islice(numbered, BLOCK_ROWS)):
            examples = [_example(record, path, number) for number, record in batch]
            numbers = np.array([number for number, _ in batch])
            column = _Column(examples, path, numbers)
            names = sorted({name for example in examples for name in example})
            yield Block(Columns(names, column), path, numbers, "record", is_examples=True)
    except tf.errors.OpError as error:
        raise InputError(f"cannot read {path} as TFRecord: {error.message}.") from error


def _example(record: bytes, path: str, number: int):
    try:
        return tf.train.Example.FromString(record).features.feature
    except Exception as error:  # protobuf's own DecodeError differs between its versions
        raise InputError(f"{path}, record {number}: not a tf.Example ({error}).") from error


class _Column:
    """Makes the column [n] of a feature."""

    def __init__(self, examples: Sequence, path: str, numbers: np.ndarray):
        self._examples, self._path, self._numbers = examples, path, numbers

    def __call__(self, name: str) -> np.ndarray:
        kinds, values = set(), []
        for example, number in zip(self._examples, self._numbers, strict=True):
            where = f"{self._path}, record {number}: feature {name!r}"
            if name not in example:
                raise InputError(f"{where} is missing; each record needs it.")
            kind = example[name].WhichOneof("kind")
            found = getattr(example[name], kind).value if kind else ()
            if len(found) != 1:
                raise InputError(f"{where} has {len(found)} values; it needs exactly one.")
            kinds.add(kind)
            try:
                values.append(found[0].decode() if kind == "bytes_list" else found[0])
            except UnicodeDecodeError as error:
                raise InputError(f"{where} is not UTF-8 text ({error.reason}).") from error
        return _array(values, kinds)


def _array(values: list[str | int | float], kinds: set[str]) -> np.ndarray:
    if kinds == {"int64_list"}:
        return np.array(values, np.int64)
    if kinds == {"float_list"}:
        return np.array(values, np.float32)
    array = np.empty(len(values), object)
    for row, value in enumerate(values):
        as_number = np.array([value], np.float32) if isinstance(value, float) else None
        array[row] = str(value) if as_number is None else number_text(as_number)[0]
    return array
