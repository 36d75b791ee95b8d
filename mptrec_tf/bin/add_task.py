"""Adds a new task to a frozen backbone by prompt tuning (stage 2 of MPT-Rec).

    mptrec-add-task --backbone=BACKBONE --data=DATA --task=education --output_dir=TASK

Trains a small head (a prompt, a gate, a tower and the parts of its kind); the backbone and every
other task stay as they are. The best kind differs from task to task: all are tried, and the
validation rows choose.
To continue a run that was killed, start it again with the same flags. To prepare data of a later
day, or with a new label column, use mptrec-prepare --backbone=BACKBONE.
"""

from absl import flags

from mptrec_tf.bin import defaults, memory_flag, program, shape_flags, training_flags
from mptrec_tf.models.heads.registry import AUTO, HEADS, check_fits
from mptrec_tf.models.registry import MODELS
from mptrec_tf.storage.plain import to_plain
from mptrec_tf.training.configurations import NewTaskConfig, TrainingConfig, make_recipe

_BACKBONE = flags.DEFINE_string("backbone", None, "Directory that mptrec-pretrain wrote.")
_DATA = flags.DEFINE_string("data", None, "Directory that mptrec-prepare wrote.")
_TASK = flags.DEFINE_string("task", None, "The new task, one of the data's.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "New directory for the task package.")
_HEAD = flags.DEFINE_enum(
    "head",
    NewTaskConfig.head,
    [AUTO, *HEADS.names()],
    "What is trained: the paper's prompt, its two simpler forms, a prompt with a small expert of "
    "its own, a tower alone, which fits every model, or one to compare with (docs/models.md). auto:"
    " trains those that fit the model best and selects the smallest that is as good as the best of "
    "them on the validation rows.",
)
_COMPARE = flags.DEFINE_bool(
    "compare",
    False,
    "Also train the task alone from scratch, and all tasks jointly, and report which is better, "
    "for the old tasks, too; by the test rows, which nothing else uses.",
)
_FLOAT16_ON_DISK = flags.DEFINE_bool(
    "float16_on_disk",
    False,
    "Round representations of rows that do not fit in memory to 16 bits: half the bytes to write, "
    "and to read in each epoch.",
)
_SHAPES = tuple(dict.fromkeys(kind.shape for kind in HEADS.all().values()))
shape_flags.define(*_SHAPES)
flags.mark_flags_as_required(["backbone", "data", "task", "output_dir"])
flags.adopt_module_key_flags(training_flags)
flags.adopt_module_key_flags(memory_flag)
flags.adopt_module_key_flags(shape_flags)
defaults.show({name: (make_recipe(name), kind.make_shape()) for name, kind in HEADS.all().items()})


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.artifacts.manifests import check_addable, describe_backbone
    from mptrec_tf.data.prepared import PreparedData
    from mptrec_tf.data.spec import check_same_features
    from mptrec_tf.data.training_data import check_has_labels, check_same_labels
    from mptrec_tf.storage.directories import check_absent

    check_absent(_OUTPUT_DIR.value)
    described = describe_backbone(_BACKBONE.value)
    data = PreparedData(_DATA.value)
    (task,) = data.spec.select_tasks([_TASK.value])
    data.task_columns([task.name])
    check_addable(described, task)
    check_same_features(
        data.spec, described.spec, f"data {data.directory}", f"backbone {described.directory}"
    )
    if _COMPARE.value:
        check_has_labels(described.shape.tasks, data)
        check_same_labels(described.spec.select_tasks(described.shape.tasks), data)
    shape = shape_flags.read_fields(*_SHAPES)
    config = NewTaskConfig(_HEAD.value, shape, training_flags.read_training_fields())
    if config.head != AUTO:
        check_fits([config.head], MODELS.get(described.model).offers, described.model)

    # Imports that take seconds come after the checks of the flags.
    from mptrec_tf.artifacts.backbones import load_backbone
    from mptrec_tf.artifacts.task_packages import save_trained_package
    from mptrec_tf.bin.results import print_comparison_table, print_new_task_table
    from mptrec_tf.models.prompted import NewTask
    from mptrec_tf.training.new_task import learn
    from mptrec_tf.training.reference import compare
    from mptrec_tf.training.run_context import RunContext

    backbone = load_backbone(_BACKBONE.value)
    backbone.check_fits(data)
    work = f"{_OUTPUT_DIR.value.rstrip('/')}.training"
    context = RunContext(
        work,
        memory_limit=memory_flag.read_memory_limit(),
        float16_on_disk=_FLOAT16_ON_DISK.value,
        fingerprint=backbone.fingerprint,
    )
    chosen, candidates = learn(
        backbone.model,
        data,
        task.name,
        config,
        context,
    )
    compared = []
    if _COMPARE.value:
        compared = compare(
            backbone.model,
            data,
            task.name,
            chosen.head,
            TrainingConfig(seed=training_flags.SEED.value),
            context.child("compared"),
            backbone.spec.select_tasks(backbone.shape.tasks),
        )
    settings = {
        "training": to_plain(chosen.training),
        "candidates": [candidate.row() for candidate in candidates],
        "compared": compared,
    }
    package = save_trained_package(
        _OUTPUT_DIR.value,
        NewTask(task, chosen.head),
        backbone,
        data,
        settings,
        chosen.result,
        work,
    )
    print_new_task_table(backbone, package, chosen, candidates)
    print_comparison_table(data.spec.select_tasks([row["task"] for row in compared]), compared)


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
