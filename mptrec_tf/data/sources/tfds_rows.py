"""Reads raw rows from TensorFlow Datasets instead of files.

    tfds:movielens/100k-ratings#train[:80%]    a builder's name, as `tfds.builder` takes it
    tfds:gs://bucket/ratings/1.0.0#test        the directory of data that any builder prepared

After the # comes a split, as `tfds.load` takes it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.sources.bad_rows import NOT_UTF8, BadRow, OnBadRow
from mptrec_tf.data.sources.block import BLOCK_ROWS, Block
from mptrec_tf.errors import InputError

_PREFIX = "tfds:"
# Rows of a shard: enough work for one machine.
_SHARD_ROWS = 50_000


def is_tfds(path: str) -> bool:
    """Whether a path names rows of TensorFlow Datasets."""
    return path.startswith(_PREFIX)


def find_directory(path: str) -> str:
    """Returns the directory of the prepared files of the data set that `path` names.

    Raises:
      InputError: as `list_shards` does.
    """
    return str(_open_builder(path).data_path)


def list_shards(path: str) -> list[str]:
    """Splits the rows of `path` into paths that can be read on different machines.

    A builder without prepared data downloads and prepares them.

    Raises:
      InputError: for a data set that is unknown or cannot be prepared, or a split that it lacks.
    """
    builder = _open_builder(path)
    return [
        f"{_PREFIX}{builder.data_path}#{split}[{start}:{min(start + _SHARD_ROWS, stop)}]"
        for split, first, stop in _list_runs(builder, path)
        for start in range(first, stop, _SHARD_ROWS)
    ]


def count_rows(path: str) -> int:
    """Returns the number of rows that `path` names."""
    return sum(stop - start for _, start, stop in _list_runs(_open_builder(path), path))


def read_names(path: str, feature: str) -> list[str]:
    """Returns the names of the classes of a feature, or of the items of a sequence.

    Args:
      path: A path that `list_shards` takes or returns.
      feature: A `tfds.features.ClassLabel`, or a sequence of them.

    Raises:
      InputError: as `list_shards` does.
    """
    of = _open_builder(path).info.features[feature]
    return list(getattr(of, "feature", of).names)


def read_rows(
    path: str, on_bad_row: OnBadRow | None = None, lists: Sequence[str] = ()
) -> Iterator[Block]:
    """Yields the rows of `path`.

    Columns are the scalar features: text, numbers, and classes and truth values as integers.
    Nested features are named with a "/" (`user/age`); features with more than one value are left
    out, except for those in `lists`.

    Args:
      path: A path that `list_shards` takes or returns.
      on_bad_row: Called with each row that cannot be read, instead of raising an error.
      lists: Features whose rows become lists: sequences, ragged or of a fixed length.

    Raises:
      InputError: as `list_shards` does, and for text that is not UTF-8, with its record.
    """
    import tensorflow_datasets as tfds

    builder = _open_builder(path)
    for split, start, stop in _list_runs(builder, path):
        # Sequences of several lengths make no plain batch.
        rows = builder.as_dataset(
            split=f"{split}[{start}:{stop}]",
            batch_size=None if lists else BLOCK_ROWS,
            shuffle_files=False,
        )
        if lists:
            rows = rows.ragged_batch(BLOCK_ROWS)
        source = f"{_PREFIX}{builder.data_path}#{split}"
        for batch in tfds.as_numpy(rows):
            columns = dict(_select_columns(batch, lists))
            count = len(next(iter(columns.values()), ()))
            lines = np.arange(start, start + count) + 1
            if on_bad_row:
                good = _check_text(columns, source, lines, on_bad_row)
                columns, lines = {k: v[good] for k, v in columns.items()}, lines[good]
            columns = {name: _decode(v, name, source, lines) for name, v in columns.items()}
            yield Block(columns, source, lines, "record")
            start += count


def _open_builder(path: str):
    """Opens the builder that `path` names, with its data prepared."""
    import tensorflow_datasets as tfds

    import mptrec_tf.data.sets.tfds_builders  # noqa: F401 (registers builders)

    name, _ = _split_path(path)
    try:
        if "://" in name or name.startswith(("/", ".")):
            return tfds.builder_from_directory(name)
        builder = tfds.builder(name)
        if not builder.is_prepared():
            builder.download_and_prepare()
        return builder
    except InputError:
        raise
    # TFDS raises its own errors and those of the libraries that it downloads with.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        raise InputError(
            f"{path}: cannot open the TFDS data set {name!r} ({reason}); give the name of a "
            "builder, or the directory of data that one prepared (it holds dataset_info.json)."
        ) from error


def _list_runs(builder, path: str) -> list[tuple[str, int, int]]:
    """Returns runs of records: a split's name, the first record and the end."""
    import tensorflow_datasets as tfds

    _, split = _split_path(path)
    splits = builder.info.splits
    try:
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(splits)
    except ValueError as error:
        raise InputError(
            f"{path}: {split!r} is not a split of {builder.info.full_name}, which has "
            f"{', '.join(splits)}; write for example train or train[:80%]."
        ) from error
    return [
        (p.splitname, p.from_ or 0, splits[p.splitname].num_examples if p.to is None else p.to)
        for p in parts
    ]


def _split_path(path: str) -> tuple[str, str]:
    name, hash_sign, split = path.removeprefix(_PREFIX).rpartition("#")
    if not (name and hash_sign and split):
        raise InputError(
            f"{path!r} should be {_PREFIX}NAME#SPLIT, for example "
            f"{_PREFIX}movielens/100k-ratings#train[:80%]."
        )
    return name, split


def _select_columns(
    batch: Mapping, lists: Sequence[str], prefix: str = ""
) -> Iterator[tuple[str, np.ndarray]]:
    for name, values in batch.items():
        if isinstance(values, Mapping):
            yield from _select_columns(values, lists, f"{prefix}{name}/")
        elif prefix + name in lists and not (isinstance(values, np.ndarray) and values.ndim == 1):
            rows = values.tolist() if isinstance(values, np.ndarray) else values.to_list()
            yield prefix + name, np.fromiter(rows, object, len(rows))
        elif isinstance(values, np.ndarray) and values.ndim == 1:
            yield prefix + name, values


def _decode(values: np.ndarray, name: str, source: str, lines: np.ndarray) -> np.ndarray:
    if values.dtype == bool:
        return values.astype(np.int64)
    if values.dtype != object:
        return values
    text = np.empty(len(values), object)
    for row, value in enumerate(values):
        try:
            text[row] = _decode_value(value)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{source}, record {lines[row]}: feature {name!r} is not UTF-8 text "
                f"({error.reason})."
            ) from error
    return text


def _decode_value(value: Any) -> Any:
    """Returns a value with its bytes as text; of a list, those of each item."""
    if isinstance(value, list):
        return [_decode_value(item) for item in value]
    return value.decode() if isinstance(value, bytes) else value


def _check_text(
    columns: Mapping[str, np.ndarray], source: str, lines: np.ndarray, on_bad_row: OnBadRow
) -> np.ndarray:
    """Returns a mask [n] of the rows whose text is all UTF-8, and reports the others."""
    good = np.ones(len(lines), bool)
    for name, values in columns.items():
        for row in np.flatnonzero(good) if values.dtype == object else ():
            try:
                _decode_value(values[row])
            except UnicodeDecodeError as error:
                good[row] = False
                reason = f"feature {name!r} is {NOT_UTF8} ({error.reason})"
                on_bad_row(BadRow(source, int(lines[row]), NOT_UTF8, reason))
    return good
