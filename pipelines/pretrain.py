"""The pre-training pipeline: from raw rows to a served backbone.

RawExampleGen -> StatisticsGen -> SchemaGen (or a curated schema) -> ExampleValidator -> DataGate
  -> Transform -> Pretrainer -> Evaluator (against production), ServingCheck -> Pusher

The first run has no model in production to compare with. Later ones compare the common tasks.
"""

from tfx.orchestration.pipeline import Pipeline
from tfx.proto import transform_pb2
from tfx.types import standard_artifacts
from tfx.v1.components import (
    ExampleValidator,
    ImportSchemaGen,
    SchemaGen,
    StatisticsGen,
    Transform,
)

from components.data_gate.component import DataGate
from components.example_gen.component import RawExampleGen
from components.pretrainer.component import Pretrainer
from components.pusher.component import Pusher
from pipelines.config import PRETRAIN, PretrainConfig
from pipelines.shared_steps import (
    import_artifact,
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
    spec = config.source.make_spec()
    tasks = config.trainer.tasks
    compared = [task for task in tasks if task in config.production_tasks]
    production = None
    if config.production_model is not None and compared:
        production = import_artifact(
            "ProductionModel", config.production_model, standard_artifacts.Model
        )

    example_gen = RawExampleGen(config.source)
    examples = example_gen.outputs["examples"]
    statistics_gen = StatisticsGen(examples=examples)
    statistics = statistics_gen.outputs["statistics"]
    if config.schema_file:
        schema_gen = ImportSchemaGen(schema_file=config.schema_file)
    else:
        # The model knows only values of the training rows.
        schema_gen = SchemaGen(statistics=statistics, exclude_splits=["validation", "test"])
    schema = schema_gen.outputs["schema"]
    validator = ExampleValidator(statistics=statistics, schema=schema)
    gate = DataGate(
        examples=examples,
        statistics=statistics,
        schema=schema,
        anomalies=validator.outputs["anomalies"],
        tasks=tasks,
        config=config.gate,
    )
    transform = Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn="components.preprocessing.preprocessing_fn",
        custom_config={"spec": spec.to_json()},
        # Training packs rows while it reads them, by the graph that is served.
        materialize=False,
        disable_statistics=True,
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train"]),
    )
    transform.add_upstream_node(gate)
    trainer = Pretrainer(
        examples=examples,
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        config=config.trainer,
        state_dir=config.state_dir,
    )
    model = trainer.outputs["model"]
    evaluator = make_evaluator(config, examples, model, tasks, production, compared)
    check = make_serving_check(config, example_gen, model)
    pusher = Pusher(
        model=model,
        serving_dir=config.serving_dir,
        evaluation=evaluator.outputs["blessing"],
        serving=check.outputs["blessing"],
        may_drop_tasks=config.may_drop_tasks,
    )
    return make_pipeline(
        PRETRAIN,
        config,
        [
            example_gen,
            statistics_gen,
            schema_gen,
            *([production] if production else []),
            validator,
            gate,
            transform,
            trainer,
            evaluator,
            check,
            pusher,
        ],
    )
