"""Reads raw rows from TFRecord files of tf.Examples.

A block of records is decoded to Arrow columns at once. What that cannot do, `example_values` does
record by record: say which record is wrong, and read columns whose type changes between records.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tfx_bsl.coders import example_coder

from mptrec_tf.data.sources import typed_columns
from mptrec_tf.data.sources.bad_rows import OnBadRow
from mptrec_tf.data.sources.block import BLOCK_ROWS, Block
from mptrec_tf.data.sources.columns import Columns
from mptrec_tf.data.sources.example_values import read_examples, read_good_examples
from mptrec_tf.data.sources.text_columns import to_objects
from mptrec_tf.data.sources.typed_columns import NotUtf8Error
from mptrec_tf.errors import InputError


def read_tfrecord(
    path: str,
    layers: Sequence[str],
    on_bad_row: OnBadRow | None = None,
    needed: Sequence[str] = (),
    lists: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> Iterator[Block]:
    """Yields the rows of a TFRecord file of tf.Examples.

    A column that is used needs one value in each record, or at most one where it may be missing
    (`Block.sparse`); unused ones are not checked.

    Args:
      path: The file.
      layers: The names of the compressions around it.
      on_bad_row: Called with each record that cannot be read, instead of raising an error.
      needed: With `on_bad_row`, the columns that each record must have.
      lists: Columns that may have any number of values in a record, which become lists; a record
        may lack them.
      optional: With `on_bad_row`, the columns that a record may have.

    Raises:
      InputError: for a file that cannot be read, a record that is not a tf.Example, or a record
        without exactly one value (UTF-8 text or a number) of a column that is used, with file and
        record.
    """
    if layers and layers[0] != "gzip":
        raise InputError(
            f"{path} is TFRecord compressed by {layers[0]}, which TensorFlow does not read; give "
            "it plain or compressed by gzip."
        )
    if len(layers) > 1:
        raise InputError(f"{path} was compressed {len(layers)} times; decompress it once.")
    compression = "GZIP" if layers else ""
    records = tf.data.TFRecordDataset(path, compression_type=compression).batch(BLOCK_ROWS)
    first = 1
    try:
        for batch in records.as_numpy_iterator():
            examples = _Examples(batch, path, first, lists)
            if on_bad_row:
                yield examples.read_good(on_bad_row, needed, optional)
            else:
                yield examples.read()
            first += len(batch)
    except tf.errors.OpError as error:
        raise InputError(f"cannot read {path} as TFRecord: {error.message}.") from error


class _Examples:
    """Some records.

    Args:
      records: [n] serialized tf.Examples.
      path: Their file.
      first: The number of the first one.
      lists: Columns that may have any number of values.
    """

    def __init__(self, records: np.ndarray, path: str, first: int, lists: Sequence[str]):
        self._records, self._path, self._lists = records, path, lists
        self._lines = np.arange(first, first + len(records))
        self._features = _decode(records)

    def read(self) -> Block:
        """Returns a block of them."""
        if self._features is None:
            return self._one_by_one
        names = sorted({*self._features, *self._lists})
        return self._make_block(names, functools.partial(self._make_column, may_lack=False))

    def read_good(
        self, on_bad_row: OnBadRow, needed: Sequence[str], optional: Sequence[str]
    ) -> Block:
        """Returns a block of those that are readable, with some columns."""
        if self._features is not None and self._are_good(needed, optional):
            return self._make_block((*needed, *optional), self._make_column)
        return read_good_examples(
            self._numbered, self._path, on_bad_row, needed, self._lists, optional
        )

    def _make_block(self, names: Sequence[str], make: Callable[[str], np.ndarray]) -> Block:
        lists = [name for name in names if name in self._lists]
        texts = [name for name in names if name not in lists and self._is_text(name)]
        return Block(
            Columns(names, make),
            self._path,
            self._lines,
            "record",
            is_examples=True,
            sparse=self._make_column,
            arrow=Columns(texts, lambda name: self._explain(name, self._read_text)),
            lists=Columns(lists, lambda name: self._explain(name, self._read_lists)),
        )

    @property
    def _numbered(self) -> list[tuple[int, bytes]]:
        return list(zip(self._lines.tolist(), self._records, strict=True))

    @functools.cached_property
    def _one_by_one(self) -> Block:
        return read_examples(self._numbered, self._path, self._lists)

    def _explain(self, name: str, read: Callable[[str], pa.Array]) -> pa.Array:
        """Reads a column; the message about text that is not UTF-8 names the record."""
        try:
            return read(name)
        except NotUtf8Error:
            self._one_by_one.column(name)
            raise

    def _get(self, name: str) -> pa.Array:
        """Returns a feature's values [n], null for none."""
        return self._features.get(name, pa.nulls(len(self._lines)))

    def _is_text(self, name: str) -> bool:
        """Whether each record has one text."""
        lists = self._get(name)
        return _have_one(lists) and typed_columns.is_text(lists.type.value_type)

    def _read_text(self, name: str) -> pa.Array:
        return typed_columns.to_text(self._get(name).flatten())

    def _read_lists(self, name: str) -> pa.Array:
        lists = self._get(name)
        if pa.types.is_null(lists.type):
            lists = lists.cast(pa.large_list(pa.large_string()))
        return typed_columns.to_lists(lists)

    def _are_good(self, needed: Sequence[str], optional: Sequence[str]) -> bool:
        """Whether the columns that are used have the values that they need."""
        singles = [name for name in needed if name not in self._lists]
        if not all(_have_one(self._get(name)) for name in singles):
            return False
        if not all(_have_one_at_most(self._get(name)) for name in optional):
            return False
        try:
            for name in (*needed, *optional):
                self._read_lists(name)
        except NotUtf8Error:
            return False
        return True

    def _make_column(self, name: str, may_lack: bool = True) -> np.ndarray:
        """Returns a raw column [n].

        Args:
          name: The column.
          may_lack: Whether it may lack values: of numbers NaN, else None.
        """
        lists = self._get(name)
        try:
            if name in self._lists:
                return np.fromiter(self._read_lists(name).to_pylist(), object, len(lists))
            if _have_one(lists):
                return _to_column(lists.flatten())
            if may_lack and _have_one_at_most(lists):
                return _to_sparse_column(lists)
        except NotUtf8Error:
            pass  # the message names the record
        by_record = self._one_by_one
        return by_record.sparse(name) if may_lack else by_record.column(name)


