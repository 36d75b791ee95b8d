"""Reads what `mptrec-prepare` wrote: packed examples, the spec, and the preprocessing graph.

    <directory>/
      data.json            the spec, the shapes of packed features, rows and labels by split, a
                           survey of the raw rows, and how rows were split if a rule did it
      transform/           the preprocessing graph (TensorFlow Transform's output)
      train-*.tfrecord     packed examples, perhaps with .gz; validation-* and test-* likewise

Training reads nothing else. TensorFlow is imported only when examples are read, so that errors in
the description are reported at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.input_shape import InputShape
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.label_survey import LEFT_OUT
from mptrec_tf.data.training_data import SPLIT_FIELDS, TrainingData, check_splits
from mptrec_tf.errors import InputError
from mptrec_tf.storage.directories import write_file
from mptrec_tf.storage.json_files import open_description
from mptrec_tf.storage.plain import from_plain, to_plain

if TYPE_CHECKING:
    import tensorflow as tf

_DESCRIPTION = "data.json"
# What names of files end with, by whether they are compressed.
SUFFIXES = {False: ".tfrecord", True: ".tfrecord.gz"}


def transform_directory(directory: str) -> str:
    """Returns the directory of the preprocessing graph."""
    return f"{directory}/transform"


def examples_prefix(directory: str, split: str) -> str:
    """Returns the prefix of the names of a split's files."""
    return f"{directory}/{split}"


def save_description(
    directory: str,
    spec: DatasetSpec,
    inputs: Sequence[InputShape],
    surveys: Mapping[str, Mapping[str, Any]],
    split: Mapping[str, Any] | None = None,
) -> None:
    """Writes the description that `PreparedData` reads.

    Args:
      directory: The directory of the prepared data.
      spec: The data set's spec.
      inputs: The shapes of the features of each kind.
      surveys: `Survey.to_dict` by split.
      split: How a rule split the rows, see `SplitRows.describe_split`.
    """
    content = {
        "spec": to_plain(spec),
        "inputs": to_plain(inputs),
        "splits": {s: {k: of[k] for k in SPLIT_FIELDS} for s, of in surveys.items()},
        "survey": surveys,
        **({"split": split} if split else {}),
    }
    write_file(f"{directory}/{_DESCRIPTION}", json.dumps(content, indent=2))


class PreparedData(TrainingData):
    """A prepared data set.

    Args:
      directory: An output directory of `mptrec-prepare`.

    Attributes:
      split: How a rule split the rows, see `SplitRows.describe_split`; None if splits were given.

    Raises:
      InputError: if the directory does not hold prepared data.

    Example:
      data = PreparedData("prepared")
      examples = tf.data.TFRecordDataset(data.files("train")).batch(256).map(data.parse)
    """

    def __init__(self, directory: str):
        self.directory = directory.rstrip("/")
        self.transform_dir = transform_directory(self.directory)
        path = f"{self.directory}/{_DESCRIPTION}"
        missing = (
            f"{directory} holds no prepared data ({_DESCRIPTION} is missing); "
            "give a directory that mptrec-prepare wrote."
        )
        with open_description(path, missing, "prepare the data again") as content:
            self.spec = from_plain(DatasetSpec, content["spec"])
            self.inputs = from_plain(tuple[InputShape, ...], content["inputs"])
            self.splits = check_splits(content["splits"])
            self.survey = content["survey"]
            self.split: Mapping[str, Any] | None = content.get("split")

    def files(self, split: str) -> list[str]:
        """Returns the split's TFRecord files, sorted; compressed where a name ends in .gz."""
        import tensorflow as tf

        prefix = examples_prefix(self.directory, split)
        files = sorted(
            file for of in SUFFIXES.values() for file in tf.io.gfile.glob(f"{prefix}-*{of}")
        )
        if not files:
            raise InputError(f"{self.directory} holds no {split} examples; prepare the data again.")
        return files

    def parse(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parses [B] serialized examples: features, `labels` [B, T], and `weight` [B] if any."""
        from mptrec_tf.data.packed import parse_packed

        return parse_packed(serialized, self.spec)


def summarize_splits(data: PreparedData) -> list[dict[str, Any]]:
    """Returns a table of rows and statistics of labels, by split and task."""
    return [
        {
            "task": task.name,
            "split": split,
            "rows": task.count_labelled(counts),
            **task.summary_columns(counts["tasks"][task.name], task.count_labelled(counts)),
            **{k: v for k, v in counts["tasks"][task.name].items() if k == LEFT_OUT},
        }
        for task in data.spec.tasks
        for split, counts in data.splits.items()
    ]
