"""Descriptions of backbones and task packages, in JSON beside their weights.

Imports no TensorFlow, so that errors in a user's directories are reported before that import, which
takes seconds.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.data.tasks.registry import task_from_plain
from mptrec_tf.errors import InputError
from mptrec_tf.kinds import PLUGINS
from mptrec_tf.models.registry import MODELS
from mptrec_tf.models.shapes import ModelShape
from mptrec_tf.storage.json_files import explain_damage, read_description
from mptrec_tf.storage.plain import from_plain

BACKBONE, PACKAGE = "backbone.json", "task.json"
# In the record of a training: what served rows are compared with, see `training.baseline`.
BASELINE = "baseline"


@dataclasses.dataclass(frozen=True)
class BackboneDescription:
    """A backbone's description; `load_backbone` checks that it fits the weights.

    Attributes:
      directory: str. The backbone's directory.
      model: str. The kind of model, a name in `MODELS`.
      shape: Its shape.
      spec: Spec of the data that it was pre-trained on.
      fingerprint: str. Names the weights and the preprocessing graph.
      training: Settings and results of the training.
    """

    directory: str
    model: str
    shape: ModelShape
    spec: DatasetSpec
    fingerprint: str
    training: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class PackageDescription:
    """A task package's description.

    Attributes:
      directory: str. The package's directory.
      task: The task.
      head: The shape of its head, see `heads.registry.shape_from_plain`.
      backbone: str. Fingerprint of the backbone that it was trained on.
      training: Settings and results of the training.
    """

    directory: str
    task: Task
    head: Mapping[str, Any]
    backbone: str
    training: Mapping[str, Any]


def describe_backbone(directory: str) -> BackboneDescription:
    """Reads a backbone's description.

    Raises:
      InputError: if the directory does not hold a backbone, or its description is damaged.
    """
    directory = directory.rstrip("/")
    description = read_description(directory, BACKBONE, "a backbone", "mptrec-pretrain")
    with explain_damage(directory, BACKBONE):
        if isinstance(description, dict) and "model" not in description:
            raise InputError(
                f"backbone {directory} was written by an earlier version of mptrec_tf; pre-train "
                "it again."
            )
        model, known = description["model"], MODELS.names()
        if model not in known:
            raise InputError(
                f"backbone {directory} is of the model {model!r}, which is unknown here (there are "
                f"{', '.join(known)}); name the module that registers it in {PLUGINS}."
            )
        return BackboneDescription(
            directory,
            model,
            MODELS.get(model).shape_from_plain(description["shape"]),
            from_plain(DatasetSpec, description["spec"]),
            description["fingerprint"],
            description["training"],
        )


def describe_package(directory: str) -> PackageDescription:
    """Reads a task package's description.

    Raises:
      InputError: if the directory does not hold a task package, or its description is damaged.
    """
    directory = directory.rstrip("/")
    description = read_description(directory, PACKAGE, "a task", "mptrec-add-task")
    with explain_damage(directory, PACKAGE):
        return PackageDescription(
            directory,
            task_from_plain(description["task"]),
            description["head"],
            description["backbone"],
            description["training"],
        )


def check_trained_on(package: PackageDescription, backbone: Any) -> None:
    """Rejects a task package of another backbone, loaded or described.

    Raises:
      InputError: naming both fingerprints.
    """
    if package.backbone != backbone.fingerprint:
        raise InputError(
            f"task package {package.directory} was trained on the backbone with fingerprint "
            f"{package.backbone}, but {backbone.directory} has {backbone.fingerprint}; "
            "give the package's own backbone, or train the task on this one."
        )


def check_addable(backbone: Any, task: Task) -> None:
    """Rejects a new task that does not fit a backbone.

    Its label is a feature of the backbone, its name one of the backbone's tasks, or it is given a
    task that the backbone does not have.

    Args:
      backbone: The backbone, loaded or described.
      task: The new task.

    Raises:
      InputError: naming the column or the name.
    """
    if task.name in backbone.shape.tasks:
        raise InputError(
            f"task {task.name!r} was pre-trained with backbone {backbone.directory}; "
            "a new task needs another name."
        )
    if task.given and task.given not in backbone.shape.tasks:
        raise InputError(
            f"task {task.name!r} is given {task.given!r}, which backbone {backbone.directory} does "
            f"not predict (it predicts {', '.join(backbone.shape.tasks)}); pre-train both, or "
            "leave given out."
        )
    others = {column: f"is the {what}" for column, what in task.other_columns().items()}
    for column, what in ({task.label: "makes the label"} | others).items():
        if column in backbone.spec.feature_names:
            raise InputError(
                f"column {column!r} {what} of task {task.name!r} and is a feature of "
                f"backbone {backbone.directory}; pre-train one that leaves it out."
            )
