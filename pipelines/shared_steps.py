"""Parts of both pipelines."""

from collections.abc import Sequence

from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration import metadata
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import infra_validator_pb2
from tfx.types.channel import BaseChannel
from tfx.v1.components import InfraValidator

from components.evaluation.component import Evaluator
from components.evaluation.config import EvaluatorConfig
from components.example_gen.component import RawExampleGen
from components.serving_check.component import ServingCheck
from pipelines.config import EVALUATION_SPLIT, PipelineConfig
from pipelines.defaults import TF_SERVING_TAG


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
