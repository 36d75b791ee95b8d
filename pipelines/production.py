"""The model in production: what a new task joins, and what it is compared with."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from components import model_artifact
from components.pusher.executor import pushed_model
from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import check_base_path, version_directories, versions
from pipelines.metadata import Artifact, Metadata


@dataclasses.dataclass(frozen=True)
class Production:
    """What the add-task pipeline needs to know of production, see `AddTaskConfig`.

    Attributes:
      model: str. URI of the model in production.
      base_model: str. URI of the model that the task joins: the same, unless the task was added
        last; then the model that it was added to, so that it is replaced.
      tasks: Tasks that the model in production answers.
      schema: str. URI of the schema that the backbone's data were validated by.
      statistics: str. URI of the statistics of the backbone's data.
    """

    model: str
    base_model: str
    tasks: Sequence[str]
    schema: str
    statistics: str


def find(serving_dir: str, task: str, metadata_path: str, model: str | None = None) -> Production:
    """Finds the model in production, and the lineage of its backbone.

    Args:
      serving_dir: TF Serving's base path; its newest version is in production.
      task: Name of the task to add.
      metadata_path: ML Metadata of the pipelines.
      model: Optional URI of the Model artifact that the task joins, instead of the one in
        production. What is in production is still what the candidate is compared with.

    Raises:
      InputError: if there is no model to join, it or a part of its lineage is unknown, its backbone
        is not the one in production, or the task was pre-trained with it.
    """
    joined = (model or _newest(serving_dir)).rstrip("/")
    backbone = model_artifact.load(joined).backbone
    uri = _newest(serving_dir) if versions(serving_dir) else joined
    metadata = Metadata(metadata_path)
    production = model_artifact.load(uri)
    if backbone.fingerprint != production.backbone.fingerprint:
        raise InputError(
            f"{joined} has the backbone {backbone.fingerprint}, the model in production "
            f"{production.backbone.fingerprint}; a task joins the backbone in production, or is "
            "pushed to another serving directory."
        )
    if task in production.backbone.shape.tasks:
        raise InputError(
            f"task {task!r} was pre-trained with the backbone in production; a new task needs "
            "another name."
        )
    base = joined
    while (description := model_artifact.lineage(base))[0] == task:
        base = description[1]
    root = joined
    while (earlier := model_artifact.lineage(root)[1]) is not None:
        root = earlier
    artifact = metadata.artifact(root)
    made_by = metadata.producer(artifact)
    if made_by is None:
        raise InputError(f"ML Metadata in {metadata_path} does not know what made {root}.")
    inputs = metadata.inputs(made_by)
    schema, examples = inputs["schema"][0], inputs["examples"][0]
    return Production(uri, base, production.tasks, schema.uri, _statistics(metadata, examples).uri)


def _newest(serving_dir: str) -> str:
    check_base_path(serving_dir)
    found = version_directories(serving_dir)
    if not found:
        raise InputError(
            f"{serving_dir} holds no version, so there is no model to add a task to; run the "
            "pre-training pipeline first (with another root, if this one remembers an earlier "
            "push), or name a model by --base_model."
        )
    return pushed_model(found[max(found)])


def _statistics(metadata: Metadata, examples: Artifact) -> Artifact:
    for execution in metadata.readers(examples):
        found = metadata.outputs(execution).get("statistics", [])
        if found and tf.io.gfile.exists(found[0].uri):
            return found[0]
    raise InputError(
        f"the statistics of the examples in {examples.uri} are gone; run the pre-training "
        "pipeline again."
    )
