"""Flags of all programs that make pipelines, whichever engine runs them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from components.data_gate.config import GateConfig
from components.evaluation.thresholds import Thresholds
from mptrec_tf.bin import data_flags, defaults, format_flags, gate_flags, split_flags
from mptrec_tf.errors import InputError
from mptrec_tf.models.heads.registry import AUTO, HEADS
from mptrec_tf.models.registry import DEFAULT, MODELS
from mptrec_tf.training.cluster import OF_PROCESSES, STRATEGIES, check_config
from mptrec_tf.training.configurations import LARGEST_SEED, NewTaskConfig, make_recipe
from pipelines.config import PipelineConfig, PretrainConfig
from pipelines.defaults import STAGE_1

if TYPE_CHECKING:
    from components.example_gen.source import SourceConfig
    from mptrec_tf.data.spec import DatasetSpec
    from mptrec_tf.renewal.plan import Plan

TASKS = flags.DEFINE_list("tasks", [], "Tasks to pre-train on.")
NEW_TASK = flags.DEFINE_string(
    "new_task", None, "The task to add; for the pre-training, the one that is to come."
)
FILES = {
    split: flags.DEFINE_string(
        f"{split}_files", None, f"Your own {split} rows: a file, a glob or tfds:NAME#SPLIT."
    )
    for split in ("train", "validation", "test")
}
ALL_FILES = flags.DEFINE_string(
    "files",
    None,
    "Your own rows of all splits, instead of files for each: a file, a glob or tfds:NAME#SPLIT; "
    "--split divides them.",
)
SPLIT, SPLIT_BY = split_flags.define_split_flags()
SCHEMA = flags.DEFINE_string(
    "schema", None, "A curated schema (text proto). Default: inferred from the training rows."
)
LEAST = flags.DEFINE_list(
    "least_score", [], "Lower bounds of scores (of a binary task, the AUC), as task=0.8, by commas."
)
flags.DEFINE_alias("least_auc", "least_score")
MAX_DRIFT = flags.DEFINE_list(
    "max_drift",
    [],
    f"Limits of single features' drift, as feature=0.2, by commas. Others: {GateConfig.max_drift}.",
)
SLICES = flags.DEFINE_list("slices", [], "Features to evaluate by; several at once as a+b.")
EPOCHS = flags.DEFINE_integer(
    "epochs",
    None,
    "Of each training, at most: the pre-training, and that of the new task's head.",
    lower_bound=1,
)
PATIENCE = flags.DEFINE_integer(
    "patience", None, "Stop after so many epochs without a better validation score.", lower_bound=1
)
flags.adopt_module_key_flags(gate_flags)
# Of the pre-training, and of each kind of head.
defaults.show({"": (STAGE_1,), **{kind: (make_recipe(kind),) for kind in HEADS.names()}})
MODEL = flags.DEFINE_enum(
    "model", DEFAULT, MODELS.names(), "What is pre-trained, see mptrec-pretrain --help."
)
HEAD = flags.DEFINE_enum(
    "head",
    NewTaskConfig.head,
    [AUTO, *HEADS.names()],
    "The new task's head, see mptrec-add-task --help; auto: the best of them. refresh: that of all "
    "added tasks; by default each keeps its kind.",
)
SEED = flags.DEFINE_integer(
    "seed",
    STAGE_1.seed,
    "Of the training. refresh: by default the seeds that they had.",
    lower_bound=0,
    upper_bound=LARGEST_SEED,
)
DOCKER = flags.DEFINE_bool(
    "docker",
    PipelineConfig.docker,
    "Check the candidate with TF Serving in a container (TFX's InfraValidator).",
)
STRATEGY = flags.DEFINE_enum(
    "strategy",
    PipelineConfig.strategy,
    STRATEGIES,
    "How several replicas pre-train, see mptrec-pretrain --help. multi_worker and "
    "parameter_server need TF_CONFIG where the trainer runs. Default: one process.",
)
PROMOTE = flags.DEFINE_list(
    "promote", [], "refresh: added tasks that the new backbone is pre-trained on."
)
RETIRE = flags.DEFINE_list("retire", [], "refresh: tasks that the new version leaves out.")
FROM_SCRATCH = flags.DEFINE_bool(
    "from_scratch", False, "refresh: begin with fresh weights instead of the old backbone's."
)
DROP_TASKS = flags.DEFINE_bool(
    "may_drop_tasks",
    PretrainConfig.may_drop_tasks,
    "Let the pre-training pipeline push a model that lacks tasks of the one in production: a new "
    "backbone knows none of the tasks that were added to the old one; refresh carries them over.",
)


# A renewal takes all else that trains a model from the one in production.
_NOT_OF_REFRESH = (data_flags.SPEC, TASKS, NEW_TASK, EPOCHS, PATIENCE, MODEL, DROP_TASKS)
_OF_REFRESH = (PROMOTE, RETIRE, FROM_SCRATCH)


def check_run(run: str) -> None:
    """Rejects flags that belong to other pipelines.

    Args:
      run: Which pipelines are run.

    Raises:
      InputError: naming the flag.
    """
    for flag in _NOT_OF_REFRESH if run == "refresh" else _OF_REFRESH:
        if not flag.present:
            continue
        if run == "refresh":
            raise InputError(
                f"--{flag.name} does not go with refresh: columns, tasks and settings are those of "
                "the model in production."
            )
        raise InputError(f"--{flag.name} goes with refresh, not with {run}.")


def check_strategy() -> None:
    """Rejects a strategy of several processes where this one is none of them.

    Raises:
      InputError: for a TF_CONFIG that is missing or wrong.
    """
    if STRATEGY.value in OF_PROCESSES:
        check_config(STRATEGY.value)


def make_plan(serving_dir: str) -> Plan:
    """Returns what a renewal of the model in production trains, from the flags.

    Raises:
      InputError: as `mptrec_tf.renewal.plan.make_plan` does, or for a built-in data set with other
        features or labels.
    """
    from mptrec_tf.renewal.plan import make_plan

    plan = make_plan(
        serving_dir,
        promote=PROMOTE.value,
        retire=RETIRE.value,
        head=HEAD.value if HEAD.present else None,
        seed=SEED.value if SEED.present else None,
    )
    if not data_flags.DATASET.value:
        return plan
    spec = data_flags.read_spec_of(plan.spec, {}, f"the model in {plan.version}")
    return dataclasses.replace(plan, spec=spec)


def parse_numbers(flag: flags.FlagHolder) -> dict[str, float]:
    """Returns the numbers of a list flag such as a=1,b=2 by name.

    Raises:
      InputError: for an item that is not of this form.
    """
    values = {}
    for item in flag.value:
        name, _, value = item.partition("=")
        try:
            values[name] = float(value)
        except ValueError as error:
            raise InputError(
                f"--{flag.name}={','.join(flag.value)}: {item!r} is not of the form name=number."
            ) from error
    return values


def make_pipeline_config(
    root: str, serving_dir: str, source: SourceConfig, beam_args: Sequence[str], **fields: Any
) -> PipelineConfig:
    """Returns the common part of the pipelines' configurations, from the flags.

    Args:
      root: Directory of everything that the pipelines make.
      serving_dir: Where versions are pushed.
      source: The data set.
      beam_args: Flags of the Beam runner.
      **fields: Fields that an engine sets.

    Raises:
      InputError: for a list flag that is not of its form.
    """
    return PipelineConfig(
        root=root,
        serving_dir=serving_dir,
        source=source,
        gate=GateConfig(max_drift_of=parse_numbers(MAX_DRIFT)),
        thresholds=Thresholds(
            parse_numbers(LEAST),
            gate=gate_flags.make_gate(),
            accepted=tuple(gate_flags.ACCEPT.value),
        ),
        slices=parse_slices(),
        beam_args=beam_args,
        docker=DOCKER.value,
        strategy=STRATEGY.value,
        **fields,
    )


def make_new_task_config() -> NewTaskConfig:
    """Returns how the new task is trained, from the flags."""
    return NewTaskConfig(HEAD.value, training=read_training_fields())


def parse_slices() -> list[list[str]]:
    """Returns the columns of each slice."""
    return [columns.split("+") for columns in SLICES.value]


def read_training_fields() -> dict[str, int]:
    """Returns the fields of `TrainingConfig` that the flags set, and always the seed."""
    return {f.name: f.value for f in (EPOCHS, PATIENCE, SEED) if f.value is not None}


def make_absolute(path: str) -> str:
    """Returns an absolute path, which is valid in every process; remote paths already are."""
    return path.rstrip("/") if "://" in path else os.path.abspath(path)


def locate_files(path: str) -> str:
    """Returns an absolute path of files, whose / at the end says that it is a folder."""
    if path.startswith("tfds:"):
        return path
    slash = "/" if path.endswith("/") else ""
    return make_absolute(path) + slash


def check_tasks(tasks: tuple[str, ...], default: str | None = None) -> None:
    """Rejects names that are not tasks of the flags' data set; imports no TFX.

    Args:
      tasks: Names of tasks.
      default: The data set where the flags name none.

    Raises:
      InputError: naming the task.
    """
    from mptrec_tf.data.sets.registry import make_built_in_spec
    from mptrec_tf.data.spec_yaml import load

    if data_flags.SPEC.value and not data_flags.DATASET.value:
        load(data_flags.SPEC.value).select_tasks(tasks)
    elif dataset := data_flags.DATASET.value or default:
        make_built_in_spec(dataset, tasks or None)


def make_source(
    tasks: tuple[str, ...], default: str | None = None, spec: DatasetSpec | None = None
) -> SourceConfig:
    """Returns the `SourceConfig` of the data set that the flags name.

    Args:
      tasks: Names of all tasks of a built-in data set, including later ones.
      default: The data set where the flags name none.
      spec: What the columns of the files in the flags are, if not what --spec says.

    Raises:
      InputError: if the flags name no data set or two, or files for a built-in one.
    """
    from components.example_gen.source import SourceConfig  # imports what reads files
    from mptrec_tf.data.spec_yaml import load

    own = data_flags.SPEC.value
    dataset = data_flags.DATASET.value or (None if own or spec else default)
    if bool(dataset) == bool(own) and not spec:
        raise InputError(
            "give either --dataset (built in) or --spec (your own data); "
            f"received {'both' if own else 'neither'}."
        )
    files = {split: locate_files(flag.value) for split, flag in FILES.items() if flag.value}
    rule = split_flags.read_rule(SPLIT, SPLIT_BY, {**files, split_flags.FILES: ALL_FILES.value})
    if dataset:
        if files or rule:
            flag = "files" if rule else f"{next(iter(files))}_files"
            raise InputError(f"--{flag} goes with --spec, not with --dataset.")
        for name in format_flags.list_given():
            raise InputError(f"--{name} goes with --spec, not with --dataset.")
        return SourceConfig(dataset=dataset, tasks=tasks, options=data_flags.read_options())
    data_flags.check_no_options()
    if rule:
        files = {split_flags.FILES: locate_files(ALL_FILES.value)}
    spec = spec or load(own)
    spec = dataclasses.replace(spec, text_format=format_flags.read_text_format(spec.text_format))
    return SourceConfig(spec=spec, files=files, split=rule)
