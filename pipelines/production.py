"""The model in production, which a new task joins and every candidate is compared with."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence

import tensorflow as tf

from components import model_artifact
from components.pusher.executor import read_pushed_model
from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import CARD, check_base_path, list_version_directories, list_versions
from mptrec_tf.storage.plain import from_plain
from pipelines.metadata import Artifact, Metadata


@dataclasses.dataclass(frozen=True)
class Production:
    """The model in production, as the add-task pipeline needs it; see `AddTaskConfig`.

    Attributes:
      model: str. URI of the model in production.
      base_model: str. URI of the model that the task joins: the same, unless the task was added
        last; then the model that it was added to, so that it is replaced.
      tasks: Tasks that the model in production predicts.
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
        production. The candidate is still compared with the one in production.

    Raises:
      InputError: if there is no model to join, it or a part of its lineage is unknown, its backbone
        is not the one in production, or the task was pre-trained with it.
    """
    joined = (model or _find_newest(serving_dir)).rstrip("/")
    backbone = model_artifact.load(joined).backbone
    uri = _find_newest(serving_dir) if list_versions(serving_dir) else joined
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
    while (description := model_artifact.read_lineage(base))[0] == task:
        base = description[1]
    root = joined
    while (earlier := model_artifact.read_lineage(root)[1]) is not None:
        root = earlier
    artifact = metadata.find_artifact(root)
    made_by = metadata.find_producer(artifact)
    if made_by is None:
        raise InputError(f"ML Metadata in {metadata_path} has no record of what made {root}.")
    inputs = metadata.read_inputs(made_by)
    schema, examples = inputs["schema"][0], inputs["examples"][0]
    return Production(
        uri, base, production.tasks, schema.uri, _find_statistics(metadata, examples).uri
    )


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The model in production, as far as a new backbone can be compared with it.

    Attributes:
      model: str. URI of the model in production.
      tasks: Tasks that both have, with the same rule for their labels.
      not_compared: Why tasks of either are not compared, by name.
    """

    model: str
    tasks: tuple[str, ...]
    not_compared: Mapping[str, str]


def find_baseline(serving_dir: str, spec: DatasetSpec, tasks: Sequence[str]) -> Baseline | None:
    """Finds the model that a new backbone is compared with; None if nothing is in production yet.

    Args:
      serving_dir: TF Serving's base path; its newest version is in production.
      spec: Of the rows that both are evaluated on.
      tasks: Names of the tasks that the new backbone has.

    Raises:
      InputError: if the version in production was not pushed by a pipeline, or its model is gone.
    """
    check_base_path(serving_dir)
    directories = list_version_directories(serving_dir)
    if not directories:
        return None
    version = directories[max(directories)]
    model = read_pushed_model(version)
    if not tf.io.gfile.isdir(model_artifact.serving_directory(model)):
        raise InputError(
            f"{version} in production is a copy of {model}, which is gone, so a new backbone "
            "cannot be compared with it; restore it, or push to another serving directory."
        )
    served = _read_served_spec(version)
    reasons = _explain_not_compared(served, spec, tasks)
    compared = tuple(task for task in tasks if task not in reasons)
    return Baseline(model, compared, reasons)


def _explain_not_compared(
    served: DatasetSpec, spec: DatasetSpec, tasks: Sequence[str]
) -> dict[str, str]:
    """Returns why tasks of production or of a new backbone are not compared, by name."""
    reasons = {
        **dict.fromkeys(tasks, "production does not predict it"),
        **dict.fromkeys(served.task_names, "the new backbone does not predict it"),
    }
    both = [task for task in tasks if task in served.task_names]
    columns, present = raw_feature_spec(served), raw_feature_spec(spec)
    missing = sorted(name for name, kind in columns.items() if present.get(name) != kind)
    for task in both:
        [old], [new] = served.select_tasks([task]), spec.select_tasks([task])
        if missing:
            reasons[task] = f"production reads {', '.join(missing)}, which these rows do not have"
        elif not new.same_rule(old):
            reasons[task] = "production was trained on labels by another rule"
        else:
            del reasons[task]
    return reasons


def _read_served_spec(version: str) -> DatasetSpec:
    """Returns the features and tasks of an exported model.

    Raises:
      InputError: if its model card does not list them.
    """
    path = os.path.join(version, CARD)
    try:
        with tf.io.gfile.GFile(path) as file:
            return from_plain(DatasetSpec, json.load(file)["spec"])
    except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise InputError(
            f"{path} does not list what the model in production reads and predicts; push to "
            "another serving directory."
        ) from error


def _find_newest(serving_dir: str) -> str:
    check_base_path(serving_dir)
    directories = list_version_directories(serving_dir)
    if not directories:
        raise InputError(
            f"{serving_dir} holds no version, so there is no model to add a task to; run the "
            "pre-training pipeline first (with another root, if an earlier push is cached "
            "in this one), or name a model by --base_model."
        )
    return read_pushed_model(directories[max(directories)])


def _find_statistics(metadata: Metadata, examples: Artifact) -> Artifact:
    for execution in metadata.find_readers(examples):
        statistics = metadata.read_outputs(execution).get("statistics", [])
        if statistics and tf.io.gfile.exists(statistics[0].uri):
            return statistics[0]
    raise InputError(
        f"the statistics of the examples in {examples.uri} are gone; run the pre-training "
        "pipeline again."
    )
