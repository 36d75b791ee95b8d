"""What `mptrec-prepare` wrote: packed examples by split, the spec, and the preprocessing graph.

    <directory>/
      data.json            the spec, the shapes of packed features, rows and labels by split, and a
                           survey of what the raw rows held
      transform/           the preprocessing graph (TensorFlow Transform's output)
      train-*.tfrecord     packed examples; validation-* and test-* likewise

Training reads nothing else. TensorFlow is imported when examples are read, not before: what is
wrong with the description is said at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mptrec_tf.data.features.base import InputShape
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.training_data import SPLIT_FIELDS, TrainingData, check_splits
from mptrec_tf.errors import InputError
from mptrec_tf.storage.directories import write_file
from mptrec_tf.storage.json_files import open_description
from mptrec_tf.storage.plain import from_plain, to_plain

if TYPE_CHECKING:
    import tensorflow as tf

_DESCRIPTION = "data.json"


def transform_directory(directory: str) -> str:
    """Where the preprocessing graph is."""
    return f"{directory}/transform"


def examples_prefix(directory: str, split: str) -> str:
    """What the names of a split's files begin with."""
    return f"{directory}/{split}"


def save_description(
    directory: str,
    spec: DatasetSpec,
    inputs: Sequence[InputShape],
    surveys: Mapping[str, Mapping[str, Any]],
) -> None:
    """Writes what `PreparedData` reads; see `survey.Survey.to_dict` for what is known by split."""
    content = {
        "spec": to_plain(spec),
        "inputs": to_plain(inputs),
        "splits": {s: {k: of[k] for k in SPLIT_FIELDS} for s, of in surveys.items()},
        "survey": surveys,
    }
    write_file(f"{directory}/{_DESCRIPTION}", json.dumps(content, indent=2))


class PreparedData(TrainingData):
    """A prepared data set.

    Args:
      directory: What `mptrec-prepare` wrote.

    Raises:
      InputError: if the directory does not hold prepared data.
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

    def files(self, split: str) -> list[str]:
        """The split's TFRecord files, sorted."""
        import tensorflow as tf

        found = sorted(tf.io.gfile.glob(f"{examples_prefix(self.directory, split)}-*.tfrecord"))
        if not found:
            raise InputError(f"{self.directory} holds no {split} examples; prepare the data again.")
        return found

    def parse(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parses [B] serialized examples: features, `labels` [B, T], and `weight` [B] if any."""
        from mptrec_tf.data.packed import parse_packed

        return parse_packed(serialized, self.spec)


def summarize_splits(data: PreparedData) -> list[dict[str, Any]]:
    """Rows, and what is known of the labels, by split and task, for a table."""
    return [
        {
            "task": task.name,
            "split": split,
            "rows": counts["rows"],
            **task.summary_columns(counts["tasks"][task.name], counts["rows"]),
        }
        for task in data.spec.tasks
        for split, counts in data.splits.items()
    ]
