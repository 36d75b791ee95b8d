"""The SavedModel: raw columns in, one probability per task out; the preprocessing is inside.

Signatures, each with outputs by name:
    serving_default   serialized tf.Examples [B]               -> probability [B] per task
    columns           one tensor [B] per raw feature column    -> probability [B] per task
                      (TensorFlow names inputs as Python names arguments: see `input_names`)
    encode            serialized tf.Examples [B]               -> x [B, D], shared [B, H],
                                                                  specific [B, K, H]
Beside them, `assets.extra/mptrec.json` says what the model is made of.
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence

import tensorflow as tf

import mptrec_tf
from mptrec_tf.directories import write_file, written_aside
from mptrec_tf.errors import InputError
from mptrec_tf.evaluation.report import to_json
from mptrec_tf.export.backbones import StoredBackbone
from mptrec_tf.export.packages import TaskPackage, check_addable
from mptrec_tf.export.versions import CARD, versions
from mptrec_tf.input_names import input_names
from mptrec_tf.models.backbone import Encoded
from mptrec_tf.models.prompted import PromptedMPTRec
from mptrec_tf.packed import raw_feature_spec
from mptrec_tf.preprocessing import Preprocessing


class ServingModel(tf.Module):
    """A backbone, its preprocessing and the heads of new tasks, behind signatures.

    Args:
      backbone: The backbone.
      packages: New tasks, in any order.

    Raises:
      InputError: if two tasks share a name.
    """

    def __init__(self, backbone: StoredBackbone, packages: Sequence[TaskPackage] = ()):
        super().__init__()
        self.spec = backbone.spec
        self.preprocessing = Preprocessing(backbone.transform_dir)
        self.model = PromptedMPTRec(backbone.backbone)
        for package in packages:
            check_addable(backbone, package.task)
            self.model.attach(package.task.name, package.head)

    def predict(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the probability [B] of every task, for raw feature columns [B]."""
        encoded = self._encode(columns)
        backbone = self.model.backbone
        encoded = backbone.with_logits(encoded)
        old = tf.sigmoid(encoded.logits)
        answers = {name: old[k] for k, name in enumerate(backbone.config.tasks)}
        for name, head in self.model.heads.items():
            answers[name] = tf.sigmoid(head(encoded, backbone.prompts.prompts).logits)
        return answers

    def _encode(self, columns: Mapping[str, tf.Tensor]) -> Encoded:
        return self.model.backbone.encode(self.preprocessing(columns))

    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """The functions to serve, by name of their signature."""
        features = raw_feature_spec(self.spec)
        inputs = input_names(features)
        examples = tf.TensorSpec([None], tf.string, name="examples")

        @tf.function(input_signature=[examples])
        def serving_default(examples):
            return self.predict(tf.io.parse_example(examples, features))

        @tf.function(
            input_signature=[
                {
                    inputs[name]: tf.TensorSpec([None], feature.dtype, name=inputs[name])
                    for name, feature in features.items()
                }
            ]
        )
        def columns(columns):
            return self.predict({name: columns[inputs[name]] for name in features})

        @tf.function(input_signature=[examples])
        def encode(examples):
            encoded = self._encode(tf.io.parse_example(examples, features))
            return {
                "x": encoded.x,
                "shared": encoded.shared,
                "specific": tf.transpose(encoded.specific, [1, 0, 2]),
            }

        return {"serving_default": serving_default, "columns": columns, "encode": encode}


def export(
    backbone: StoredBackbone, packages: Sequence[TaskPackage], base_path: str
) -> tuple[str, int]:
    """Writes the next version of a model that TF Serving polls; returns its path and number.

    Args:
      backbone: The backbone.
      packages: New tasks.
      base_path: TF Serving's base path; versions are its numbered subdirectories.

    Raises:
      InputError: if two tasks share a name, or the path cannot be written.
    """
    version = max(versions(base_path), default=0) + 1
    path = os.path.join(base_path.rstrip("/"), str(version))
    with written_aside(path) as aside:
        save_model(backbone, packages, aside)
    return path, version


def save_model(
    backbone: StoredBackbone, packages: Sequence[TaskPackage], directory: str
) -> ServingModel:
    """Writes a SavedModel and its card to a directory; returns the model that was saved.

    Raises:
      InputError: if two tasks share a name.
    """
    names = [package.task.name for package in packages]
    for package in packages:
        if names.count(package.task.name) > 1:
            raise InputError(
                f"two task packages are named {package.task.name!r}; give one of them."
            )
    model = ServingModel(backbone, packages)
    tf.saved_model.save(model, directory, signatures=model.signatures())
    tf.io.gfile.makedirs(os.path.dirname(os.path.join(directory, CARD)))
    write_file(os.path.join(directory, CARD), _card(backbone, packages))
    return model


def _card(backbone: StoredBackbone, packages: Sequence[TaskPackage]) -> str:
    old = backbone.spec.select_tasks(backbone.backbone.config.tasks)
    tasks = [(task, "pre-trained", backbone.training) for task in old]
    tasks += [(package.task, "added", package.training) for package in packages]
    return to_json(
        {
            "mptrec_tf": mptrec_tf.__version__,
            "tensorflow": tf.__version__,
            "backbone": backbone.fingerprint,
            "spec": json.loads(
                dataclasses.replace(
                    backbone.spec, tasks=tuple(task for task, _, _ in tasks)
                ).to_json()
            ),
            "inputs": input_names(raw_feature_spec(backbone.spec)),
            "tasks": [
                {"name": task.name, "kind": kind, "training": training}
                for task, kind, training in tasks
            ],
        }
    )
