"""Raw rows as tf.Examples with their labels: the examples of TFX pipelines.

    <directory>/
      examples.json       the spec, rows and labels by split, a fingerprint of the rows
      Split-train/*       tf.Examples, gzipped TFRecord; the other splits likewise

An example holds the raw feature columns, `label/<task>` for every task of the spec, and the
columns of user, weight and known predictions if the spec names them; where tasks weigh rows
differently, also `weight/<task>`, the product of all weights. Raw label columns are left out.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft

from mptrec_tf.data.arrow import encode_text, make_lists, read_raw_features
from mptrec_tf.data.labels import has_task_weights, make_task_weights, make_weights
from mptrec_tf.data.packed import LABELS, TASK_WEIGHTS, WEIGHT, raw_feature_spec
from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.sources.splits import SPLITS
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.training_data import (
    SPLIT_FIELDS,
    TrainingData,
    check_splits,
    detect_compression,
)
from mptrec_tf.data.transform.graph import Preprocessing, get_input_shapes
from mptrec_tf.errors import InputError
from mptrec_tf.storage.directories import write_file
from mptrec_tf.storage.json_files import open_description
from mptrec_tf.storage.plain import from_plain, to_plain

_DESCRIPTION = "examples.json"
_LABEL_PREFIX, _WEIGHT_PREFIX = "label/", "weight/"


def label_column(task: str) -> str:
    """Returns the feature of an example with a task's label."""
    return f"{_LABEL_PREFIX}{task}"


def weight_column(spec: DatasetSpec, task: str) -> str | None:
    """Returns the feature of an example that weighs its row for a task; None if there is none."""
    return f"{_WEIGHT_PREFIX}{task}" if has_task_weights(spec) else spec.weight


def make_record_batch(spec: DatasetSpec, block: Block, split: str = SPLITS[0]) -> pa.RecordBatch:
    """Checks n raw rows and returns them as Arrow columns, one per feature of an example.

    Args:
      spec: The data set's spec.
      block: The rows.
      split: The split that they belong to.

    Raises:
      InputError: for a missing column, a value that the spec does not allow, with its place, or a
        feature with the name of a label or of a task's weight.
    """
    arrays = read_raw_features(spec, block)
    labels = []
    for task in spec.tasks:
        if label_column(task.name) in arrays:
            raise InputError(
                f"column {label_column(task.name)!r} is named like the label of a task; give the "
                "column another name."
            )
        labels.append(task.labels(block, spec.missing_values))
        arrays[label_column(task.name)] = make_lists(pa.array(labels[-1]))
        for column in task.other_columns():
            if column != task.weight:
                arrays[column] = make_lists(pa.array(block.numbers(column)))
    if has_task_weights(spec):
        weights = make_task_weights(spec, block, np.stack(labels, 1), sampled=split == SPLITS[0])
        for task, of in zip(spec.tasks, weights.T, strict=True):
            name = weight_column(spec, task.name)
            if name in arrays:
                raise InputError(
                    f"column {name!r} is named like the weight of a task; give the column another "
                    "name."
                )
            arrays[name] = make_lists(pa.array(of))
    if spec.weight:
        arrays[spec.weight] = make_lists(pa.array(make_weights(spec.weight, block)))
    if spec.user_id and spec.user_id not in arrays:
        arrays[spec.user_id] = make_lists(encode_text(block.canonical_text(spec.user_id)))
    return pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays))


def save_description(
    directory: str,
    spec: DatasetSpec,
    surveys: Mapping[str, Mapping[str, Any]],
    fingerprint: str,
    split: Mapping[str, Any] | None = None,
) -> None:
    """Writes the description that `RawExamples` reads.

    Args:
      directory: The directory of the raw examples.
      spec: The data set's spec.
      surveys: `Survey.to_dict` by split.
      fingerprint: The fingerprint of the rows.
      split: How a rule split the rows, see `SplitRows.describe_split`.
    """
    content = {
        "spec": to_plain(spec),
        "splits": {s: {k: of[k] for k in SPLIT_FIELDS} for s, of in surveys.items()},
        "survey": surveys,
        "fingerprint": fingerprint,
        **({"split": split} if split else {}),
    }
    write_file(f"{directory}/{_DESCRIPTION}", json.dumps(content, indent=2))


def read_description(directory: str) -> dict[str, Any]:
    """Returns the `spec`, `splits` and `fingerprint` of raw examples.

    Raises:
      InputError: if the directory does not hold raw examples.
    """
    path = f"{directory}/{_DESCRIPTION}"
    missing = (
        f"{directory} holds no raw examples ({_DESCRIPTION} is missing); give what the "
        "pipelines' example generation wrote."
    )
    with open_description(path, missing, "make the examples again") as content:
        return {
            "spec": from_plain(DatasetSpec, content["spec"]),
            "splits": check_splits(content["splits"]),
            "fingerprint": content["fingerprint"],
        }


def list_split_files(directory: str, split: str) -> list[str]:
    """Returns the files of a split, sorted.

    Raises:
      InputError: if there are none.
    """
    files = sorted(tf.io.gfile.glob(f"{directory}/Split-{split}/*"))
    if not files:
        raise InputError(f"{directory} holds no {split} examples; make them again.")
    return files


def read_serialized_examples(directory: str, split: str, batch_size: int) -> tf.data.Dataset:
    """Returns batches of serialized examples [B], in their stored order."""
    files = list_split_files(directory, split)
    return tf.data.TFRecordDataset(files, detect_compression(files)).batch(batch_size)


class RawExamples(TrainingData):
    """Raw examples that a preprocessing graph packs as they are read.

    Args:
      directory: An output directory of the pipelines' example generation.
      transform_dir: Directory of the preprocessing graph; in stage 2 the backbone's.

    Raises:
      InputError: if the directory does not hold raw examples.
    """

    def __init__(self, directory: str, transform_dir: str):
        self.directory = directory.rstrip("/")
        self.transform_dir = transform_dir
        description = read_description(self.directory)
        self.spec: DatasetSpec = description["spec"]
        self.splits: Mapping[str, Mapping[str, Any]] = description["splits"]
        self.fingerprint: str = description["fingerprint"]
        self.inputs = get_input_shapes(self.spec, tft.TFTransformOutput(transform_dir))
        self._preprocessing = Preprocessing(transform_dir)

    def files(self, split: str) -> list[str]:
        """Returns the split's TFRecord files, sorted."""
        return list_split_files(self.directory, split)

    @tf.autograph.experimental.do_not_convert
    def parse(self, serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        """Parses and packs [B] examples: features, `labels` [B, T], and weights if any."""
        number = tf.io.FixedLenFeature([], tf.float32)
        labels = [label_column(task) for task in self.spec.task_names]
        columns = raw_feature_spec(self.spec) | dict.fromkeys(labels, number)
        if self.spec.weight:
            columns[self.spec.weight] = number
        weights = []
        if has_task_weights(self.spec):
            weights = [weight_column(self.spec, task) for task in self.spec.task_names]
            columns |= dict.fromkeys(weights, number)
        parsed = tf.io.parse_example(serialized, columns)
        others = {LABELS: tf.stack([parsed.pop(label) for label in labels], axis=1)}
        if self.spec.weight:
            others[WEIGHT] = parsed.pop(self.spec.weight)
        if weights:
            others[TASK_WEIGHTS] = tf.stack([parsed.pop(name) for name in weights], axis=1)
        return {**self._preprocessing(parsed), **others}
