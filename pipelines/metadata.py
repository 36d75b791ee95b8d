"""Reads ML Metadata: the lineage of artifacts, and the executions of a pipeline's last run."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from mptrec_tf.errors import InputError

_OUTPUT = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)
_INPUT = (metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.DECLARED_INPUT)
_State = metadata_store_pb2.Execution.State


@dataclasses.dataclass(frozen=True)
class Execution:
    """One run of a component.

    Attributes:
      id: int.
      type: str. The component's class.
      node: str. The component's id in its pipeline.
      pipeline: str. The pipeline's name.
      run: str. The id of the pipeline's run.
      state: str. "complete", "cached", "failed", "running" (or killed), ...
      created: int. Its start, in milliseconds since 1970.
      seconds: float. Its duration.
      properties: Execution properties.
    """

    id: int
    type: str
    node: str
    pipeline: str
    run: str
    state: str
    created: int
    seconds: float
    properties: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An output of a component.

    Attributes:
      id: int.
      type: str.
      uri: str.
      properties: Properties and custom properties.
    """

    id: int
    type: str
    uri: str
    properties: Mapping[str, Any]


class Metadata:
    """ML Metadata in a SQLite file.

    Args:
      path: The file.

    Raises:
      InputError: if there is none, or it is another kind of file.
    """

    def __init__(self, path: str):
        if not os.path.exists(path):
            raise InputError(
                f"there is no ML Metadata in {path}; give the file that the pipelines wrote "
                "(metadata.sqlite in their root)."
            )
        config = metadata_store_pb2.ConnectionConfig()
        config.sqlite.filename_uri = path
        config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE
        try:
            self._store = mlmd.MetadataStore(config)
        except (RuntimeError, mlmd.errors.StatusError) as error:
            raise InputError(
                f"cannot read ML Metadata in {path}; give the file that the pipelines wrote "
                "(metadata.sqlite in their root)."
            ) from error
        self.path = path

    def find_artifact(self, uri: str) -> Artifact:
        """Returns the newest artifact at a URI.

        Raises:
          InputError: if there is none.
        """
        artifacts = self._store.get_artifacts_by_uri(uri)
        if not artifacts:
            raise InputError(
                f"ML Metadata in {self.path} has no record of {uri}; give the metadata of the "
                "pipelines that made it."
            )
        return self._artifact(max(artifacts, key=lambda a: a.id))

    def find_pushed(self, destination: str) -> Artifact:
        """Returns the pusher's output for a version.

        Raises:
          InputError: if no pipeline pushed it.
        """
        for stored in reversed(self._store.get_artifacts_by_type("PushedModel")):
            artifact = self._artifact(stored)
            if artifact.properties.get("pushed_destination") == destination:
                return artifact
        raise InputError(
            f"ML Metadata in {self.path} has no record of a pipeline that pushed {destination}; "
            "give the metadata of the pipelines that did."
        )

    def find_producer(self, artifact: Artifact) -> Execution | None:
        """Returns the execution that made an artifact; None for one that was imported."""
        events = self._store.get_events_by_artifact_ids([artifact.id])
        made = sorted({e.execution_id for e in events if e.type in _OUTPUT})
        executions = [self._execution(e) for e in self._store.get_executions_by_id(made)]
        return next((e for e in executions if e.state == "complete"), None)

    def read_inputs(self, execution: Execution) -> dict[str, list[Artifact]]:
        """Returns the artifacts that an execution read, by input."""
        return self._artifacts(execution, _INPUT)

    def read_outputs(self, execution: Execution) -> dict[str, list[Artifact]]:
        """Returns the artifacts that an execution wrote, by output."""
        return self._artifacts(execution, _OUTPUT)

    def find_readers(self, artifact: Artifact, *, cached: bool = False) -> list[Execution]:
        """Returns the executions that read an artifact and succeeded.

        Args:
          artifact: The artifact.
          cached: Whether to include those that were skipped, as their result was cached.
        """
        events = self._store.get_events_by_artifact_ids([artifact.id])
        reading = sorted({e.execution_id for e in events if e.type in _INPUT})
        executions = [self._execution(e) for e in self._store.get_executions_by_id(reading)]
        states = ("complete", "cached") if cached else ("complete",)
        return [e for e in executions if e.state in states]

    def read_last_run(self, pipeline: str) -> dict[str, Execution]:
        """Returns the executions of a pipeline's last run, by component; none before the first."""
        context = self._store.get_context_by_type_and_name("pipeline", pipeline)
        if context is None:
            return {}
        every = self._store.get_executions_by_context(context.id)
        executions = sorted(map(self._execution, every), key=lambda e: e.id)
        return {e.node: e for e in executions if e.run == executions[-1].run}

    def _artifacts(self, execution: Execution, kinds) -> dict[str, list[Artifact]]:
        events = self._store.get_events_by_execution_ids([execution.id])
        keys = {e.artifact_id: e.path.steps[0].key for e in events if e.type in kinds}
        by_key: dict[str, list[Artifact]] = {}
        for artifact in self._store.get_artifacts_by_id(sorted(keys)):
            by_key.setdefault(keys[artifact.id], []).append(self._artifact(artifact))
        return by_key

    def _artifact(self, stored: metadata_store_pb2.Artifact) -> Artifact:
        return Artifact(stored.id, stored.type, stored.uri, _values(stored))

    def _execution(self, stored: metadata_store_pb2.Execution) -> Execution:
        contexts = {c.type: c.name for c in self._store.get_contexts_by_execution(stored.id)}
        pipeline = contexts.get("pipeline", "")
        return Execution(
            id=stored.id,
            type=stored.type,
            node=contexts.get("node", "").removeprefix(f"{pipeline}."),
            pipeline=pipeline,
            run=contexts.get("pipeline_run", ""),
            state=_State.Name(stored.last_known_state).lower(),
            created=stored.create_time_since_epoch,
            seconds=(stored.last_update_time_since_epoch - stored.create_time_since_epoch) / 1000,
            properties=_values(stored),
        )


def _values(stored) -> dict[str, Any]:
    every = [*stored.properties.items(), *stored.custom_properties.items()]
    return {key: getattr(value, value.WhichOneof("value")) for key, value in every}
