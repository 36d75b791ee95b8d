"""The configurations of the pipelines, as plain data.

Imports neither TensorFlow nor TFX: flags take their defaults and choices from here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.data_gate.config import GateConfig
from components.evaluation.thresholds import Thresholds
from components.prompt_tuner.config import PromptTunerConfig
from mptrec_tf.models.registry import DEFAULT
from mptrec_tf.training.configurations import NewTaskConfig, PretrainingConfig
from pipelines.defaults import STAGE_1

if TYPE_CHECKING:
    from tfx.orchestration.data_types import RuntimeParameter

    from components.example_gen.source import SourceConfig
    from mptrec_tf.renewal.plan import Plan

# The names that users give the pipelines.
PIPELINES = ("pretrain", "add_task", "refresh")
# Their names in ML Metadata.
PRETRAIN, ADD_TASK, REFRESH = "mptrec-pretrain", "mptrec-add-task", "mptrec-refresh"
EVALUATION_SPLIT = "test"


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """The common part of the pipelines' configurations.

    Attributes:
      root: str. Directory of everything that the pipeline makes (TFX's pipeline root).
      serving_dir: str. TF Serving's base path of the model, where versions are pushed.
      source: The data set.
      gate: Limits of the data gate.
      thresholds: What every task must reach.
      slices: Lists of feature columns to evaluate by.
      beam_args: Flags of the Beam runner, for every component that runs on Beam.
      cache: bool. Whether components whose inputs did not change are skipped.
      docker: bool. Whether the serving check is TFX's InfraValidator, which starts TF Serving in a
        container, or a fresh process with TensorFlow.
      strategy: Optional str. How several replicas pre-train, a name in `cluster.STRATEGIES`; new
        tasks are trained by one process.
      cluster: bool. Whether an engine with ML Metadata of its own runs the pipeline; otherwise they
        are in a SQLite file in `root`.
    """

    root: str
    serving_dir: str
    source: SourceConfig
    gate: GateConfig = dataclasses.field(default_factory=GateConfig)
    thresholds: Thresholds = dataclasses.field(default_factory=Thresholds)
    slices: Sequence[Sequence[str]] = ()
    beam_args: Sequence[str] = ()
    cache: bool = True
    docker: bool = False
    strategy: str | None = None
    cluster: bool = False

    @property
    def state_dir(self) -> str:
        """Directory of the state of unfinished trainings."""
        return f"{self.root}/unfinished"

    @property
    def metadata_path(self) -> str:
        """Path of the local runner's ML Metadata (SQLite)."""
        return f"{self.root}/metadata.sqlite"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainConfig(PipelineConfig):
    """The configuration of the pre-training pipeline.

    Attributes:
      trainer: Tasks and hyper-parameters.
      schema_file: Optional str. A curated schema (text proto); by default one is inferred from the
        training rows.
      may_drop_tasks: bool. Whether to push a model that lacks tasks of the one in production.
      production_model: URI of the Model artifact in production, or a parameter of the run; None
        where nothing is in production yet. `pipelines.production` finds it.
      production_tasks: Tasks that it predicts and the new backbone is compared on.
    """

    trainer: PretrainingConfig
    schema_file: str | None = None
    may_drop_tasks: bool = False
    production_model: str | RuntimeParameter | None = None
    production_tasks: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class AddTaskConfig(PipelineConfig):
    """The configuration of the pipeline that adds a task to the model in production.

    `pipelines.production` finds the URIs in ML Metadata. Each may be a parameter of the run.

    Attributes:
      tuner: The new task and hyper-parameters.
      base_model: URI of the Model artifact that the task joins.
      production_model: URI of the Model artifact in production.
      production_tasks: Tasks that it predicts.
      schema: URI of the schema that the backbone's data were validated by.
      statistics: URI of the statistics of the backbone's data.
    """

    tuner: PromptTunerConfig
    base_model: str | RuntimeParameter
    production_model: str | RuntimeParameter
    production_tasks: Sequence[str]
    schema: str | RuntimeParameter
    statistics: str | RuntimeParameter


@dataclasses.dataclass(frozen=True, kw_only=True)
class RefreshConfig(PipelineConfig):
    """The configuration of the pipeline that renews the model in production.

    Attributes:
      plan: What is trained, see `mptrec_tf.renewal.plan.make_plan`; `source` has its spec.
      production_model: URI of the Model artifact in production.
      production_tasks: Tasks that it predicts and the new model is compared on.
      warm: bool. Whether the new backbone begins with the weights of the old one.
      schema_file: Optional str. A curated schema (text proto); by default one is inferred from the
        training rows.
    """

    plan: Plan
    production_model: str
    production_tasks: Sequence[str]
    warm: bool = True
    schema_file: str | None = None


def make_pretrain_config(
    common: PipelineConfig,
    tasks: Sequence[str],
    training: Mapping[str, Any],
    model: str = DEFAULT,
    **fields: Any,
) -> PretrainConfig:
    """Returns the configuration of the pre-training pipeline.

    Args:
      common: The common part.
      tasks: Tasks to pre-train on.
      training: Fields of `TrainingConfig` that differ from `defaults.STAGE_1`.
      model: Which model, a name in `MODELS`.
      **fields: Fields of `PretrainConfig` that the other pipelines do not have.
    """
    how = dataclasses.replace(STAGE_1, **training)
    trainer = PretrainingConfig(tuple(tasks), model, training=how).adapt(common.strategy)
    return PretrainConfig(**_get_fields(common), trainer=trainer, **fields)


def make_add_task_config(
    common: PipelineConfig, task: str, how: NewTaskConfig, **fields: Any
) -> AddTaskConfig:
    """Returns the configuration of the pipeline that adds a task.

    Args:
      common: The common part.
      task: The new task.
      how: How it is trained.
      **fields: Fields of `AddTaskConfig` that the other pipelines do not have.
    """
    return AddTaskConfig(**_get_fields(common), tuner=PromptTunerConfig(task, how), **fields)


def make_refresh_config(common: PipelineConfig, plan: Plan, **fields: Any) -> RefreshConfig:
    """Returns the configuration of the pipeline that renews the model in production.

    Args:
      common: The common part.
      plan: What is trained.
      **fields: Fields of `RefreshConfig` that the other pipelines do not have.
    """
    return RefreshConfig(**_get_fields(common), plan=plan, **fields)


def _get_fields(config: PipelineConfig) -> dict[str, Any]:
    """Returns the fields of the common part by name, not as plain data."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(PipelineConfig)}
