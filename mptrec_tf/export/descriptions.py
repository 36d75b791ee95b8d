"""What backbones, task packages and versions say of themselves, in JSON beside their weights.

Imports no TensorFlow: what is wrong with a user's directories is said before that is imported,
which takes seconds.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from mptrec_tf.errors import InputError, did_you_mean
from mptrec_tf.export.versions import (
    CARD,
    check_base_path,
    newest_version,
    version_directories,
)
from mptrec_tf.file_systems import file_system, is_missing, open_file, trouble
from mptrec_tf.models.configurations import BackboneConfig
from mptrec_tf.spec import DatasetSpec, Task, task_from_dict

BACKBONE, PACKAGE = "backbone.json", "task.json"
# Of a version: what it was made from.
PARTS = "assets.extra/parts"
_Package = TypeVar("_Package")


@dataclasses.dataclass(frozen=True)
class BackboneDescription:
    """What a backbone's description says; whether its weights are those is for `load_backbone`.

    Attributes:
      directory: str. Where the backbone is.
      config: Its shape.
      spec: Spec of the data that it was pre-trained on.
      fingerprint: str. Names the weights and the preprocessing graph.
      training: Settings and results of the training.
    """

    directory: str
    config: BackboneConfig
    spec: DatasetSpec
    fingerprint: str
    training: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class PackageDescription:
    """What a task package's description says.

    Attributes:
      directory: str. Where the package is.
      task: What the task is.
      head: The shape of its head, see `head_kinds.from_dict`.
      backbone: str. Fingerprint of the backbone that it was trained on.
      training: Settings and results of the training.
    """

    directory: str
    task: Task
    head: Mapping[str, Any]
    backbone: str
    training: Mapping[str, Any]


def describe_backbone(directory: str) -> BackboneDescription:
    """Reads what a backbone's description says.

    Raises:
      InputError: if the directory does not hold a backbone, or its description is damaged.
    """
    directory = directory.rstrip("/")
    description = read_description(directory, BACKBONE, "a backbone", "mptrec-pretrain")
    with understood(directory, BACKBONE):
        return BackboneDescription(
            directory,
            BackboneConfig.from_json(json.dumps(description["config"])),
            DatasetSpec.from_json(json.dumps(description["spec"])),
            description["fingerprint"],
            description["training"],
        )


def describe_package(directory: str) -> PackageDescription:
    """Reads what a task package's description says.

    Raises:
      InputError: if the directory does not hold a task package, or its description is damaged.
    """
    directory = directory.rstrip("/")
    description = read_description(directory, PACKAGE, "a task", "mptrec-add-task")
    with understood(directory, PACKAGE):
        return PackageDescription(
            directory,
            task_from_dict(description["task"]),
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
    """Rejects a new task whose answer a backbone, loaded or described, sees, or whose name it has.

    Raises:
      InputError: naming the column or the name.
    """
    if task.name in backbone.config.tasks:
        raise InputError(
            f"task {task.name!r} was pre-trained with backbone {backbone.directory}; "
            "a new task needs another name."
        )
    for column, what in (
        (task.label, "makes the label"),
        (task.known_probability, "is the known probability"),
    ):
        if column in backbone.spec.feature_names:
            raise InputError(
                f"column {column!r} {what} of task {task.name!r} and is a feature of "
                f"backbone {backbone.directory}; pre-train one that leaves it out."
            )


def version_directory(base_path: str, version: int | None = None) -> str:
    """Returns the directory of a version, by default the newest, in TF Serving's base path.

    Raises:
      InputError: if there is no such version.
    """
    check_base_path(base_path)
    found = version_directories(base_path)
    if not found or version not in (None, *found):
        there = f"there are {', '.join(map(str, found))}" if found else "there is none"
        wanted = "" if version is None else f" {version}"
        raise InputError(f"{base_path} holds no version{wanted}: {there}.")
    return found[max(found) if version is None else version]


def parts_directory(version: str) -> str:
    """Returns where a version keeps what it was made from.

    Raises:
      InputError: if it does not.
    """
    root = os.path.join(version, PARTS)
    if not file_system(root).isdir(root):
        raise InputError(
            f"{version} does not hold the parts that it was made from ({PARTS}); export with "
            "--backbone and --tasks instead."
        )
    return root


def package_directories(parts: str) -> list[str]:
    """Directories of the packages of a version's parts, in the order of the tasks' names."""
    tasks = os.path.join(parts, "tasks")
    files = file_system(tasks)
    names = sorted(files.listdir(tasks)) if files.isdir(tasks) else []
    return [os.path.join(tasks, name.rstrip("/")) for name in names]


def describe_parts(version: str) -> tuple[BackboneDescription, list[PackageDescription]]:
    """Reads what the parts of a version say of themselves.

    Raises:
      InputError: if it does not hold them, or a description is damaged.
    """
    root = parts_directory(version)
    backbone = describe_backbone(os.path.join(root, "backbone"))
    return backbone, [describe_package(folder) for folder in package_directories(root)]


def check_model(path: str, tasks: Sequence[str] = ()) -> DatasetSpec | None:
    """Rejects a path that holds no exported model, or names that are no tasks of the model.

    Args:
      path: A version's directory, or a base path, whose newest version is taken.
      tasks: Names of tasks.

    Returns:
      The spec in the version's model card; None where loading will say that it is damaged.

    Raises:
      InputError: naming the path or the task.
    """
    spec = described_spec(newest_version(path))
    if spec:
        spec.select_tasks(tasks)
    return spec


def described_spec(version: str) -> DatasetSpec | None:
    """The spec in a version's model card; None where loading will say that it is damaged."""
    try:
        with open_file(os.path.join(version, CARD)) as file:
            return DatasetSpec.from_json(json.dumps(json.load(file)["spec"]))
    except Exception as error:
        if trouble(error) is None and not isinstance(error, ValueError | KeyError | TypeError):
            raise
        return None


