"""Parts of several pipelines."""

import dataclasses
from collections.abc import Sequence

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration import metadata
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import infra_validator_pb2, transform_pb2
from tfx.types.channel import BaseChannel
from tfx.v1.components import (
    ExampleValidator,
    ImportSchemaGen,
    InfraValidator,
    SchemaGen,
    StatisticsGen,
    Transform,
)

from components.data_gate.component import DataGate
from components.evaluation.component import Evaluator
from components.evaluation.config import EvaluatorConfig
from components.example_gen.component import RawExampleGen
from components.serving_check.component import ServingCheck
from pipelines.config import EVALUATION_SPLIT, PipelineConfig
from pipelines.defaults import TF_SERVING_TAG


@dataclasses.dataclass(frozen=True)
class DataSteps:
    """The first components of a pipeline that makes a backbone: raw rows to a preprocessing graph.

    Attributes:
      components: All of them, in their order.
      example_gen: Reads the rows.
      examples: Raw examples.
      schema: Of these.
      transform_graph: The preprocessing graph; it is there only if the data gate let the rows pass.
    """

    components: tuple[BaseComponent, ...]
    example_gen: RawExampleGen
    examples: BaseChannel
    schema: BaseChannel
    transform_graph: BaseChannel


def make_data_steps(
    config: PipelineConfig, tasks: Sequence[str], schema_file: str | None
) -> DataSteps:
    """Returns the components that read, check and preprocess the rows of a new backbone.

    Args:
      config: The common part of the configuration.
      tasks: Names of the tasks whose labels have to be there.
      schema_file: Optional. A curated schema (text proto).
    """
    example_gen = RawExampleGen(config.source)
    examples = example_gen.outputs["examples"]
    statistics_gen = StatisticsGen(examples=examples)
    statistics = statistics_gen.outputs["statistics"]
    if schema_file:
        schema_gen = ImportSchemaGen(schema_file=schema_file)
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
        custom_config={"spec": config.source.make_spec().to_json()},
        # Training packs rows while it reads them, by the graph that is served.
        materialize=False,
        disable_statistics=True,
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=["train"]),
    )
    transform.add_upstream_node(gate)
    components = (example_gen, statistics_gen, schema_gen, validator, gate, transform)
    return DataSteps(
        components, example_gen, examples, schema, transform.outputs["transform_graph"]
    )


def make_serving_check(
    config: PipelineConfig, examples: RawExampleGen, model: BaseChannel
) -> BaseComponent:
    """Returns TFX's InfraValidator where Docker runs, otherwise the check in a fresh process."""
    if not config.docker:
        return ServingCheck(model)
    return InfraValidator(
        model=model,
        examples=examples.outputs["examples"],
        serving_spec=infra_validator_pb2.ServingSpec(
            tensorflow_serving=infra_validator_pb2.TensorFlowServing(tags=[TF_SERVING_TAG]),
            local_docker=infra_validator_pb2.LocalDockerConfig(),
        ),
        request_spec=infra_validator_pb2.RequestSpec(
            tensorflow_serving=infra_validator_pb2.TensorFlowServingRequestSpec(
                signature_names=["serving_default"]
            ),
            split_name="validation",
            num_examples=8,
        ),
    )


def make_evaluator(
    config: PipelineConfig,
    examples: BaseChannel,
    model: BaseChannel,
    tasks: Sequence[str],
    production: Importer | None = None,
    compared: Sequence[str] = (),
) -> Evaluator:
    """Returns the Evaluator.

    Args:
      config: What a model must reach, and the slices.
      examples: The raw examples.
      model: The candidate.
      tasks: Tasks to evaluate.
      production: The model in production; None where nothing is in production yet.
      compared: Tasks that it predicts, too.

    Raises:
      InputError: for unknown tasks, thresholds or slices.
    """
    evaluated = EvaluatorConfig(
        tuple(tasks),
        config.thresholds,
        compared=tuple(task for task in tasks if production and task in compared),
        slices=tuple(tuple(columns) for columns in config.slices),
        split=EVALUATION_SPLIT,
    )
    evaluated.check(config.source.make_spec())
    baseline = production.outputs["result"] if production else None
    return Evaluator(examples, model, evaluated, baseline)


def import_artifact(name: str, uri: str | RuntimeParameter, artifact_type: type) -> Importer:
    """Returns a component that imports an existing artifact with its lineage."""
    return Importer(source_uri=uri, artifact_type=artifact_type).with_id(name)


def make_pipeline(name: str, config: PipelineConfig, components: list[BaseComponent]) -> Pipeline:
    """Returns the pipeline of these components."""
    connection = None
    if not config.cluster:
        connection = metadata.sqlite_metadata_connection_config(config.metadata_path)
    return Pipeline(
        pipeline_name=name,
        pipeline_root=config.root,
        components=components,
        enable_cache=config.cache,
        beam_pipeline_args=list(config.beam_args),
        metadata_connection_config=connection,
    )
