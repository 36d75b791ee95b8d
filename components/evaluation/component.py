"""The Evaluator as a TFX component."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.evaluation.config import EvaluatorConfig
from components.evaluation.executor import Executor
from components.report import Report


class EvaluatorSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `Evaluator`."""

    PARAMETERS = {"config": ExecutionParameter(type=str)}  # noqa: RUF012 (TFX's way)
    INPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {  # noqa: RUF012
        "evaluation": ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "report": ChannelParameter(type=Report),
    }


class Evaluator(base_component.BaseComponent):
    """Blesses a candidate that reaches its thresholds and is not worse than production.

    TFX's own Evaluator decides by a constant and counts in Python, row by row. This one decides by
    paired tests (`mptrec_tf.evaluation.gate`) and counts in NumPy. It holds a number for each label
    and prediction of the split's rows in memory. Its evaluation is in the same format, so that
    `tfma.load_eval_result`, `tfma.load_validation_result` and TFMA's views read it.

    Outputs:
      evaluation: `ModelEvaluation`: the metrics of `mptrec-evaluate`, by task, model and slice.
      blessing: `ModelBlessing`, which the push needs; its property `accepted` names the tasks that
        would have blocked it.
      report: What is against the model, and its comparison with production, as HTML and JSON.

    Args:
      examples: Raw examples.
      model: The candidate.
      config: What is evaluated, and what the model must reach.
      baseline_model: The model in production, where there is one.

    Example:
      evaluator = Evaluator(
          examples=example_gen.outputs["examples"],
          model=trainer.outputs["model"],
          config=EvaluatorConfig(("click", "like"), compared=("click",)),
          baseline_model=production.outputs["result"],
      )
    """

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        model: BaseChannel,
        config: EvaluatorConfig,
        baseline_model: BaseChannel | None = None,
    ):
        super().__init__(
            EvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                config=config.to_json(),
                evaluation=Channel(type=standard_artifacts.ModelEvaluation),
                blessing=Channel(type=standard_artifacts.ModelBlessing),
                report=Channel(type=Report),
            )
        )
