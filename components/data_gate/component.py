"""The data gate as a TFX component."""

import json
from collections.abc import Sequence

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.data_gate.config import GateConfig
from components.data_gate.executor import Executor
from components.report import Report


class DataGateSpec(ComponentSpec):
    """Inputs, outputs and execution properties of `DataGate`."""

    PARAMETERS = {  # noqa: RUF012 (TFX's way)
        "tasks": ExecutionParameter(type=str),
        "config": ExecutionParameter(type=str),
    }
    INPUTS = {  # noqa: RUF012
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "statistics": ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": ChannelParameter(type=standard_artifacts.Schema),
        "anomalies": ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "baseline_statistics": ChannelParameter(
            type=standard_artifacts.ExampleStatistics, optional=True
        ),
    }
    OUTPUTS = {"report": ChannelParameter(type=Report)}  # noqa: RUF012


class DataGate(base_component.BaseComponent):
    """Stops a pipeline before training if its data are not fit for it.

    It fails on features that do not fit the schema, on labels that are missing or all the same,
    and, given baseline statistics, on features that drifted too far from them: a frozen backbone
    does not know values that appeared after its training. The message names every problem, its
    size, and what to do.

    Outputs:
      report: The drift of every feature.

    Args:
      examples: Raw examples.
      statistics: Of the examples, all splits.
      schema: Of the features.
      anomalies: Output of ExampleValidator.
      tasks: Tasks whose labels are needed.
      baseline_statistics: Of the examples that the backbone was trained on.
      config: The limits.

    Example:
      gate = DataGate(
          examples=example_gen.outputs["examples"],
          statistics=statistics_gen.outputs["statistics"],
          schema=schema_gen.outputs["schema"],
          anomalies=validator.outputs["anomalies"],
          tasks=["click", "like"],
          config=GateConfig(max_drift_of={"item_price": 0.3}),
      )
      trainer.add_upstream_node(gate)
    """

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: BaseChannel,
        statistics: BaseChannel,
        schema: BaseChannel,
        anomalies: BaseChannel,
        tasks: Sequence[str],
        baseline_statistics: BaseChannel | None = None,
        config: GateConfig | None = None,
    ):
        super().__init__(
            DataGateSpec(
                examples=examples,
                statistics=statistics,
                schema=schema,
                anomalies=anomalies,
                baseline_statistics=baseline_statistics,
                tasks=json.dumps(list(tasks)),
                config=(config or GateConfig()).to_json(),
                report=Channel(type=Report),
            )
        )
