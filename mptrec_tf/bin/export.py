"""Exports a backbone and new tasks as the next version of a model for TF Serving.

    mptrec-export --backbone=BACKBONE --tasks=TASK1,TASK2 --output_dir=saved_models/mptrec

The SavedModel takes raw columns and gives one probability per task. Without --tasks it answers
the pre-trained tasks alone; leaving one out of --tasks removes it. Every other task's answers
stay the same bit for bit.
"""

from absl import flags

from mptrec_tf.bin import program
from mptrec_tf.errors import InputError

_BACKBONE = flags.DEFINE_string("backbone", None, "Directory that mptrec-pretrain wrote.")
_TASKS = flags.DEFINE_list("tasks", [], "Directories that mptrec-add-task wrote, by commas.")
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "TF Serving's base path of the model; the next version is made in it."
)
flags.mark_flags_as_required(["backbone", "output_dir"])


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.bin.results import export_table
    from mptrec_tf.export.backbones import load_backbone
    from mptrec_tf.export.packages import load_package
    from mptrec_tf.export.serving_model import export

    if not all(_TASKS.value):
        raise InputError(f"--tasks={','.join(_TASKS.value)} names an empty directory.")
    with program.progress("exporting", 2 + len(_TASKS.value), "steps") as on_steps:
        backbone = load_backbone(_BACKBONE.value)
        on_steps(1)
        packages = []
        for directory in _TASKS.value:
            packages.append(load_package(directory, backbone))
            on_steps(1)
        path, version = export(backbone, packages, _OUTPUT_DIR.value)
        on_steps(1)
    export_table(backbone, packages, path, version)


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
