"""Begins the training of an added task's head with the weights that it had on the old backbone.

A backbone that began with the old one's weights has representations that are near the old ones, so
that the old head is near its best on them.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from mptrec_tf.artifacts.backbones import StoredBackbone
from mptrec_tf.artifacts.task_packages import TaskPackage
from mptrec_tf.models.heads.base import Head
from mptrec_tf.models.heads.kind import IdRanges
from mptrec_tf.models.heads.registry import HEADS, shape_to_plain
from mptrec_tf.models.weights import named_weights, set_named_weights
from mptrec_tf.renewal.plan import find_kind
from mptrec_tf.renewal.warm_start import (
    Meaning,
    carry_rows,
    list_column_meanings,
    shorten_training,
)
from mptrec_tf.training.configurations import NewTaskConfig


@dataclasses.dataclass(frozen=True)
class WarmHead:
    """What comes before the training of an added task's head: see `learn`'s `begin`.

    Attributes:
      package: The task with its old head.
      old: The backbone that it was trained on.
      new: The backbone that takes its place, and began with its weights.
    """

    package: TaskPackage
    old: StoredBackbone
    new: StoredBackbone

    def fits(self, config: NewTaskConfig) -> bool:
        """Whether the new head has the kind, the shape and the tasks to read that the old one had.

        Otherwise it begins afresh, and takes the whole training.
        """
        shape = self.package.head.config
        if find_kind(shape_to_plain(shape)) != config.head:
            return False
        ranges = {f.name: getattr(shape, f.name) for f in dataclasses.fields(shape)}
        ranges = {name: of for name, of in ranges.items() if name.endswith("_ranges")}
        same = HEADS.get(config.head).make_shape(**{**config.shape, **ranges}) == shape
        return same and self.old.shape.tasks == self.new.shape.tasks

    def shorten(self, config: NewTaskConfig) -> NewTaskConfig:
        """Returns what is left of a training that begins with the old head's weights."""
        training = shorten_training(config.whole_training(config.head))
        fields = {f.name: getattr(training, f.name) for f in dataclasses.fields(training)}
        return dataclasses.replace(config, training=fields)

    def begin(self, head: Head) -> None:
        """Sets a fresh head's weights to those of the old one.

        Weights of single ids follow the values that these stand for, as embeddings do.
        """
        before = list_column_meanings(self.old.spec, self.old.transform_dir)
        after = list_column_meanings(self.new.spec, self.new.transform_dir)
        known = {name: of.numpy() for name, of in named_weights(self.package.head).items()}
        values = {name: of.numpy() for name, of in named_weights(head).items()}
        old_tables, tables = self.package.head.list_id_tables(), head.list_id_tables()
        for name in values.keys() & known.keys():
            if name in tables and name in old_tables:
                rows = _list_rows(old_tables[name], before), _list_rows(tables[name], after)
                values[name] = _carry_table(known[name], rows[0], values[name], rows[1])
            elif values[name].shape == known[name].shape:
                values[name] = known[name]
        set_named_weights(head, values)


def find_warm_head(
    packages: Sequence[TaskPackage],
    task: str,
    config: NewTaskConfig,
    old: StoredBackbone,
    new: StoredBackbone,
) -> WarmHead | None:
    """Returns what a task's head begins with; None where it begins afresh.

    Args:
      packages: The added tasks of the model that is renewed.
      task: The name of the task.
      config: How it is trained.
      old: The backbone that is renewed.
      new: The backbone that takes its place.
    """
    found = [WarmHead(package, old, new) for package in packages if package.task.name == task]
    return found[0] if found and found[0].fits(config) else None


def _list_rows(ranges: IdRanges, meanings: Mapping[int, Sequence[Meaning]]) -> list[Meaning]:
    """Returns what the rows of a table stand for that has the ids of some columns."""
    return [meaning for column, _, _ in ranges for meaning in meanings[column]]


def _carry_table(
    known: np.ndarray, before: list[Meaning], fresh: np.ndarray, after: list[Meaning]
) -> np.ndarray:
    """Returns `carry_rows` of tables [n, width], or of a number for each id, [n]."""
    tables = known.reshape(len(known), -1), fresh.reshape(len(fresh), -1)
    return carry_rows(tables[0], before, tables[1], after).reshape(fresh.shape)
