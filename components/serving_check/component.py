"""The serving check as a TFX component."""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from components.report import Report
from components.serving_check.executor import Executor


class ServingCheckSpec(ComponentSpec):
    """Inputs and outputs of `ServingCheck`."""

    PARAMETERS = {}  # noqa: RUF012 (TFX's way)
    INPUTS = {"model": ChannelParameter(type=standard_artifacts.Model)}  # noqa: RUF012
    OUTPUTS = {  # noqa: RUF012
        "blessing": ChannelParameter(type=standard_artifacts.InfraBlessing),
        "report": ChannelParameter(type=Report),
    }


class ServingCheck(base_component.BaseComponent):
    """Blesses a model that predicts as in its trainer, in a fresh process with TensorFlow alone.

    It calls every signature with real examples. Where Docker runs, TFX's InfraValidator does so
    with TF Serving itself.

    Outputs:
      blessing: `InfraBlessing`, which the push needs.
      report: The problems.

    Args:
      model: A Model artifact of these pipelines.

    Example:
      check = ServingCheck(trainer.outputs["model"])
    """

    SPEC_CLASS = ServingCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, model: BaseChannel):
        super().__init__(
            ServingCheckSpec(
                model=model,
                blessing=Channel(type=standard_artifacts.InfraBlessing),
                report=Channel(type=Report),
            )
        )
