"""Adds a new task to a frozen backbone by prompt tuning (stage 2 of MPT-Rec).

    mptrec-add-task --backbone=BACKBONE --data=DATA --task=education --output_dir=TASK

Trains a prompt, a query, a gate and a tower; the backbone and every other task stay as they are.
A run that was killed is continued by starting it again with the same flags. Data of a later day,
or with a new label column, are prepared by mptrec-prepare --backbone=BACKBONE.
"""

import dataclasses

from absl import flags

from mptrec_tf.bin import program, training_flags

_BACKBONE = flags.DEFINE_string("backbone", None, "Directory that mptrec-pretrain wrote.")
_DATA = flags.DEFINE_string("data", None, "Directory that mptrec-prepare wrote.")
_TASK = flags.DEFINE_string("task", None, "The new task, one of the data's.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "New directory for the task package.")
_ATTENTION = flags.DEFINE_enum(
    "attention",
    "prompt",
    ["prompt", "fixed", "task_similarity"],
    "How much each existing task's expert counts: by the sample's query (the paper's), equally, "
    "or by the similarity of the task prompts.",
)
_TAU = flags.DEFINE_float("tau", 150.0, "Temperature of the attention.", lower_bound=1e-6)
_KL_WEIGHT = flags.DEFINE_float(
    "kl_weight", 0.0, "Keeps the attention near equal weights.", lower_bound=0.0
)
flags.mark_flags_as_required(["backbone", "data", "task", "output_dir"])
flags.adopt_module_key_flags(training_flags)


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.bin.results import new_task_table
    from mptrec_tf.directories import check_absent
    from mptrec_tf.export.backbones import load_backbone
    from mptrec_tf.export.packages import check_addable, keep_package
    from mptrec_tf.models.heads import HeadConfig
    from mptrec_tf.prepared_data import PreparedData
    from mptrec_tf.training.prompt_tuning import tune

    check_absent(_OUTPUT_DIR.value)
    backbone = load_backbone(_BACKBONE.value)
    data = PreparedData(_DATA.value)
    (task,) = data.spec.select_tasks([_TASK.value])
    data.task_columns([task.name])
    check_addable(backbone, task)
    backbone.check_fits(data)
    head = HeadConfig(
        attention=_ATTENTION.value,
        tau=_TAU.value,
        kl_weight=_KL_WEIGHT.value,
        tower_units=training_flags.units(training_flags.TOWER_UNITS),
        tower_dropout=training_flags.TOWER_DROPOUT.value,
        l2_dense=training_flags.L2_DENSE.value,
    )
    training = training_flags.training_config()
    work = f"{_OUTPUT_DIR.value.rstrip('/')}.training"
    made, result = tune(
        backbone.backbone,
        data,
        task.name,
        head,
        training,
        directory=work,
        fingerprint=backbone.fingerprint,
    )
    settings = {"training": dataclasses.asdict(training)}
    package = keep_package(_OUTPUT_DIR.value, task, made, backbone, data, settings, result, work)
    new_task_table(backbone, package, result)


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
