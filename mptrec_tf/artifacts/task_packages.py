"""A task package: everything that a new task adds to a frozen backbone, bound by fingerprint.

    <directory>/
      task.json       the task, its head's shape, the backbone's fingerprint, metrics
      weights.npz     the head's weights
      logs/           TensorBoard's

A package fits the backbone that it was trained on, and is rejected for any other.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from mptrec_tf.artifacts.backbones import (
    StoredBackbone,
    assign_weights,
    make_training_record,
    save_run,
)
from mptrec_tf.artifacts.manifests import PACKAGE, check_addable, check_trained_on, describe_package
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.training_data import TrainingData
from mptrec_tf.evaluation.report import to_json
from mptrec_tf.models.heads.base import Head
from mptrec_tf.models.heads.registry import make_head, shape_from_plain, shape_to_plain
from mptrec_tf.models.prompted import NewTask
from mptrec_tf.models.weights import named_weights
from mptrec_tf.storage.arrays import load_arrays, save_arrays
from mptrec_tf.storage.directories import write_file
from mptrec_tf.storage.json_files import explain_damage
from mptrec_tf.training.loop import Training

__all__ = ["TaskPackage", "check_addable", "load_package", "save_package", "save_trained_package"]

_WEIGHTS = "weights.npz"


@dataclasses.dataclass(frozen=True)
class TaskPackage:
    """A new task that was loaded.

    Attributes:
      directory: str. Its directory.
      task: The task.
      head: The layer with its weights.
      backbone: str. Fingerprint of the backbone that it was trained on.
      training: Settings and results of the training.
    """

    directory: str
    task: Task
    head: Head
    backbone: str
    training: Mapping[str, Any]


def save_package(
    directory: str, task: Task, head: Head, backbone: str, training: Mapping[str, Any]
) -> None:
    """Writes a task package into an existing directory.

    Args:
      directory: Where to write.
      task: The task.
      head: The trained head.
      backbone: Fingerprint of the backbone that it was trained on.
      training: Settings and results of the training.
    """
    weights = {name: weight.numpy() for name, weight in named_weights(head).items()}
    save_arrays(os.path.join(directory, _WEIGHTS), weights)
    description = {
        "backbone": backbone,
        "task": task.to_plain(),
        "head": shape_to_plain(head.config),
        "training": training,
    }
    write_file(os.path.join(directory, PACKAGE), to_json(description))


def save_trained_package(
    directory: str,
    new: NewTask,
    backbone: StoredBackbone,
    data: TrainingData,
    training: Mapping[str, Any],
    result: Training,
    work: str,
) -> TaskPackage:
    """Writes a trained new task to a new directory, and removes the training's state.

    Args:
      directory: New directory for the package; it appears when it is complete.
      new: The task and its trained head.
      backbone: The backbone that it was trained on.
      data: The data that it was trained on.
      training: Settings of the training.
      result: Results of the training.
      work: Directory of the training's state.

    Raises:
      InputError: if `directory` already exists, or cannot be written.
    """
    with save_run(directory, work) as staging:
        description = {**training, **make_training_record(data, result)}
        [task] = result.complete([new.task])
        save_package(staging, task, new.head, backbone.fingerprint, description)
    return load_package(directory, backbone)


def load_package(directory: str, backbone: StoredBackbone) -> TaskPackage:
    """Reads a task package for the backbone that it was trained on.

    Raises:
      InputError: if the directory does not hold a task package, or one of another backbone.

    Example:
          backbone = load_backbone("BACKBONE")
          package = load_package("PACKAGE", backbone)
    """
    directory = directory.rstrip("/")
    described = describe_package(directory)
    check_trained_on(described, backbone)
    task = described.task
    with explain_damage(directory, PACKAGE):
        config = shape_from_plain(described.head)
    head = make_head(config, backbone.model.layout, task.name, task.logits)
    assign_weights(named_weights(head), load_arrays(os.path.join(directory, _WEIGHTS)), directory)
    return TaskPackage(directory, task, head, described.backbone, described.training)
