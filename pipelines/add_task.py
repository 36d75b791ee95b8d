"""The pipeline that adds a task to the model in production, or replaces one that was added.

    RawExampleGen -> StatisticsGen -> ExampleValidator (the backbone's schema) -> DataGate (drift)
      -> PromptTuner -> FrozenTaskValidator, Evaluator (against production), ServingCheck -> Pusher

The serving directory decides which model is in production, not the last blessing of a pipeline. The
models are imported by their URIs, which preserves their lineage, because ML Metadata has them.
"""

from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts
from tfx.v1.components import ExampleValidator, StatisticsGen

from components.data_gate.component import DataGate
from components.example_gen.component import RawExampleGen
from components.frozen_task_validator.component import FrozenTaskValidator
from components.prompt_tuner.component import PromptTuner
from components.pusher.component import Pusher
from pipelines.config import ADD_TASK, EVALUATION_SPLIT, AddTaskConfig
from pipelines.shared_steps import (
    import_artifact,
    make_evaluator,
    make_pipeline,
    make_serving_check,
)


def create_pipeline(config: AddTaskConfig) -> Pipeline:
    """Returns the add-task pipeline.

    Raises:
      InputError: for unknown tasks, thresholds or slices.

    Example:
      current = production.find(common.serving_dir, "share", common.metadata_path)
      config = make_add_task_config(
          common,
          "share",
          NewTaskConfig(head="prompt"),
          base_model=current.base_model,
          production_model=current.model,
          production_tasks=current.tasks,
          schema=current.schema,
          statistics=current.statistics,
      )
      run(create_pipeline(config), common.metadata_path)
    """
    spec = config.source.make_spec()
    task = config.tuner.task
    [new] = spec.select_tasks([task])
    labelled = [name for name in config.production_tasks if name in spec.task_names]

    example_gen = RawExampleGen(config.source)
    examples = example_gen.outputs["examples"]
    statistics_gen = StatisticsGen(examples=examples)
    schema = import_artifact("BackboneSchema", config.schema, standard_artifacts.Schema)
    baseline = import_artifact(
        "BackboneStatistics", config.statistics, standard_artifacts.ExampleStatistics
    )
    base_model = import_artifact("BaseModel", config.base_model, standard_artifacts.Model)
    production = import_artifact(
        "ProductionModel", config.production_model, standard_artifacts.Model
    )
    validator = ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema.outputs["result"]
    )
    gate = DataGate(
        examples=examples,
        statistics=statistics_gen.outputs["statistics"],
        schema=schema.outputs["result"],
        anomalies=validator.outputs["anomalies"],
        tasks=[task],
        baseline_statistics=baseline.outputs["result"],
        config=config.gate,
    )
    tuner = PromptTuner(
        examples=examples,
        base_model=base_model.outputs["result"],
        config=config.tuner,
        state_dir=config.state_dir,
    )
    tuner.add_upstream_node(gate)
    model = tuner.outputs["model"]
    frozen = FrozenTaskValidator(
        examples=examples,
        model=model,
        base_model=production.outputs["result"],
        split=EVALUATION_SPLIT,
    )
    evaluated = list(dict.fromkeys([*labelled, new.name]))
    evaluator = make_evaluator(
        config, examples, model, evaluated, production, config.production_tasks
    )
    check = make_serving_check(config, example_gen, model)
    pusher = Pusher(
        model=model,
        serving_dir=config.serving_dir,
        blessings={
            "evaluation": evaluator.outputs["blessing"],
            "serving": check.outputs["blessing"],
            "frozen_tasks": frozen.outputs["blessing"],
        },
        production=production.outputs["result"],
    )
    return make_pipeline(
        ADD_TASK,
        config,
        [
            example_gen,
            statistics_gen,
            schema,
            baseline,
            base_model,
            production,
            validator,
            gate,
            tuner,
            frozen,
            evaluator,
            check,
            pusher,
        ],
    )
