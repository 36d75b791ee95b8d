"""The interface of training data.

Prepared data (`prepared`) are already packed; a pipeline's raw examples (`raw_examples`) are packed
as they are read. Imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf


# The fields of a survey that descriptions of data hold by split.
SPLIT_FIELDS = ("rows", "tasks")


class TrainingData(Protocol):
    """Labelled rows by split, and the preprocessing graph that packs them.

    Attributes:
      directory: str. Directory of the data.
      transform_dir: str. Directory of the preprocessing graph.
      spec: The data set's spec.
      inputs: The shapes of the features of each kind, in the order of x.
      splits: By split, its rows (`rows`) and statistics of labels by task (`tasks`, see
        `Task.summary`).
    """

    directory: str
    transform_dir: str
    spec: DatasetSpec
    inputs: tuple[InputShape, ...]
    splits: Mapping[str, Mapping[str, Any]]

    def files(self, split: str) -> list[str]:
        """Returns the split's TFRecord files, sorted; compressed where a name ends in .gz.

        Raises:
          InputError: if there are none.
        """

    def parse(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parses [B] serialized examples: features, `labels` [B, T], and `weight` [B] if any."""

    def task_columns(self, tasks: Sequence[str]) -> list[int]:
        """Returns the columns of `labels` of these tasks.

        Raises:
          InputError: for an unknown task, or one with the same label in all rows of a split.
        """
        if not tasks:
            raise InputError(
                f"name at least one task; there are {', '.join(self.spec.task_names)}."
            )
        for task in self.spec.select_tasks(tasks):
            for split in ("train", "validation"):
                of = self.splits[split]
                rows = task.count_labelled(of)
                if not rows:
                    raise InputError(
                        f"task {task.name!r} has no label in the {split} split of {self.directory} "
                        f"(label column {task.label!r}); give rows that have it."
                    )
                reason = task.explain_one_label(of["tasks"][task.name], rows)
                if reason:
                    raise InputError(
                        f"task {task.name!r} has {task.one_label} in the {split} split: {reason} "
                        f"of {self.directory} (label column {task.label!r}); {task.label_hint}."
                    )
                if task.weight and not of["tasks"][task.name]["weight"]:
                    raise InputError(
                        f"column {task.weight!r} weighs all {split} rows of {self.directory} 0 "
                        f"that have a label for task {task.name!r}; give other weights."
                    )
        return [self.spec.task_names.index(name) for name in tasks]


def detect_compression(files: Sequence[str]) -> str:
    """Returns how TFRecord files of a split are compressed, in TensorFlow's words."""
    return "GZIP" if files[0].endswith(".gz") else ""


def check_splits(splits: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
    """Returns the `splits` of a description after checking their fields.

    Raises:
      KeyError: for a field that an older version did not write.
    """
    for of in splits.values():
        for field in SPLIT_FIELDS:
            of[field]
    return splits


def check_has_labels(old_tasks: Sequence[str], data: TrainingData) -> None:
    """Rejects data without the labels of pre-trained tasks, for joint training with them.

    Raises:
      InputError: naming the tasks.
    """
    missing = [task for task in old_tasks if task not in data.spec.task_names]
    if missing:
        raise InputError(
            f"{data.directory} has no labels of {', '.join(missing)}, which joint training with "
            "the old tasks needs; leave out --compare, or prepare data with them."
        )


def check_same_labels(tasks: Sequence[Task], data: TrainingData) -> None:
    """Rejects data whose training rows gave a model's tasks other labels, such as more classes.

    Args:
      tasks: The tasks as the model was trained on them. Those that the data lack are left out.
      data: Labelled rows.

    Raises:
      InputError: naming the first task.
    """
    theirs = {task.name: task for task in data.spec.tasks}
    for task in tasks:
        if task.name in theirs and not task.same_labels(theirs[task.name]):
            raise InputError(
                f"task {task.name!r}: the training rows of {data.directory} have other label "
                f"values in column {task.label!r} than those that the model was trained on; list "
                "the same ones in both specs, and prepare the data again."
            )
