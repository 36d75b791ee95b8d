"""A pre-trained backbone on disk.

    <directory>/
      backbone.json    shape, spec, fingerprint, settings and results of the training
      weights.npz      the backbone's weights
      transform/       the preprocessing graph that feeds it
      logs/            TensorBoard's

The fingerprint covers the weights and the graph, and is checked whenever a backbone is loaded.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from mptrec_tf.artifacts.fingerprint import backbone_fingerprint
from mptrec_tf.artifacts.manifests import BACKBONE, BASELINE, describe_backbone
from mptrec_tf.data.prepared import transform_directory
from mptrec_tf.data.spec import DatasetSpec, check_same_features
from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.data.transform.transform_fingerprint import fingerprint_transform
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.report import to_json
from mptrec_tf.models.multitask import MultiTaskModel
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.storage.arrays import load_arrays, save_arrays
from mptrec_tf.storage.directories import copy_directory, create_directory, write_file
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.loop import Training
from mptrec_tf.training.run_context import LOGS

_WEIGHTS = "weights.npz"


@dataclasses.dataclass(frozen=True)
class StoredBackbone:
    """A backbone that was loaded.

    Attributes:
      directory: str. Its directory.
      model: The model with its weights.
      spec: Spec of the data that it was pre-trained on.
      fingerprint: str. Names the weights and the preprocessing graph.
      training: Settings and results of the training.
    """

    directory: str
    model: MultiTaskModel
    spec: DatasetSpec
    fingerprint: str
    training: Mapping[str, Any]

    @property
    def shape(self) -> ModelShape:
        """The model's shape."""
        return self.model.shape

    @property
    def transform_dir(self) -> str:
        """Directory of the preprocessing graph."""
        return transform_directory(self.directory)

    def check_fits(self, data: TrainingData) -> None:
        """Rejects data that were prepared differently from the backbone's.

        Raises:
          InputError: naming the difference and what to do.
        """
        check_same_features(
            data.spec, self.spec, f"data {data.directory}", f"backbone {self.directory}"
        )
        if fingerprint_transform(data.transform_dir) != fingerprint_transform(self.transform_dir):
            raise InputError(
                f"data {data.directory} were prepared with other vocabularies or statistics than "
                f"backbone {self.directory} was trained with; prepare them again with "
                f"--backbone={self.directory}."
            )


def save_backbone(
    directory: str,
    model: MultiTaskModel,
    spec: DatasetSpec,
    transform_dir: str,
    training: Mapping[str, Any],
) -> str:
    """Writes a backbone into an existing directory; returns its fingerprint.

    Args:
      directory: Where to write.
      model: The pre-trained model.
      spec: Spec of the data that it was pre-trained on.
      transform_dir: Directory of the preprocessing graph.
      training: Settings and results of the training.
    """
    weights = {name: weight.numpy() for name, weight in model.named_weights().items()}
    save_arrays(os.path.join(directory, _WEIGHTS), weights)
    return save_without_weights(directory, model, spec, transform_dir, training)


def save_without_weights(
    directory: str,
    model: MultiTaskModel,
    spec: DatasetSpec,
    transform_dir: str,
    training: Mapping[str, Any],
) -> str:
    """Does what `save_backbone` does, without the weights, which are stored elsewhere."""
    fingerprint = _compute_fingerprint(model, transform_dir, spec)
    copy_directory(transform_dir, transform_directory(directory))
    description = {
        "fingerprint": fingerprint,
        "model": model.kind,
        "shape": to_plain(model.shape),
        "spec": to_plain(spec),
        "training": training,
    }
    write_file(os.path.join(directory, BACKBONE), to_json(description))
    return fingerprint


def _compute_fingerprint(model: MultiTaskModel, transform_dir: str, spec: DatasetSpec) -> str:
    weights = {name: weight.numpy() for name, weight in model.named_weights().items()}
    # Only where there are any: older backbones keep their fingerprints.
    knots = {t.name: t.knots for t in spec.select_tasks(model.shape.tasks) if t.knots}
    return backbone_fingerprint(
        weights,
        transform_dir,
        model.kind,
        json.dumps(to_plain(model.shape), indent=2),
        spec.features_json(),
        *([json.dumps(knots)] if knots else []),
    )


