"""The parts of a version, kept in it, so that the next version needs nothing else.

<version>/assets.extra/parts/
  backbone/        the backbone without its weights: these are the SavedModel's own
  tasks/<task>/    a package of each task that was added
"""

import os
from collections.abc import Sequence

import tensorflow as tf

from mptrec_tf.errors import InputError
from mptrec_tf.export.backbones import StoredBackbone, load_backbone, save_all_but_weights
from mptrec_tf.export.packages import TaskPackage, load_package, save_package
from mptrec_tf.export.versions import check_base_path, version_directories
from mptrec_tf.models.backbone import Backbone

_PARTS = "assets.extra/parts"


def keep_parts(directory: str, backbone: StoredBackbone, packages: Sequence[TaskPackage]) -> None:
    """Writes the parts into a version's directory."""
    root = os.path.join(directory, _PARTS)
    backbone_dir = os.path.join(root, "backbone")
    tf.io.gfile.makedirs(backbone_dir)
    save_all_but_weights(
        backbone_dir, backbone.backbone, backbone.spec, backbone.transform_dir, backbone.training
    )
    for package in packages:
        folder = os.path.join(root, "tasks", package.task.name)
        tf.io.gfile.makedirs(folder)
        save_package(folder, package.task, package.head, package.backbone, package.training)


def load_parts(
    base_path: str, version: int | None = None
) -> tuple[StoredBackbone, list[TaskPackage]]:
    """Reads the parts of a version.

    Args:
      base_path: TF Serving's base path.
      version: Defaults to the newest.

    Returns:
      The backbone, and the packages of the tasks that were added, in the order of their names.

    Raises:
      InputError: if there is no such version, it does not hold its parts, or they were changed.
    """
    check_base_path(base_path)
    found = version_directories(base_path)
    if not found or version not in (None, *found):
        there = f"there are {', '.join(map(str, found))}" if found else "there is none"
        wanted = "" if version is None else f" {version}"
        raise InputError(f"{base_path} holds no version{wanted}: {there}.")
    directory = found[max(found) if version is None else version]
    root = os.path.join(directory, _PARTS)
    if not tf.io.gfile.isdir(root):
        raise InputError(
            f"{directory} does not hold the parts that it was made from ({_PARTS}); export with "
            "--backbone and --tasks instead."
        )
    variables = os.path.join(directory, "variables", "variables")

    def restore(backbone: Backbone) -> None:
        try:
            found = tf.train.Checkpoint(backbone=backbone).read(variables)
            found.assert_existing_objects_matched().expect_partial()
        except AssertionError as error:
            raise InputError(
                f"the weights in {variables} do not fit their model; they were changed, or written "
                "by another version of mptrec_tf: export with --backbone and --tasks instead."
            ) from error
        except (tf.errors.OpError, ValueError) as error:
            raise InputError(
                f"the weights in {variables} are missing or damaged; use an untouched copy."
            ) from error

    backbone = load_backbone(os.path.join(root, "backbone"), restore)
    tasks = os.path.join(root, "tasks")
    names = sorted(tf.io.gfile.listdir(tasks)) if tf.io.gfile.isdir(tasks) else []
    return backbone, [load_package(os.path.join(tasks, name), backbone) for name in names]


def changed(
    packages: Sequence[TaskPackage],
    add: Sequence[TaskPackage] = (),
    replace: Sequence[TaskPackage] = (),
    remove: Sequence[str] = (),
) -> list[TaskPackage]:
    """Returns the packages of the next version.

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
                    f"there is no added task {name!r} to {what}; the added tasks are: {names}."
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
