"""Exports a backbone and new tasks as the next version of a model for TF Serving.

    mptrec-export --backbone=BACKBONE --tasks=TASK1,TASK2 --output_dir=saved_models/mptrec
    mptrec-export --add=TASK3 --output_dir=saved_models/mptrec
    mptrec-export --replace=TASK1 --remove=name_of_task2 --output_dir=saved_models/mptrec
    mptrec-export --sign_key=private_key.pem --output_dir=saved_models/mptrec

The SavedModel takes raw columns and returns one prediction per task. The first form makes a version
from its parts: without --tasks it predicts the pre-trained tasks only. The next two make the next
version from the newest one there (or --from_version), and need nothing else. Every other task's
predictions stay the same bit for bit. The last signs that version as it is, for one that a pipeline
pushed; beside the others --sign_key signs the next version, which is then made only from one that
the same key signed.
"""

import os
from typing import TYPE_CHECKING

from absl import flags

from mptrec_tf.bin import program
from mptrec_tf.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

_BACKBONE = flags.DEFINE_string("backbone", None, "Directory that mptrec-pretrain wrote.")
_TASKS = flags.DEFINE_list("tasks", [], "Directories that mptrec-add-task wrote, by commas.")
_ADD = flags.DEFINE_list("add", [], "Directories of tasks to add to the existing version.")
_REPLACE = flags.DEFINE_list(
    "replace", [], "Directories of tasks that replace those of their names."
)
_REMOVE = flags.DEFINE_list("remove", [], "Names of added tasks that the next version leaves out.")
_FROM_VERSION = flags.DEFINE_integer(
    "from_version", None, "The version to change or to sign. Default: the newest.", lower_bound=1
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "TF Serving's base path of the model; the next version is written to it."
)
_SIGN_KEY = flags.DEFINE_string(
    "sign_key", None, "Sign the version with this private key (PEM, Ed25519)."
)
flags.mark_flags_as_required(["output_dir"])


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.artifacts import manifests
    from mptrec_tf.export import version_contents
    from mptrec_tf.export.integrity import check_version
    from mptrec_tf.export.signing import read_private_key

    key = read_private_key(_SIGN_KEY.value) if _SIGN_KEY.value else None
    changes = bool(_ADD.value or _REPLACE.value or _REMOVE.value)
    if key is not None and not (_BACKBONE.value or changes or _TASKS.value):
        _sign_existing(key)
        return
    if bool(_BACKBONE.value) == changes or (changes and _TASKS.value):
        raise InputError(
            "give --backbone (and --tasks) to make a version from its parts, or --add, --replace "
            "or --remove to change an existing one."
        )
    if _FROM_VERSION.value and not changes:
        raise InputError("--from_version goes with --add, --replace or --remove.")
    directories = [*_TASKS.value, *_ADD.value, *_REPLACE.value]
    if not all(directories):
        raise InputError("--tasks, --add or --replace names an empty directory.")
    if changes:
        version = version_contents.find_version(_OUTPUT_DIR.value, _FROM_VERSION.value)
        # What is signed must not be made from what somebody else changed.
        check_version(version, key.public_key() if key is not None else None)
        described, packages = version_contents.describe_parts(version)
    else:
        described, packages = manifests.describe_backbone(_BACKBONE.value), []
    by_directory = {directory: manifests.describe_package(directory) for directory in directories}
    for package in by_directory.values():
        manifests.check_trained_on(package, described)
        manifests.check_addable(described, package.task)
    version_contents.apply_changes(
        packages,
        [by_directory[directory] for directory in (*_TASKS.value, *_ADD.value)],
        [by_directory[directory] for directory in _REPLACE.value],
        _REMOVE.value,
    )

    # Imports that take seconds come after the checks of the flags.
    from mptrec_tf.artifacts.backbones import load_backbone
    from mptrec_tf.artifacts.task_packages import load_package
    from mptrec_tf.bin.results import print_export_table
    from mptrec_tf.export.serving_model import export
    from mptrec_tf.export.version_parts import apply_changes, load_parts

    with program.progress("exporting", 2 + len(directories), "steps") as on_steps:

        def load_packages(directories):
            packages = []
            for directory in directories:
                packages.append(load_package(directory, backbone))
                on_steps(1)
            return packages

        if changes:
            # The version that was checked, also if a newer one appeared since.
            number = int(os.path.basename(version))
            backbone, packages = load_parts(_OUTPUT_DIR.value, number)
            on_steps(1)
            packages = apply_changes(
                packages, load_packages(_ADD.value), load_packages(_REPLACE.value), _REMOVE.value
            )
        else:
            backbone = load_backbone(_BACKBONE.value)
            on_steps(1)
            packages = load_packages(_TASKS.value)
        path, version = export(backbone, packages, _OUTPUT_DIR.value, key)
        on_steps(1)
    print_export_table(backbone, packages, path, version)


def _sign_existing(key: "ed25519.Ed25519PrivateKey") -> None:
    """Signs the chosen version, after a check of its files; one without a manifest gets one."""
    from mptrec_tf.export.integrity import check_version, sign_version, write_manifest
    from mptrec_tf.export.version_contents import find_version

    version = find_version(_OUTPUT_DIR.value, _FROM_VERSION.value)
    if not check_version(version):
        write_manifest(version)
    sign_version(version, key)
    print(f"signed {version}")


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
