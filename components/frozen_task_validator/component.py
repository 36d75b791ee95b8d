"""The frozen-task validator as a TFX component."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.frozen_task_validator.executor import Executor
from components.report import Report


class FrozenTaskValidatorSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `FrozenTaskValidator`."""

    PARAMETERS = {"split": ExecutionParameter(type=str)}  # noqa: RUF012 (TFX's way)
    INPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "model": ChannelParameter(type=standard_artifacts.Model),
        "base_model": ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {  # noqa: RUF012
        "blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "report": ChannelParameter(type=Report),
    }


class FrozenTaskValidator(base_component.BaseComponent):
    """Blesses a candidate that changes no other task of the model in production.

    It requires the same backbone, no missing task, and for every task except the added one the
    same predictions, bit for bit, on all rows of a split.

    Outputs:
      blessing: `ModelBlessing`, which the push needs.
      report: What differs, row by row, as HTML and JSON.

    Args:
      examples: Raw examples.
      model: The candidate.
      base_model: The model in production.
      split: Which split of the examples to compare on.

    Example:
      validator = FrozenTaskValidator(
          examples=example_gen.outputs["examples"],
          model=tuner.outputs["model"],
          base_model=production.outputs["result"],
          split="test",
      )
    """

    SPEC_CLASS = FrozenTaskValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self, examples: BaseChannel, model: BaseChannel, base_model: BaseChannel, split: str
    ):
        super().__init__(
            FrozenTaskValidatorSpec(
                examples=examples,
                model=model,
                base_model=base_model,
                split=split,
                blessing=Channel(type=standard_artifacts.ModelBlessing),
                report=Channel(type=Report),
            )
        )
