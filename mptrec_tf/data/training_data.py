"""What training needs of its data, wherever they come from.

Prepared data (`prepared_data`) were packed ahead; a pipeline's raw examples (`raw_examples`) are
packed as they are read. Importing this imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf


class TrainingData(Protocol):
    """Labelled rows by split, and the preprocessing graph that packs them.

    Attributes:
      directory: str. Where they are.
      transform_dir: str. Directory of the preprocessing graph.
      spec: The data set's spec.
      embedding_rows: int. Ids of all categorical features together.
      splits: Rows (`rows`) and positives by task (`positives`) of each split.
    """

    directory: str
    transform_dir: str
    spec: DatasetSpec
    embedding_rows: int
    splits: Mapping[str, Mapping[str, Any]]

    def files(self, split: str) -> list[str]:
        """Returns the split's TFRecord files, sorted; compressed where a name ends in .gz.

        Raises:
          InputError: if there are none.
        """

    def parse(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parses [B] serialized examples: features, `labels` [B, T], and `weight` [B] if any."""

    def task_columns(self, tasks: Sequence[str]) -> list[int]:
        """Columns of `labels` that hold these tasks.

        Raises:
          InputError: for an unknown task, or one with a single class in train or validation.
        """
        if not tasks:
            raise InputError(
                f"name at least one task; there are {', '.join(self.spec.task_names)}."
            )
        for task in self.spec.select_tasks(tasks):
            for split in ("train", "validation"):
                rows = self.splits[split]["rows"]
                positives = self.splits[split]["positives"][task.name]
                if positives in (0, rows):
                    raise InputError(
                        f"task {task.name!r} has one class only in the {split} split: {positives} "
                        f"positives in {rows} rows of {self.directory} (label column "
                        f"{task.label!r}); check what counts as positive."
                    )
        return [self.spec.task_names.index(name) for name in tasks]


def check_labels_of(old_tasks: Sequence[str], data: TrainingData) -> None:
    """Rejects data that lack the labels of pre-trained tasks, for joint training with them.

    Raises:
      InputError: naming the tasks.
    """
    missing = [task for task in old_tasks if task not in data.spec.task_names]
    if missing:
        raise InputError(
            f"{data.directory} has no labels of {', '.join(missing)}, which joint training with "
            "the old tasks needs; leave out --compare, or prepare data with them."
        )