def save_trained_backbone(
    directory: str,
    model: MultiTaskModel,
    data: TrainingData,
    training: Mapping[str, Any],
    result: Training,
    work: str,
) -> StoredBackbone:
    """Writes a pre-trained model to a new directory, and removes the training's state.

    Args:
      directory: New directory for the backbone; it appears when it is complete.
      model: The pre-trained model.
      data: The data that it was trained on.
      training: Settings of the training.
      result: Results of the training.
      work: Directory of the training's state.

    Raises:
      InputError: if `directory` already exists, or cannot be written.
    """
    if fingerprint_transform(data.transform_dir) != result.settings["preprocessing"]:
        raise InputError(
            f"the preprocessing graph in {data.transform_dir} changed during the training; put the "
            "data back as they were and start again with the same flags: no epoch is repeated."
        )
    with save_run(directory, work) as staging:
        description = {**training, **make_training_record(data, result)}
        spec = dataclasses.replace(data.spec, tasks=result.complete(data.spec.tasks))
        save_backbone(staging, model, spec, data.transform_dir, description)
    return load_backbone(directory)


@contextlib.contextmanager
def save_run(directory: str, work: str) -> Iterator[str]:
    """Yields a staging directory that becomes `directory`, with the run's logs; removes its state.

    Raises:
      InputError: if `directory` already exists, or cannot be written.
    """
    with create_directory(directory) as staging:
        yield staging
        copy_directory(os.path.join(work, LOGS), os.path.join(staging, LOGS))
    tf.io.gfile.rmtree(work)


def make_training_record(data: TrainingData, result: Training) -> dict[str, Any]:
    """Returns the record to save of a training: data, best epoch, history, and the baseline."""
    return {
        "data": {"name": data.spec.name, "splits": data.splits},
        "best_epoch": result.best_epoch,
        "seconds": result.seconds,
        "history": result.history,
        "calibration": result.calibration,
        BASELINE: result.baseline,
    }


def load_backbone(
    directory: str, restore: Callable[[MultiTaskModel], None] | None = None
) -> StoredBackbone:
    """Reads a backbone and checks its fingerprint.

    Args:
      directory: A directory that `save_backbone` or `save_without_weights` wrote.
      restore: Restores a model's weights, if these are stored elsewhere.

    Raises:
      InputError: if the directory does not hold a backbone, or its content was changed.

    Example:
          backbone = load_backbone("BACKBONE")
          model = PromptedMPTRec(backbone.model)  # frozen
    """
    directory = directory.rstrip("/")
    described = describe_backbone(directory)
    spec, expected = described.spec, described.fingerprint
    model = MODELS.get(described.model).make(described.shape)
    model.set_tasks(spec.select_tasks(described.shape.tasks))
    if restore is None:
        weights = load_arrays(os.path.join(directory, _WEIGHTS))
        assign_weights(model.named_weights(), weights, directory)
    else:
        restore(model)
    actual = _compute_fingerprint(model, transform_directory(directory), spec)
    if actual != expected:
        raise InputError(
            f"backbone {directory} was changed since it was written: its fingerprint is {actual}, "
            f"it should be {expected}; use an untouched copy."
        )
    return StoredBackbone(directory, model, spec, actual, described.training)


def assign_weights(
    variables: Mapping[str, tf.Variable], values: Mapping[str, np.ndarray], where: str
) -> None:
    """Assigns the stored values of the same names to variables.

    Raises:
      InputError: if names, shapes or types do not agree.
    """
    if variables.keys() != values.keys():
        name = sorted(variables.keys() ^ values.keys())[0]
        raise InputError(
            f"the weights in {where} do not fit their model: {name!r} is in one only; they were "
            "changed, or written by another version of mptrec_tf: make them again."
        )
    for name, variable in variables.items():
        actual = (values[name].shape, values[name].dtype.name)
        expected = (tuple(variable.shape), variable.dtype.name)
        if actual != expected:
            raise InputError(
                f"the weights in {where} do not fit their model: {name!r} is {actual}, "
                f"expected {expected}."
            )
        variable.assign(values[name])
