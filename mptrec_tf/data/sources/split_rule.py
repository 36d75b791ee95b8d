"""The rule that gives each row of one set of files its split: by hash, or by time.

It depends on the row alone, so that the same rows are split alike on every machine, whatever their
order and their files. Imports no TensorFlow.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mptrec_tf.data.canonical import canonicalize, is_missing
from mptrec_tf.data.sources.row_times import format_time, read_times
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Block

TIME = "time:"
DEFAULT_SHARES = (0.8, 0.1, 0.1)
_canonical = functools.lru_cache(maxsize=1 << 17)(canonicalize)
_HASHES = 2.0**64
_BETWEEN = "\x1f"  # values of a row; text that a person writes has none
# Most distinct times that are counted one by one.
MOST_TIMES = 1 << 20
_PER_MERGE = 1 << 18  # times that are collected before they are counted


@dataclasses.dataclass(frozen=True)
class SplitRule:
    """How rows are split into train, validation and test.

    Attributes:
      shares: Of the rows for train, validation and test; their sum is 1.
      by: Optional str. A column: all rows of one of its values go to one split. "time:" and a
        column: the earliest rows are for train, then validation, then test. None: by a row's
        features.
      columns: Without `by`, the columns that are hashed. Set by `fit`.
      cuts: By time, the first times of validation and of test. Set by `fit`.
      kind: By time, NUMBERS or DATES of `row_times`. Set by `fit`.

    Example:
      >>> SplitRule(by="time:timestamp").time_column
      'timestamp'
    """

    shares: tuple[float, ...] = DEFAULT_SHARES
    by: str | None = None
    columns: tuple[str, ...] = ()
    cuts: tuple[float, ...] = ()
    kind: str | None = None

    @property
    def time_column(self) -> str | None:
        """The column of times; None if the rule is by hash."""
        return self.by.removeprefix(TIME) if self.by and self.by.startswith(TIME) else None

    def problems(self) -> Iterable[str]:
        """Yields a sentence for each problem with the shares and the column."""
        given = ",".join(f"{share:g}" for share in self.shares)
        example = "give three for train, validation and test, such as 0.8,0.1,0.1"
        if len(self.shares) != len(SPLITS):
            yield f"{given} is not three shares; {example}"
        elif not all(share > 0 for share in self.shares):
            yield f"{given} leaves a split without rows; {example}"
        elif abs(math.fsum(self.shares) - 1) > 1e-6:
            yield f"the shares {given} sum to {math.fsum(self.shares):g}, not to 1; {example}"
        if self.by is not None and not self.by.removeprefix(TIME):
            yield "the column's name is missing"

    def find_splits(self, block: "Block", missing_values: Sequence[str]) -> np.ndarray:
        """Returns the split of each of n rows, [n] int: a place in `SPLITS`.

        Raises:
          InputError: for a missing column, or a value that is no time.
        """
        if self.time_column:
            times, _ = read_times(block, self.time_column, self.kind)
            return np.searchsorted(self.cuts, times, side="right")
        ends = [math.fsum(self.shares[: n + 1]) for n in range(len(SPLITS) - 1)]
        return np.searchsorted(ends, self._hash(block, missing_values), side="right")

    def _hash(self, block: "Block", missing_values: Sequence[str]) -> np.ndarray:
        """Returns a number in [0, 1] for each row."""
        if not self.by:
            return _hash_rows(block, self.columns)
        keys = _canonical_texts(block, self.by)
        hashes = _hash_texts(keys)
        missing = np.array([is_missing(key, missing_values) for key in keys], bool)
        # Rows without a user are not the rows of one user.
        if missing.any() and self.columns:
            hashes[missing] = _hash_rows(block.rows(missing), self.columns)
        return hashes

    def describe(self) -> str:
        """Returns the rule in words."""
        shares = " / ".join(f"{share:g}" for share in self.shares)
        if not self.time_column:
            of = f"values of {self.by}" if self.by else "rows"
            return f"{shares} of {of}, by hash"
        validation, test = (format_time(cut, self.kind) for cut in self.cuts)
        return f"{shares} by {self.time_column}: validation from {validation}, test from {test}"


def _hash_rows(block: "Block", columns: Sequence[str]) -> np.ndarray:
    rows = zip(*(_canonical_texts(block, name) for name in columns), strict=True)
    return _hash_texts([_BETWEEN.join(row) for row in rows])


def _hash_texts(texts: Sequence[str]) -> np.ndarray:
    """Returns a number in [0, 1] for each text: SipHash with a fixed key, the same everywhere."""
    import pandas as pd

    hashes = pd.util.hash_array(np.array(texts, object), categorize=False)
    return hashes.astype(np.float64) / _HASHES


def _canonical_texts(block: "Block", name: str) -> np.ndarray:
    """Returns a column as text in canonical form; the values of a list one after the other."""
    if name in block.arrow:
        distinct, codes = block.distinct(name)
    else:
        import pandas as pd

        texts = [_to_text(value) for value in block.text(name)]
        codes, distinct = pd.factorize(np.array(texts, object))
    return np.array([_canonical(text) for text in distinct], object)[codes]


def _to_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple | np.ndarray):
        return "|".join(map(_to_text, value))
    return str(value)


class TimeCounts:
    """Counts rows by time, in bounded memory, whatever the order of the rows.

    Up to `most` distinct times are counted one by one. With more, times that share the upper bits
    of their float64 are counted as one, with as many bits as fit: what is counted depends on the
    times alone.
    """

    def __init__(self, most: int = MOST_TIMES):
        self._most = most
        self._keys, self._rows = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._dropped = 0  # bits
        self._new: list[np.ndarray] = []
        self._waiting = 0

    def add(self, times: np.ndarray) -> None:
        """Counts rows with times [n] float64."""
        self._new.append(times)
        self._waiting += len(times)
        if self._waiting >= _PER_MERGE:
            self._merge()

    def _merge(self) -> None:
        if not self._new:
            return
        new = _to_ordered(np.concatenate(self._new)) >> self._dropped
        self._new, self._waiting = [], 0
        self._count(
            np.concatenate([self._keys, new]),
            np.concatenate([self._rows, np.ones(len(new), np.int64)]),
        )
        while len(self._keys) > self._most:
            self._dropped += 1
            self._count(self._keys >> 1, self._rows)

    def _count(self, keys: np.ndarray, rows: np.ndarray) -> None:
        self._keys, places = np.unique(keys, return_inverse=True)
        self._rows = np.zeros(len(self._keys), np.int64)
        np.add.at(self._rows, places.ravel(), rows)

    def by_time(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns times, ascending, and the rows from each one until the next."""
        self._merge()
        return _from_ordered(self._keys << self._dropped), self._rows


