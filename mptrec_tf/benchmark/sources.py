"""Where a benchmark's rows come from: a built-in data set, or a user's own files.

Imports no TensorFlow.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.sets import registry
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.errors import InputError, did_you_mean

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

    def make_spec(self, tasks: Sequence[str], rules: Sequence[Task] = ()) -> DatasetSpec:
        """Returns the spec for tasks that the data set knows, and for more of given label rules.

        The label columns of all of them are no features.

        Raises:
          InputError: for an unknown task, or a label rule on a column that is not there.
        """
        if self.spec is not None:
            self.spec.select_tasks(tasks)
            spec = self.spec
        else:
            spec = registry.make_built_in_spec(self.dataset, tasks)
        return add_label_rules(spec, rules)

    def open(self, tasks: Sequence[str], rules: Sequence[Task] = ()) -> "Source":
        """Opens the rows.

        Args:
          tasks: Names of tasks that the data set knows.
          rules: More tasks, whose label columns are taken out of the features.

        Raises:
          InputError: as `make_spec` does, or for missing files.
        """
        if self.spec is not None:
            from mptrec_tf.data.sources.tabular import Tabular

            source = Tabular(self.spec, {s: list(files) for s, files in self.files.items()})
        else:
            source = registry.open_source(self.dataset, tasks=tasks, **self.options)
        source.spec = add_label_rules(source.spec, rules)
        return FirstRows(source, self.most_rows) if self.most_rows else source


def add_label_rules(spec: DatasetSpec, rules: Sequence[Task]) -> DatasetSpec:
    """Returns a spec with more tasks, whose label columns are no features any more.

    Raises:
      InputError: if a label column is not among the features.
    """
    names = [feature.name for feature in spec.features]
    for task in rules:
        if task.label not in names:
            raise InputError(
                f"task {task.name!r} reads column {task.label!r}, which is no feature of data set "
                f"{spec.name!r}{did_you_mean(task.label, names)}"
            )
    labels = {task.label for task in rules}
    return dataclasses.replace(
        spec,
        features=tuple(f for f in spec.features if f.name not in labels),
        tasks=(*spec.tasks, *rules),
    )


class FirstRows:
    """The first rows of each split of a source.

    Args:
      source: The source.
      count: The most rows of a split; they come from its first shards.
    """

    def __init__(self, source: "Source", count: int):
        self.spec = source.spec
        self._source, self._count = source, count

    def join(self, directory: str, make_pipeline: Callable[[], Any]) -> "FirstRows":
        """Returns a source whose rows are joined, see `join_rows`."""
        from mptrec_tf.data.sources.block import join_rows

        return FirstRows(join_rows(self._source, directory, make_pipeline), self._count)

    def shards(self, split: str) -> Sequence[Any]:
        """Returns one shard: all rows that are left."""
        return [split]

    def read(self, shard: str) -> "Iterator[Block]":
        """Yields the rows of a split."""
        left = self._count
        shards = self._source.shards(shard)
        for block in itertools.chain.from_iterable(map(self._source.read, shards)):
            part = block if len(block) <= left else block.rows(slice(left))
            left -= len(part)
            if len(part):
                yield part
            if not left:
                return

    def estimated_rows(self, split: str) -> int:
        """Returns an estimate of a split's rows."""
        return min(self._count, self._source.estimated_rows(split))
