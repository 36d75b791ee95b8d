"""Where a benchmark's rows come from: a built-in data set, or a user's own files.

Imports no TensorFlow.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.sets import registry
from mptrec_tf.data.spec import DatasetSpec

if TYPE_CHECKING:
    from mptrec_tf.data.sources.block import Block, Source


@dataclasses.dataclass(frozen=True)
class RowSource:
    """The rows of a benchmark.

    Attributes:
      dataset: str. A data set that is known by its name; empty for a spec.
      options: Its options.
      spec: Optional. The spec of a user's own files.
      files: Their patterns by split.
      most_rows: int. Only the first rows of each split, for quick runs; 0: all.
    """

    dataset: str = ""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    spec: DatasetSpec | None = None
    files: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    most_rows: int = 0

    def make_spec(self, tasks: Sequence[str]) -> DatasetSpec:
        """Returns the spec for tasks; the label columns of a built-in data set are no features.

        Raises:
          InputError: for an unknown task.
        """
        if self.spec is None:
            return registry.make_built_in_spec(self.dataset, tasks)
        self.spec.select_tasks(tasks)
        return self.spec

    def open(self, tasks: Sequence[str]) -> "Source":
        """Opens the rows.

        Raises:
          InputError: for an unknown task, or for missing files.
        """
        if self.spec is not None:
            from mptrec_tf.data.sources.tabular import Tabular

            source = Tabular(self.spec, {s: list(files) for s, files in self.files.items()})
        else:
            source = registry.open_source(self.dataset, tasks=tasks, **self.options)
        return FirstRows(source, self.most_rows) if self.most_rows else source


class FirstRows:
    """The first rows of each shard of a source, as files may hold rows of different kinds.

    Args:
      source: The source.
      count: The most rows of a split; each of its shards gives as many.
    """

    def __init__(self, source: "Source", count: int):
        self.spec = source.spec
        self._source, self._count = source, count

    def join(
        self, directory: str, make_pipeline: Callable[[], Any], counts: Any = None
    ) -> "FirstRows":
        """Returns a source whose rows are joined, see `join_rows`."""
        from mptrec_tf.data.sources.joining import join_rows

        return FirstRows(join_rows(self._source, directory, make_pipeline, counts), self._count)

    def shards(self, split: str) -> Sequence[Any]:
        """Returns one shard: all rows that are left."""
        return [split]

    def read(self, shard: str) -> "Iterator[Block]":
        """Yields the rows of a split."""
        shards = self._source.shards(shard)
        left = self._count
        for place, of_split in enumerate(shards):
            of_shard = -(-left // (len(shards) - place))
            for part in _take(self._source.read(of_split), of_shard):
                left -= len(part)
                yield part

    def estimated_rows(self, split: str) -> int:
        """Returns an estimate of a split's rows."""
        return min(self._count, self._source.estimated_rows(split))


def _take(blocks: "Iterator[Block]", count: int) -> "Iterator[Block]":
    """Yields the first rows of blocks, at most so many."""
    for block in blocks:
        if count and len(block):
            yield block if len(block) <= count else block.rows(slice(count))
        count -= min(count, len(block))
        if not count:
            return
