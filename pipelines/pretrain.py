"""The pre-training pipeline: from raw rows to a served backbone.

RawExampleGen -> StatisticsGen -> SchemaGen (or a curated schema) -> ExampleValidator -> DataGate
  -> Transform -> Pretrainer -> Evaluator (against production), ServingCheck -> Pusher

The first run has no model in production to compare with. Later ones compare the common tasks.
"""

from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from components.pretrainer.component import Pretrainer
from components.pusher.component import Pusher
from pipelines.config import PRETRAIN, PretrainConfig
from pipelines.shared_steps import (
    import_artifact,
    make_data_steps,
    make_evaluator,
    make_pipeline,
    make_serving_check,
)


def create_pipeline(config: PretrainConfig) -> Pipeline:
    """Returns the pre-training pipeline.

    Raises:
      InputError: for unknown tasks, thresholds or slices.

    Example:
      common = PipelineConfig(
          root="build/synthetic",
          serving_dir="build/synthetic/saved_models/mptrec",
          source=SourceConfig(dataset="synthetic"),
      )
      config = make_pretrain_config(common, ["click", "like"], training={"epochs": 5})
      run(create_pipeline(config), common.metadata_path)
    """
    tasks = config.trainer.tasks
    compared = [task for task in tasks if task in config.production_tasks]
    production = None
    if config.production_model is not None and compared:
        production = import_artifact(
            "ProductionModel", config.production_model, standard_artifacts.Model
        )

    data = make_data_steps(config, tasks, config.schema_file)
    trainer = Pretrainer(
        examples=data.examples,
        transform_graph=data.transform_graph,
        schema=data.schema,
        config=config.trainer,
        state_dir=config.state_dir,
        strategy=config.strategy,
    )
    model = trainer.outputs["model"]
    evaluator = make_evaluator(config, data.examples, model, tasks, production, compared)
    check = make_serving_check(config, data.example_gen, model)
    pusher = Pusher(
        model=model,
        serving_dir=config.serving_dir,
        blessings={
            "evaluation": evaluator.outputs["blessing"],
            "serving": check.outputs["blessing"],
        },
        may_drop_tasks=config.may_drop_tasks,
        production=production.outputs["result"] if production else None,
    )
    return make_pipeline(
        PRETRAIN,
        config,
        [
            *data.components,
            *([production] if production else []),
            trainer,
            evaluator,
            check,
            pusher,
        ],
    )
