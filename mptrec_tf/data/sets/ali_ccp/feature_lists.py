r"""Parses Ali-CCP's feature lists, without a loop over rows.

A list is entries "field \x02 feature \x03 value" separated by \x01; the feature is an id of all
fields together, and the value a weight. Fields may come several times in a row.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mptrec_tf.data.sets.ali_ccp.spec import COUNT, FEATURE_LIST
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.lookup import read_text
from mptrec_tf.errors import InputError

_PARSED = 16 << 20  # bytes of lists that are parsed at a time


def parse_fields(block: Block, fields: Sequence[str]) -> dict[str, pa.Array]:
    """Returns the feature of each row [n] for some fields; empty text where a row lacks it.

    Of a field that comes several times in a row, the last one counts.

    Args:
      block: Rows of a file, with the columns feature_count and feature_list.
      fields: Names of fields.

    Raises:
      InputError: for a list that is cut off or malformed, with file and line.
    """
    lists, counts = read_text(block, FEATURE_LIST), read_text(block, COUNT)
    parts = [
        _parse(block, rows, lists[rows.start : rows.stop], counts[rows.start : rows.stop], fields)
        for rows in _cut(lists)
    ]
    columns = zip(*parts, strict=True)
    return {field: pa.concat_arrays(column) for field, column in zip(fields, columns, strict=True)}


def _cut(lists: pa.Array) -> Iterator[range]:
    """Yields ranges of rows whose lists fit into `_PARSED` bytes, or of one row."""
    ends = np.cumsum(pc.binary_length(lists).to_numpy())
    start = 0
    while start < len(lists):
        before = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, before + _PARSED, side="right")), start + 1)
        yield range(start, stop)
        start = stop


def _parse(
    block: Block, rows: range, lists: pa.Array, counts: pa.Array, fields: Sequence[str]
) -> list[pa.Array]:
    entries, row = _flatten(pc.split_pattern(lists, "\x01"))
    filled = pc.binary_length(entries).to_numpy() > 0
    if not filled.all():  # an empty list has one empty entry
        entries, row = entries.filter(pa.array(filled)), row[filled]
    _check_counts(block, rows, np.bincount(row, minlength=len(lists)), counts)
    names, rest = _split(block, rows, entries, row, "\x02")
    code = pc.index_in(names, value_set=pa.array(fields, pa.large_string()))
    used = np.flatnonzero(code.is_valid())
    code = code.take(pa.array(used)).to_numpy()
    features, _ = _split(block, rows, rest.take(pa.array(used)), row[used], "\x03")
    place = np.full((len(fields), len(lists)), -1)
    place[code, row[used]] = np.arange(len(used))  # the last one of several stays
    return [
        pc.fill_null(features.take(pa.array(of_field, mask=of_field < 0)), "") for of_field in place
    ]


def _flatten(lists: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Returns the entries of all lists [m], and the row of each, [m] int."""
    lengths = pc.list_value_length(lists).to_numpy()
    return lists.flatten(), np.repeat(np.arange(len(lists)), lengths)


def _check_counts(block: Block, rows: range, found: np.ndarray, counts: pa.Array) -> None:
    told = pc.utf8_trim_whitespace(counts)
    wrong = np.flatnonzero(told.to_numpy(zero_copy_only=False) != found.astype(str).astype(object))
    if len(wrong):
        at = int(wrong[0])
        raise InputError(
            f"{block.where(rows.start + at)}: its feature list has {found[at]} entries, but "
            f"{COUNT} is {told[at].as_py()!r}; get the file again if it is cut off."
        )


def _split(
    block: Block, rows: range, entries: pa.Array, row: np.ndarray, mark: str
) -> tuple[pa.Array, pa.Array]:
    """Returns what is before and after a mark in each entry [m].

    Raises:
      InputError: for an entry without the mark.
    """
    parts = pc.split_pattern(entries, mark, max_splits=1)
    lengths = pc.list_value_length(parts).to_numpy()
    if (lengths != 2).any():
        at = int(np.flatnonzero(lengths != 2)[0])
        raise InputError(
            f"{block.where(rows.start + int(row[at]))}: entry {entries[at].as_py()!r} of its "
            f"feature list has no {mark!r}; entries are field \\x02 feature \\x03 value."
        )
    flat, first = parts.flatten(), np.arange(0, 2 * len(entries), 2)
    return flat.take(pa.array(first)), flat.take(pa.array(first + 1))
