"""The contents of an exported model's versions, read without TensorFlow."""

import json
import os
from collections.abc import Sequence
from typing import TypeVar

from mptrec_tf.artifacts.manifests import (
    BackboneDescription,
    PackageDescription,
    describe_backbone,
    describe_package,
)
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError, did_you_mean
from mptrec_tf.export.integrity import check_version
from mptrec_tf.export.versions import (
    CARD,
    check_base_path,
    find_newest_version,
    list_version_directories,
)
from mptrec_tf.storage.file_systems import get_failure_reason, get_file_system, open_file
from mptrec_tf.storage.plain import from_plain

# Directory in a version of the backbone and packages that it was made from.
PARTS = "assets.extra/parts"
_Package = TypeVar("_Package")


def find_version(base_path: str, version: int | None = None) -> str:
    """Returns the directory of a version, by default the newest, in TF Serving's base path.

    Raises:
      InputError: if there is no such version.
    """
    check_base_path(base_path)
    directories = list_version_directories(base_path)
    if not directories or version not in (None, *directories):
        numbers = ", ".join(map(str, directories))
        there = f"there are {numbers}" if directories else "there is none"
        wanted = "" if version is None else f" {version}"
        raise InputError(f"{base_path} holds no version{wanted}: {there}.")
    return directories[max(directories) if version is None else version]


def find_parts(version: str) -> str:
    """Returns the directory of the parts that a version was made from.

    Raises:
      InputError: if the version does not hold them.
    """
    root = os.path.join(version, PARTS)
    if not get_file_system(root).isdir(root):
        raise InputError(
            f"{version} does not hold the parts that it was made from ({PARTS}); export with "
            "--backbone and --tasks instead."
        )
    return root


def list_packages(parts: str) -> list[str]:
    """Returns the directories of the packages in a version's parts, sorted by task."""
    tasks = os.path.join(parts, "tasks")
    files = get_file_system(tasks)
    names = sorted(files.listdir(tasks)) if files.isdir(tasks) else []
    return [os.path.join(tasks, name.rstrip("/")) for name in names]


def describe_parts(version: str) -> tuple[BackboneDescription, list[PackageDescription]]:
    """Reads the descriptions of the parts of a version.

    Raises:
      InputError: if it does not hold its parts, or a description is damaged.
    """
    root = find_parts(version)
    backbone = describe_backbone(os.path.join(root, "backbone"))
    return backbone, [describe_package(folder) for folder in list_packages(root)]


def check_model(path: str, tasks: Sequence[str] = ()) -> DatasetSpec | None:
    """Rejects a path without an exported model, a changed model, or tasks that it does not have.

    Args:
      path: A version's directory, or a base path, whose newest version is used.
      tasks: Names of tasks.

    Returns:
      The spec in the version's model card; None if that is damaged, which loading reports.

    Raises:
      InputError: naming the path, the file that is not as it was written, or the task.
    """
    version = find_newest_version(path)
    check_version(version)
    spec = read_card_spec(version)
    if spec:
        spec.select_tasks(tasks)
    return spec


def read_card_spec(version: str) -> DatasetSpec | None:
    """Returns the spec in a version's model card; None if it is damaged, which loading reports."""
    try:
        with open_file(os.path.join(version, CARD)) as file:
            return from_plain(DatasetSpec, json.load(file)["spec"])
    except Exception as error:
        if get_failure_reason(error) is None and not isinstance(
            error, ValueError | KeyError | TypeError
        ):
            raise
        return None


def apply_changes(
    packages: Sequence[_Package],
    add: Sequence[_Package] = (),
    replace: Sequence[_Package] = (),
    remove: Sequence[str] = (),
) -> list[_Package]:
    """Returns the packages of the next version, loaded or described.

    Raises:
      InputError: for a task to add that exists, or one to replace or to remove that does not.

    Example:
          backbone, packages = load_parts("MODEL")
          packages = apply_changes(packages, add=[load_package("PACKAGE", backbone)])
          export(backbone, packages, "MODEL")
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
    remaining = {name: package for name, package in there.items() if name not in remove}
    for package in replace:
        remaining[package.task.name] = package
    return [*remaining.values(), *add]