def _to_ordered(times: np.ndarray) -> np.ndarray:
    """Returns the bits of float64 as int64 that are in the same order."""
    bits = np.asarray(times, np.float64).view(np.int64)
    return np.where(bits < 0, bits ^ np.int64(0x7FFF_FFFF_FFFF_FFFF), bits)


def _from_ordered(keys: np.ndarray) -> np.ndarray:
    return np.where(keys < 0, keys ^ np.int64(0x7FFF_FFFF_FFFF_FFFF), keys).view(np.float64)


def choose_cuts(
    times: np.ndarray, rows: np.ndarray, shares: Sequence[float]
) -> tuple[float, float] | None:
    """Returns the first times of validation and test; None with fewer than three times.

    Rows of one time stay together. Of all cuts that leave no split empty, those are taken whose
    numbers of rows are nearest to the shares.

    Args:
      times: Distinct times, ascending.
      rows: Their rows.
      shares: Of train, validation and test.
    """
    before = np.cumsum(rows)[:-1]  # before[i]: the rows before times[i + 1]
    wanted = [math.fsum(shares[: n + 1]) * rows.sum() for n in range(2)]
    nearby = []
    for rows_wanted in wanted:
        at = int(np.searchsorted(before, rows_wanted))
        nearby.append([i for i in range(at - 2, at + 3) if 0 <= i < len(before)])
    pairs = [(a, b) for a, b in itertools.product(*nearby) if a < b]
    if not pairs:
        return None
    first, second = min(
        pairs, key=lambda p: sum(abs(before[i] - w) for i, w in zip(p, wanted, strict=True))
    )
    return float(times[first + 1]), float(times[second + 1])


def fit(
    rule: SplitRule,
    blocks: "Iterable[Block]",
    features: Sequence[str],
    missing_values: Sequence[str],
    of: str,
) -> SplitRule:
    """Returns a rule with what it takes from the rows.

    By time, all rows are read once, to find the cuts. By hash, they are read until each split has
    some.

    Args:
      rule: The rule.
      blocks: All rows.
      features: Columns of the features.
      missing_values: Texts that count as missing.
      of: What the rows are, for messages.

    Raises:
      InputError: for a split without rows, a missing column, or a value that is no time.
    """
    rule = dataclasses.replace(rule, columns=tuple(sorted(set(features))))
    if rule.time_column:
        counts, kind = TimeCounts(), None
        for block in filter(len, blocks):
            times, kind = read_times(block, rule.time_column, kind)
            counts.add(times)
        times, rows = counts.by_time()
        cuts = choose_cuts(times, rows, rule.shares) if len(times) else None
        if cuts is None:
            raise InputError(
                f"{of} cannot be split by time: column {rule.time_column!r} has {len(times)} "
                f"different {'time' if len(times) == 1 else 'times'} in {rows.sum():,} rows, and "
                "train, validation and test need one each, since rows of one time stay together."
            )
        return dataclasses.replace(rule, columns=(), cuts=cuts, kind=kind)
    seen: set[int] = set()
    rows = 0
    for block in filter(len, blocks):
        seen |= set(rule.find_splits(block, missing_values).tolist())
        rows += len(block)
        if len(seen) == len(SPLITS):
            return rule
    empty = next(split for place, split in enumerate(SPLITS) if place not in seen)
    what = f"values of {rule.by!r}" if rule.by else "different rows"
    raise InputError(
        f"the split of {of} leaves no {empty} rows: their {rows:,} rows have too few {what}; split "
        "by another column, with another share, or give a file for each split."
    )
