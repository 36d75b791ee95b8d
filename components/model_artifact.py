"""The layout of a Model artifact of these pipelines, beside TFX's own place for the SavedModel.

    <uri>/
      Format-Serving/    the SavedModel: raw columns in, a prediction per task out
      Backbone/          the backbone, which stage 2 needs (`mptrec_tf.artifacts.backbones`)
      Tasks/<task>/      a package of each task that was added (`mptrec_tf.artifacts.task_packages`)
      Expected/          some rows and the predictions of the trainer's own model
      model.json         which task was added last, and to which model

A model is complete: the next task can be added to it when everything else is gone.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from mptrec_tf.artifacts.backbones import StoredBackbone, load_backbone
from mptrec_tf.artifacts.task_packages import TaskPackage, load_package
from mptrec_tf.data.packed import raw_feature_spec
from mptrec_tf.data.raw_examples import RawExamples, read_serialized_examples
from mptrec_tf.data.tasks.base import Task
from mptrec_tf.errors import InputError
from mptrec_tf.export.serving_model import ServingModel, save_model
from mptrec_tf.storage.arrays import load_arrays, save_arrays
from mptrec_tf.storage.directories import copy_directory, write_file
from mptrec_tf.storage.json_files import open_description

SERVING = "Format-Serving"
_DESCRIPTION = "model.json"
_EXPECTED_ROWS = 256


@dataclasses.dataclass(frozen=True)
class ModelArtifact:
    """A loaded Model artifact.

    Attributes:
      uri: str. Its URI.
      backbone: The backbone, its fingerprint checked.
      packages: The tasks that were added.
      added: Optional str. The task that was added last.
      base: Optional str. The URI of the model that it was added to.
    """

    uri: str
    backbone: StoredBackbone
    packages: tuple[TaskPackage, ...]
    added: str | None
    base: str | None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks that the model predicts."""
        return tuple(self.tasks_by_name)

    @property
    def tasks_by_name(self) -> dict[str, Task]:
        """All tasks that the model predicts, the pre-trained ones first."""
        old = self.backbone.spec.select_tasks(self.backbone.shape.tasks)
        return {task.name: task for task in (*old, *(p.task for p in self.packages))}


def serving_directory(uri: str) -> str:
    """Returns where the SavedModel is."""
    return os.path.join(uri, SERVING)


def backbone_directory(uri: str) -> str:
    """Returns where the backbone is."""
    return os.path.join(uri, "Backbone")


def package_directory(uri: str, task: str) -> str:
    """Returns where the package of an added task is."""
    return os.path.join(uri, "Tasks", task)


def read_lineage(uri: str) -> tuple[str | None, str | None]:
    """Returns the task that a model added last, and the URI of the model it was added to.

    Raises:
      InputError: if there is no model.
    """
    path = os.path.join(uri, _DESCRIPTION)
    missing = (
        f"{uri} holds no model of these pipelines ({_DESCRIPTION} is missing); give the URI of a "
        "Model artifact that the pre-training or the add-task pipeline made."
    )
    with open_description(path, missing, "use an untouched copy") as content:
        return content["added"], content["base"]


def list_added_tasks(uri: str) -> list[str]:
    """Returns the names of the tasks that were added, in alphabetical order."""
    directory = os.path.join(uri, "Tasks")
    if not tf.io.gfile.isdir(directory):
        return []
    return sorted(name.rstrip("/") for name in tf.io.gfile.listdir(directory))


def load(uri: str) -> ModelArtifact:
    """Loads a model.

    Raises:
      InputError: if there is none, or its backbone or a package was changed.
    """
    uri = uri.rstrip("/")
    added, base = read_lineage(uri)
    backbone = load_backbone(backbone_directory(uri))
    packages = [
        load_package(package_directory(uri, task), backbone) for task in list_added_tasks(uri)
    ]
    return ModelArtifact(uri, backbone, tuple(packages), added, base)


def write(
    uri: str,
    backbone: StoredBackbone,
    packages: Sequence[TaskPackage],
    data: RawExamples,
    *,
    added: str | None = None,
    base: str | None = None,
) -> None:
    """Writes a model, whose parts may still be elsewhere.

    Args:
      uri: Where to write it.
      backbone: The backbone; copied unless it is in place.
      packages: The tasks that were added; copied unless they are in place.
      data: The serving check will use their first validation rows.
      added: The task that was added last.
      base: The URI of the model that it was added to.
    """
    parts = {backbone.directory: backbone_directory(uri)}
    parts |= {p.directory: package_directory(uri, p.task.name) for p in packages}
    for source, target in parts.items():
        if source != target:
            copy_directory(source, target)
    model = save_model(backbone, packages, serving_directory(uri))
    _write_expected(uri, model, data)
    write_file(os.path.join(uri, _DESCRIPTION), json.dumps({"added": added, "base": base}))


def is_complete(uri: str) -> bool:
    """Whether `write` has written all of a model."""
    return tf.io.gfile.exists(os.path.join(uri, _DESCRIPTION))


def _expected_files(uri: str) -> tuple[str, str]:
    directory = os.path.join(uri, "Expected")
    return os.path.join(directory, "examples.tfrecord"), os.path.join(directory, "outputs.npz")


def _write_expected(uri: str, model: ServingModel, data: RawExamples) -> None:
    """Saves rows and the predictions of the model in memory, to check the exported one with."""
    examples, outputs = _expected_files(uri)
    serialized = next(iter(read_serialized_examples(data.directory, "validation", _EXPECTED_ROWS)))
    columns = tf.io.parse_example(serialized, raw_feature_spec(model.spec))
    predictions = tf.function(model.predict, autograph=False)(columns)
    tf.io.gfile.makedirs(os.path.dirname(examples))
    with tf.io.TFRecordWriter(examples) as writer:
        for example in serialized.numpy():
            writer.write(example)
    save_arrays(outputs, {name: values.numpy() for name, values in predictions.items()})


def read_expected(uri: str) -> tuple[list[bytes], Mapping[str, np.ndarray]]:
    """Returns serialized examples, and the predictions by task that a server should return.

    Raises:
      InputError: if they are missing or damaged.
    """
    examples, outputs = _expected_files(uri)
    try:
        rows = [record.numpy() for record in tf.data.TFRecordDataset(examples)]
    except tf.errors.OpError as error:
        raise InputError(f"cannot read {examples}: {error.message}.") from error
    return rows, load_arrays(outputs)
