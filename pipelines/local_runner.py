"""Runs a pipeline on this machine, and prints its progress and why it stopped."""

import datetime
import time
from collections.abc import Mapping
from typing import Any

from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from mptrec_tf.data.runners import find_user_error
from mptrec_tf.errors import InputError
from pipelines.metadata import Execution, Metadata

_STATES = {"complete": "done", "cached": "cached", "failed": "failed", "running": "killed"}


class ComponentError(InputError):
    """A component that stopped its pipeline; the message is the component's own."""


class _PrintingRunner(LocalDagRunner):
    """Runs one component after the other, and prints the state of each."""

    def __init__(self, metadata_path: str):
        super().__init__()
        self._metadata_path = metadata_path

    def run_with_ir(self, pipeline: pipeline_pb2.Pipeline, run_options: Any = None) -> None:
        """Runs a compiled pipeline."""
        # All components share one run id, although each is run on its own.
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {"pipeline-run-id": datetime.datetime.now().isoformat()}
        )
        name = pipeline.pipeline_info.id
        nodes = list(pipeline.nodes)
        for number, node in enumerate(nodes, 1):
            component = node.pipeline_node.node_info.id
            print(f"[{number:>2}/{len(nodes)}] {component} ...", flush=True)
            single = pipeline_pb2.Pipeline()
            single.CopyFrom(pipeline)
            del single.nodes[:]
            single.nodes.append(node)
            start = time.monotonic()
            try:
                super().run_with_ir(single, run_options)
            except Exception as error:
                mistake = find_user_error(error)
                if mistake is None:
                    raise
                raise ComponentError(f"{name} stopped at {component}: {mistake}") from error
            done = Metadata(self._metadata_path).read_last_run(name).get(component)
            state = _name_state(done) if done else "not run"
            print(f"        {state}, {time.monotonic() - start:.0f} s", flush=True)


def run(pipeline: Pipeline, metadata_path: str) -> dict[str, Execution]:
    """Runs a pipeline on this machine; returns the executions by component.

    Raises:
      ComponentError: if a component rejects its input; no later component is run.
    """
    print(f"\n=== {pipeline.pipeline_info.pipeline_name}")
    _PrintingRunner(metadata_path).run(pipeline)
    return Metadata(metadata_path).read_last_run(pipeline.pipeline_info.pipeline_name)


def _name_state(execution: Execution) -> str:
    """Returns the state in words; ML Metadata calls every importer cached."""
    if execution.type.endswith(".Importer"):
        return "imported"
    return _STATES.get(execution.state, execution.state)


def make_run_rows(executions: Mapping[str, Execution]) -> list[dict[str, Any]]:
    """Returns components with state and seconds, for a table."""
    return [
        {
            "pipeline": e.pipeline,
            "component": e.node,
            "state": _name_state(e),
            "seconds": 0 if e.state == "cached" else round(e.seconds),
        }
        for e in executions.values()
    ]
