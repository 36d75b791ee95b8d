"""Adds a new task to a frozen backbone by prompt tuning (stage 2 of MPT-Rec).

    mptrec-add-task --backbone=BACKBONE --data=DATA --task=education --output_dir=TASK

Trains a small head (a prompt, a gate, a tower and what its kind brings); the backbone and every
other task stay as they are. Which kind is best differs from task to task: all are tried, and the
validation rows choose.
A run that was killed is continued by starting it again with the same flags. Data of a later day,
or with a new label column, are prepared by mptrec-prepare --backbone=BACKBONE.
"""

import dataclasses

from absl import flags

from mptrec_tf.bin import program, training_flags
from mptrec_tf.models.head_names import AUTO, KINDS

_BACKBONE = flags.DEFINE_string("backbone", None, "Directory that mptrec-pretrain wrote.")
_DATA = flags.DEFINE_string("data", None, "Directory that mptrec-prepare wrote.")
_TASK = flags.DEFINE_string("task", None, "The new task, one of the data's.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "New directory for the task package.")
_HEAD = flags.DEFINE_enum(
    "head",
    AUTO,
    [AUTO, *KINDS],
    "What is trained: the paper's prompt, its two simpler forms, or a prompt with a small expert "
    "of its own. auto: trains all and keeps the smallest that is as good as the best on the "
    "validation rows.",
)
_TAU = flags.DEFINE_float(
    "tau", None, "Temperature of the attention to existing tasks; default 150.", lower_bound=1e-6
)
_KL_WEIGHT = flags.DEFINE_float(
    "kl_weight", None, "Keeps that attention near equal weights; default 0.", lower_bound=0.0
)
_COMPARE = flags.DEFINE_bool(
    "compare",
    False,
    "Also train the task alone from scratch, and all tasks jointly, and print what the new task "
    "gives up or gains; on the test rows too, which nothing else looks at.",
)
flags.mark_flags_as_required(["backbone", "data", "task", "output_dir"])
flags.adopt_module_key_flags(training_flags)


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.bin.results import comparison_table, new_task_table
    from mptrec_tf.directories import check_absent
    from mptrec_tf.export.backbones import load_backbone
    from mptrec_tf.export.packages import check_addable, keep_package
    from mptrec_tf.prepared_data import PreparedData
    from mptrec_tf.training.loop import TrainingConfig
    from mptrec_tf.training.new_task import NewTaskConfig, learn
    from mptrec_tf.training.reference import check_comparable, compare

    check_absent(_OUTPUT_DIR.value)
    backbone = load_backbone(_BACKBONE.value)
    data = PreparedData(_DATA.value)
    (task,) = data.spec.select_tasks([_TASK.value])
    data.task_columns([task.name])
    check_addable(backbone, task)
    backbone.check_fits(data)
    if _COMPARE.value:
        check_comparable(backbone.backbone, data)
    shape = training_flags.shape_fields()
    shape |= {f.name: f.value for f in (_TAU, _KL_WEIGHT) if f.value is not None}
    config = NewTaskConfig(_HEAD.value, shape, training_flags.training_fields())
    work = f"{_OUTPUT_DIR.value.rstrip('/')}.training"
    chosen, candidates = learn(
        backbone.backbone,
        data,
        task.name,
        config,
        directory=work,
        fingerprint=backbone.fingerprint,
    )
    compared = []
    if _COMPARE.value:
        compared = compare(
            backbone.backbone,
            data,
            task.name,
            chosen.head,
            TrainingConfig(seed=training_flags.SEED.value),
            directory=f"{work}/compared",
        )
    settings = {
        "training": dataclasses.asdict(chosen.training),
        "candidates": [candidate.row() for candidate in candidates],
        "compared": compared,
    }
    package = keep_package(
        _OUTPUT_DIR.value, task, chosen.head, backbone, data, settings, chosen.result, work
    )
    new_task_table(backbone, package, chosen, candidates)
    comparison_table(task.name, compared)


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