def changed(
    packages: Sequence[_Package],
    add: Sequence[_Package] = (),
    replace: Sequence[_Package] = (),
    remove: Sequence[str] = (),
) -> list[_Package]:
    """Returns the packages of the next version, loaded or described.

    Raises:
      InputError: for a task to add that is there, or one to replace or to remove that is not.
    """
    there = {package.task.name: package for package in packages}
    names = ", ".join(there) or "none"
    for what, wanted in (
        ("replace", [package.task.name for package in replace]),
        ("remove", remove),
    ):
        for name in wanted:
            if name not in there:
                raise InputError(
                    f"there is no added task {name!r} to {what}; the added tasks are: {names}"
                    f"{did_you_mean(name, there)}"
                )
    for package in add:
        if package.task.name in there and package.task.name not in remove:
            raise InputError(
                f"task {package.task.name!r} of {package.directory} is in the version already; "
                "replace it instead (--replace)."
            )
    kept = {name: package for name, package in there.items() if name not in remove}
    for package in replace:
        kept[package.task.name] = package
    return [*kept.values(), *add]


def read_description(directory: str, name: str, what: str, program: str) -> dict[str, Any]:
    """Reads the JSON file that describes what a directory holds.

    Raises:
      InputError: if it is not there or cannot be read.
    """
    path = os.path.join(directory, name)
    try:
        with open_file(path) as file:
            return json.load(file)
    except Exception as error:
        if is_missing(error):
            raise InputError(
                f"{directory} holds no {what.split()[-1]} ({name} is missing); "
                f"give a directory that {program} wrote."
            ) from error
        if trouble(error) is None and not isinstance(error, ValueError):
            raise
        raise InputError(f"cannot read {path} ({error}); make it again.") from error


@contextlib.contextmanager
def understood(directory: str, name: str) -> Iterator[None]:
    """Turns what goes wrong with the content of a description into a sentence about it.

    Raises:
      InputError: if a field is missing, or is not of the kind that was written.
    """
    try:
        yield
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{os.path.join(directory, name)} is damaged ({error!r}); use an untouched copy."
        ) from error
