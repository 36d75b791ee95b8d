"""Pre-trains a multi-task backbone (stage 1 of MPT-Rec, or another model).

    mptrec-pretrain --data=DATA --tasks=income,marital --output_dir=BACKBONE --seed=1

A run that was killed is continued by starting it again with the same flags. The defaults are the
paper's settings for Census-Income. TensorBoard: tensorboard --logdir=BACKBONE/logs
"""

from typing import Any

from absl import flags

from mptrec_tf.bin import defaults, program, training_flags
from mptrec_tf.layers.choices import L2_OVER
from mptrec_tf.models.registry import DEFAULT, MODELS
from mptrec_tf.models.shapes import ASSIGNMENTS, FUSIONS
from mptrec_tf.training.configurations import PretrainingConfig, TrainingConfig

_DATA = flags.DEFINE_string("data", None, "Directory that mptrec-prepare wrote.")
_TASKS = flags.DEFINE_list("tasks", None, "Tasks to pre-train on, by commas.")
_MODEL = flags.DEFINE_enum(
    "model",
    DEFAULT,
    MODELS.names(),
    "What is trained: MPT-Rec, or a simpler model to compare it with.",
)
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "New directory for the backbone.")
_EMBEDDING_WIDTH = flags.DEFINE_integer(
    "embedding_width", None, "Width of each categorical feature's embedding.", lower_bound=1
)
_EXPERT_UNITS = flags.DEFINE_list(
    "expert_units", None, "Layers of each expert; the last is the representations' width."
)
_EXPERT_DROPOUT = flags.DEFINE_float(
    "expert_dropout", None, "In experts.", lower_bound=0.0, upper_bound=0.99
)
_L2_EMBEDDING = flags.DEFINE_float("l2_embedding", None, "L2 of the embeddings.", lower_bound=0.0)
_L2_EMBEDDING_OVER = flags.DEFINE_enum(
    "l2_embedding_over",
    None,
    L2_OVER,
    "Whose norm that is: the whole table's (the paper's), or of the rows a batch reads, for "
    "tables too large to touch in every step.",
)
_GEN_WEIGHT = flags.DEFINE_float(
    "gen_weight", None, "Weight of the predictions from what is shared alone.", lower_bound=0.0
)
_ADVERSARIAL_WEIGHT = flags.DEFINE_float(
    "adversarial_weight",
    None,
    "Weight of the discriminator's loss; 0: no adversary.",
    lower_bound=0.0,
)
_ASSIGNMENT = flags.DEFINE_enum(
    "assignment",
    None,
    ASSIGNMENTS,
    "How samples get their environment: one kept per training row and renewed every "
    "--cluster_every epochs, or from each step's own losses.",
)
_CLUSTER_EVERY = flags.DEFINE_integer(
    "cluster_every", None, "Epochs between renewals of the environments.", lower_bound=1
)
_NORMALIZE_LOSSES = flags.DEFINE_bool(
    "normalize_losses", None, "Rank each task's losses first; for tasks with rare positives."
)
_FUSION = flags.DEFINE_enum(
    "fusion", None, FUSIONS, "What towers see; all but the first are the paper's ablations."
)
training_flags.check_units("expert_units")
flags.mark_flags_as_required(["data", "tasks", "output_dir"])
flags.adopt_module_key_flags(training_flags)
defaults.show(
    {name: (kind.shape, kind.losses, TrainingConfig) for name, kind in MODELS.all().items()}
)


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.data.prepared import PreparedData
    from mptrec_tf.storage.directories import check_absent

    check_absent(_OUTPUT_DIR.value)
    data = PreparedData(_DATA.value)
    data.task_columns(_TASKS.value)

    config = PretrainingConfig(
        tuple(_TASKS.value),
        _MODEL.value,
        _shape_fields(),
        _losses_fields(),
        TrainingConfig(**training_flags.training_fields()),
    )
    config.check_fields()

    # What takes seconds to import comes after what can be wrong.
    from mptrec_tf.artifacts.backbones import keep_backbone
    from mptrec_tf.bin.results import pretraining_table
    from mptrec_tf.training.pretraining import pretrain
    from mptrec_tf.training.run_context import RunContext

    context = RunContext(f"{_OUTPUT_DIR.value.rstrip('/')}.training", title="pre-training")
    model, result = pretrain(data, config, context)
    stored = keep_backbone(
        _OUTPUT_DIR.value, model, data, config.record(), result, context.directory
    )
    pretraining_table(stored, result)


def _shape_fields() -> dict[str, Any]:
    return (
        training_flags.given(
            _EMBEDDING_WIDTH, _EXPERT_DROPOUT, _L2_EMBEDDING, _L2_EMBEDDING_OVER, _FUSION
        )
        | training_flags.units(_EXPERT_UNITS)
        | training_flags.shape_fields()
    )


def _losses_fields() -> dict[str, Any]:
    return training_flags.given(
        _GEN_WEIGHT, _ADVERSARIAL_WEIGHT, _ASSIGNMENT, _CLUSTER_EVERY, _NORMALIZE_LOSSES
    )


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
