"""A source of one set of files whose rows are split by a rule."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from mptrec_tf.data.sources import split_rule
from mptrec_tf.data.sources.block import Block, Source
from mptrec_tf.data.sources.split_rule import SplitRule
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.storage.plain import to_plain

# The name of the one split of files that are to be split.
FILES = "files"


class SplitRows:
    """The rows of a source's one split, in three: each row is in the split that a rule gives it.

    Every split reads all files and takes its own rows.

    Args:
      source: The rows, all in the split FILES.
      rule: How they are split. A rule that was fitted before, on these or other rows, is used as it
        is.
      on_rows: Called with the number of rows of each block that is read to fit the rule.

    Attributes:
      rule: The rule, fitted to the rows.
      empty: Files without rows; they are skipped.

    Raises:
      InputError: as `split_rule.fit` does.

    Example:
      files = Tabular(spec_yaml.load("spec.yaml"), {"files": ["rows-*.csv"]})
      source = SplitRows(files, SplitRule(by="user_id"))
      for block in read_split(source, "test"):
          print(len(block))
    """

    def __init__(
        self,
        source: Source,
        rule: SplitRule,
        on_rows: Callable[[int], Any] = lambda rows: None,
    ):
        self.spec = source.spec
        self.empty = getattr(source, "empty", {})
        self._source = source
        if not (rule.cuts or rule.columns):
            rule = split_rule.fit(
                rule,
                self._read_all(on_rows),
                self.spec.feature_names,
                self.spec.missing_values,
                ", ".join(map(str, source.shards(FILES)[:3])),
            )
        self.rule = rule

    def _read_all(self, on_rows: Callable[[int], Any]) -> Iterator[Block]:
        for shard in self._source.shards(FILES):
            for block in self._source.read(shard):
                yield block
                on_rows(len(block))

    def shards(self, split: str) -> Sequence[tuple[str, Any]]:
        """Returns the split and a shard, for all shards; `read` takes the split's rows of each."""
        return [(split, shard) for shard in self._source.shards(FILES)]

    def read(self, shard: tuple[str, Any]) -> Iterator[Block]:
        """Yields the rows of a shard that are in a split, in order."""
        split, of = shard
        return select_rows(self._source.read(of), self.rule, split, self.spec.missing_values)

    def estimated_rows(self, split: str) -> int:
        """Returns an estimate of a split's rows."""
        share = self.rule.shares[SPLITS.index(split)]
        return round(share * self._source.estimated_rows(FILES))

    def describe_split(self) -> dict[str, Any]:
        """Returns how the rows were split, as plain data that is stored with prepared data."""
        files = [str(shard) for shard in self._source.shards(FILES)]
        return {"files": files, "rule": to_plain(self.rule), "text": self.rule.describe()}


def select_rows(
    blocks: Iterable[Block], rule: SplitRule, split: str, missing_values: Sequence[str]
) -> Iterator[Block]:
    """Yields the rows of blocks that a fitted rule puts into a split.

    Raises:
      InputError: as `SplitRule.find_splits` does.
    """
    place = SPLITS.index(split)
    for block in filter(len, blocks):
        mine = np.flatnonzero(rule.find_splits(block, missing_values) == place)
        if len(mine):
            yield block.rows(mine)


def describe_split(source: Source) -> dict[str, Any] | None:
    """Returns how a source split its rows; None if its splits were given."""
    return source.describe_split() if hasattr(source, "describe_split") else None
