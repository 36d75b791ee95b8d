"""The parts of a version, stored in it, so that the next version can be made from it alone.

<version>/assets.extra/parts/
  backbone/        the backbone without its weights: these are the SavedModel's own
  tasks/<task>/    a package of each task that was added
"""

import os
from collections.abc import Sequence

import tensorflow as tf

from mptrec_tf.artifacts.backbones import StoredBackbone, load_backbone, save_without_weights
from mptrec_tf.artifacts.task_packages import TaskPackage, load_package, save_package
from mptrec_tf.errors import InputError
from mptrec_tf.export.version_contents import (
    PARTS,
    apply_changes,
    find_parts,
    find_version,
    list_packages,
)
from mptrec_tf.models.multitask import MultiTaskModel

__all__ = ["apply_changes", "load_parts", "save_parts"]


def save_parts(directory: str, backbone: StoredBackbone, packages: Sequence[TaskPackage]) -> None:
    """Writes the parts into a version's directory."""
    root = os.path.join(directory, PARTS)
    backbone_dir = os.path.join(root, "backbone")
    tf.io.gfile.makedirs(backbone_dir)
    save_without_weights(
        backbone_dir, backbone.model, backbone.spec, backbone.transform_dir, backbone.training
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
      The backbone, and the packages of the added tasks, sorted by name.

    Raises:
      InputError: if there is no such version, it does not hold its parts, or they were changed.

    Example:
          backbone, packages = load_parts("MODEL")
          export(backbone, apply_changes(packages, remove=["share"]), "MODEL")
    """
    directory = find_version(base_path, version)
    root = find_parts(directory)
    variables = os.path.join(directory, "variables", "variables")

    def restore(model: MultiTaskModel) -> None:
        try:
            status = tf.train.Checkpoint(backbone=model.named_weights()).read(variables)
            status.assert_existing_objects_matched().expect_partial()
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
    return backbone, [load_package(folder, backbone) for folder in list_packages(root)]
