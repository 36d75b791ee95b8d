"""Pre-trains a multi-task backbone (stage 1 of MPT-Rec, or another model).

    mptrec-pretrain --data=DATA --tasks=income,marital --output_dir=BACKBONE --seed=1

To continue a run that was killed, start it again with the same flags. The defaults are the paper's
settings (arXiv 2408.17214) for Census-Income. TensorBoard: tensorboard --logdir=BACKBONE/logs
"""

from absl import flags

from mptrec_tf.bin import defaults, memory_flag, program, shape_flags, training_flags
from mptrec_tf.models.registry import DEFAULT, MODELS
from mptrec_tf.training.cluster import (
    MULTI_WORKER,
    PARAMETER_SERVER,
    STRATEGIES,
    ServerCluster,
    read_cluster,
    read_server_cluster,
)
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
_STRATEGY = flags.DEFINE_enum(
    "strategy",
    None,
    STRATEGIES,
    "Train on all GPUs of this machine (mirrored), or on several machines, by steps that all "
    "compute together (multi_worker) or that do not wait for one another (parameter_server): the "
    "same command on each, with TF_CONFIG in its environment. Default: one process, one replica.",
)
_SHAPES = tuple(dict.fromkeys(kind.shape for kind in MODELS.all().values()))
_LOSSES = tuple(dict.fromkeys(kind.losses for kind in MODELS.all().values()))
shape_flags.define(*_SHAPES, *_LOSSES)
flags.mark_flags_as_required(["data", "tasks", "output_dir"])
flags.adopt_module_key_flags(training_flags)
flags.adopt_module_key_flags(memory_flag)
flags.adopt_module_key_flags(shape_flags)
defaults.show(
    {name: (kind.shape, kind.losses, TrainingConfig) for name, kind in MODELS.all().items()}
)


def main(_: list[str]) -> None:
    """Runs the program."""
    from mptrec_tf.data.prepared import PreparedData
    from mptrec_tf.storage.directories import check_absent

    if _STRATEGY.value == PARAMETER_SERVER:
        cluster = read_server_cluster()
        if not cluster.is_chief:
            _serve(cluster)
            return
    check_absent(_OUTPUT_DIR.value)
    if _STRATEGY.value == MULTI_WORKER:
        read_cluster()
    data = PreparedData(_DATA.value)
    data.task_columns(_TASKS.value)

    config = PretrainingConfig(
        tuple(_TASKS.value),
        _MODEL.value,
        shape_flags.read_fields(*_SHAPES),
        shape_flags.read_fields(*_LOSSES),
        TrainingConfig(**training_flags.read_training_fields()),
    ).adapt(_STRATEGY.value)
    config.check_fields()

    # Imports that take seconds come after the checks of the flags.
    from mptrec_tf.artifacts.backbones import save_trained_backbone
    from mptrec_tf.bin.results import print_pretraining_table
    from mptrec_tf.training.distribution import start_distribution
    from mptrec_tf.training.pretraining import pretrain
    from mptrec_tf.training.run_context import RunContext

    distribution = start_distribution(_STRATEGY.value)
    context = RunContext(
        f"{_OUTPUT_DIR.value.rstrip('/')}.training",
        title="pre-training",
        memory_limit=memory_flag.read_memory_limit(),
        distribution=distribution,
    )
    model, result = pretrain(data, config, context)
    if not distribution.is_chief:
        return
    stored = save_trained_backbone(
        _OUTPUT_DIR.value, model, data, config.record(), result, context.directory
    )
    print_pretraining_table(stored, result)


def _serve(cluster: ServerCluster) -> None:
    """Runs a worker or a parameter server until the training has ended."""
    import tensorflow as tf

    from mptrec_tf.training.servers import serve_until_the_end

    end = serve_until_the_end(cluster, lambda: tf.io.gfile.exists(_OUTPUT_DIR.value))
    print(f"{cluster.role} {cluster.index}: {end}")


def run() -> None:
    """Entry point."""
    program.run(main)


if __name__ == "__main__":
    run()