def _decode(records: np.ndarray) -> dict[str, pa.Array] | None:
    """Returns the features of tf.Examples [n], lists [n] each; None if they cannot be decoded."""
    try:
        batch = example_coder.ExamplesToRecordBatchDecoder().DecodeBatch(records.tolist())
        return dict(zip(batch.schema.names, batch.columns, strict=True))
    except (RuntimeError, ValueError):
        return None  # one is no tf.Example, or the type of a feature changes


def _have_one(lists: pa.Array) -> bool:
    """Whether each of n lists holds one value."""
    if pa.types.is_null(lists.type) or lists.null_count:
        return False
    return bool((lists.value_lengths().to_numpy() == 1).all())


def _have_one_at_most(lists: pa.Array) -> bool:
    if pa.types.is_null(lists.type):
        return True
    return bool((pc.fill_null(lists.value_lengths(), 0).to_numpy() <= 1).all())


def _to_column(values: pa.Array) -> np.ndarray:
    if typed_columns.is_text(values.type):
        return to_objects(typed_columns.to_text(values))
    return values.to_numpy()


def _to_sparse_column(lists: pa.Array) -> np.ndarray:
    """Returns values [n]: floats with NaN for none, or an object array with None for none."""
    column = np.full(len(lists), None, object)
    if pa.types.is_null(lists.type):
        return column
    present = pc.fill_null(lists.value_lengths(), 0).to_numpy() == 1
    values = _to_column(lists.flatten())
    if values.dtype == np.float32:
        column = np.full(len(lists), np.nan, np.float32)
    column[present] = values.tolist()
    return column
