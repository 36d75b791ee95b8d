"""The SavedModel: raw columns in, one prediction per task out, preprocessing included.

Signatures, each with outputs by name:
    serving_default   serialized tf.Examples [B]               -> prediction per task: [B], or
                                                                  [B, n] of several numbers
    columns           one tensor per raw feature column, [B] or [1] for one value that all rows
                      share (a column of the user)             -> the same
                      Several values in a row are one text, as in text files: TF Serving has no
                      ragged tensors, and merges and splits requests only if all rows of an input
                      have one shape. See `mark_lists`. n numbers in each row are [B, n].
                      (TensorFlow names inputs as Python names arguments: see `make_input_names`);
                      a number that may be missing is NaN, see `export.optional_inputs`
    spec_columns      the same by the spec's own names, where these differ; for servers, see
                      `export.spec_columns`
    columns_with_id   `columns` with an id of each row beside them, for request logs; see
                      `export.request_ids`
    encode            serialized tf.Examples [B]               -> representations by name: x [B, D],
                                                                  shared [B, H], ...
Also in `assets.extra`: the description of the model (`model_card`), requests that warm up a server
(`warmup`), the parts from which the next version can be made (`version_parts`), and the manifest of
all files (`integrity`).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import tensorflow as tf

from mptrec_tf.artifacts.backbones import StoredBackbone
from mptrec_tf.artifacts.task_packages import TaskPackage, check_addable
from mptrec_tf.data.example_decoding import ExampleParser
from mptrec_tf.data.input_names import make_input_names
from mptrec_tf.data.packed import raw_feature_spec, request_specs
from mptrec_tf.data.tasks.base import Task, conditional_name
from mptrec_tf.data.transform.graph import Preprocessing
from mptrec_tf.data.transform.shared_columns import list_sizes, repeat_column
from mptrec_tf.errors import InputError
from mptrec_tf.export.integrity import sign_version, write_manifest
from mptrec_tf.export.model_card import write_card
from mptrec_tf.export.optional_inputs import add_defaults
from mptrec_tf.export.output_names import add_output_names
from mptrec_tf.export.request_ids import add_request_ids
from mptrec_tf.export.spec_columns import add_spec_columns, mark_lists
from mptrec_tf.export.version_parts import save_parts
from mptrec_tf.export.versions import check_base_path, choose_next_version
from mptrec_tf.export.warmup import write_warmup
from mptrec_tf.layers.stable_ops import apply_in_whole_vectors
from mptrec_tf.models.encoded import Encoded
from mptrec_tf.models.heads.base import make_banks
from mptrec_tf.models.task_outputs import (
    conditional_predictions,
    multiply_predictions,
    unstack_predictions,
)
from mptrec_tf.models.weights import Untracked
from mptrec_tf.storage.directories import create_directory

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ed25519

# Prefix of the backbone's variables in a SavedModel: its attribute in `ServingModel`. The
# frozen-task validator reads it.
BACKBONE_VARIABLES = "backbone/"


class ServingModel(tf.Module):
    """A backbone, its preprocessing and the heads of new tasks, with serving signatures.

    Args:
      backbone: The backbone.
      packages: New tasks, in any order.

    Raises:
      InputError: if two tasks have the same name.

    Example:
          backbone = load_backbone("BACKBONE")
          model = ServingModel(backbone, [load_package("PACKAGE", backbone)])
          predictions = model.predict(columns)  # raw feature columns [B], by name
    """

    def __init__(self, backbone: StoredBackbone, packages: Sequence[TaskPackage] = ()):
        super().__init__()
        self.spec = backbone.spec
        self.examples = ExampleParser(backbone.spec)
        self.preprocessing = Preprocessing(backbone.transform_dir)
        # Variables alone: a Keras model would be saved with functions that servers do not call.
        self.backbone = backbone.model.named_weights()
        backbone.model.trainable = False
        self._model = Untracked(backbone.model)
        heads = {}
        for package in packages:
            check_addable(backbone, package.task)
            if package.task.name in heads:
                raise InputError(
                    f"two task packages are named {package.task.name!r}; give one of them."
                )
            heads[package.task.name] = package.head
        self.banks = make_banks(heads, backbone.model.prompts_of_tasks().numpy())
        self._new_tasks = {package.task.name: package.task for package in packages}

    def predict(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the prediction of every task, for raw feature columns [B].

        A prediction is [B], or [B, outputs] if it has several numbers. A task that is given another
        one has a second output, the conditional probability: see `conditional_name`.
        """
        model = self._model.value
        inputs = model.head_inputs(self._encode(columns))
        tasks = self.spec.select_tasks(model.shape.tasks)
        old = conditional_predictions(tasks, inputs.logits)
        predictions = _list_outputs(tasks, old, {})
        # Of the model's own, whose bits no new task changes.
        known = dict(predictions)
        for bank in self.banks:
            tasks = [self._new_tasks[name] for name in bank.tasks]
            new = apply_in_whole_vectors(partial(conditional_predictions, tasks), bank(inputs))
            predictions |= _list_outputs(tasks, new, known)
        return predictions

    def _predict_request(self, columns: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the predictions for columns [B] or [1] of a request."""
        raw = self.spec.raw_columns
        rows, columns = check_sizes(columns)
        repeated = {
            name: column
            if self.preprocessing.takes_shared and raw[name].values_per_row == 1
            else repeat_column(column, rows)
            for name, column in columns.items()
        }
        return self.predict({name: raw[name].unpack_request(c) for name, c in repeated.items()})

    def output_names(self) -> dict[str, tuple[str, ...]]:
        """Returns the names of the numbers of each prediction that has several."""
        tasks = self.spec.select_tasks(self._model.value.shape.tasks)
        every = (*tasks, *self._new_tasks.values())
        return {task.name: task.output_names for task in every if task.output_names}

    def _encode(self, columns: Mapping[str, tf.Tensor]) -> Encoded:
        return self._model.value.encode(self.preprocessing(columns))

    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """Returns the functions to serve, by the names of their signatures."""
        features = request_specs(self.spec)
        inputs = make_input_names(features)
        examples = tf.TensorSpec([None], tf.string, name="examples")

        @tf.function(autograph=False, input_signature=[examples])
        def serving_default(examples):
            return self.predict(self.examples(examples))

        @tf.function(
            autograph=False,
            input_signature=[
                {
                    inputs[name]: tf.TensorSpec(of.shape, of.dtype, name=inputs[name])
                    for name, of in features.items()
                }
            ],
        )
        def columns(columns):
            return self._predict_request({name: columns[inputs[name]] for name in features})

        @tf.function(autograph=False, input_signature=[examples])
        def encode(examples):
            encoded = self._encode(self.examples(examples))
            return self._model.value.representations(encoded)

        return {"serving_default": serving_default, "columns": columns, "encode": encode}


def _list_outputs(
    tasks: Sequence[Task], conditional: tf.Tensor, known: Mapping[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    """Returns the outputs of some tasks by name, of what `conditional_predictions` returned."""
    outputs = unstack_predictions(tasks, multiply_predictions(tasks, conditional, known))
    own = unstack_predictions(tasks, conditional)
    return outputs | {conditional_name(task): own[task.name] for task in tasks if task.given}


def export(
    backbone: StoredBackbone,
    packages: Sequence[TaskPackage],
    base_path: str,
    sign_key: "ed25519.Ed25519PrivateKey | None" = None,
) -> tuple[str, int]:
    """Writes the next version of a model that TF Serving polls; returns its path and number.

    Args:
      backbone: The backbone.
      packages: New tasks.
      base_path: TF Serving's base path; versions are its numbered subdirectories.
      sign_key: Signs the version.

    Raises:
      InputError: if two tasks have the same name, or the path is a version itself or cannot be
        written.

    Example:
          backbone = load_backbone("BACKBONE")
          packages = [load_package("PACKAGE", backbone)]
          path, version = export(backbone, packages, "MODEL")
    """
    check_base_path(base_path)
    version, path = choose_next_version(base_path)
    with create_directory(path) as staging:
        save_model(backbone, packages, staging)
        if sign_key is not None:
            sign_version(staging, sign_key)
    return path, version


def save_model(
    backbone: StoredBackbone, packages: Sequence[TaskPackage], directory: str
) -> ServingModel:
    """Writes a SavedModel and its `assets.extra` to a directory; returns the saved model.

    Raises:
      InputError: if two tasks have the same name.
    """
    model = ServingModel(backbone, packages)
    tf.saved_model.save(model, directory, signatures=model.signatures())
    inputs = make_input_names(raw_feature_spec(backbone.spec))
    raw = backbone.spec.raw_columns.items()
    mark_lists(directory, [inputs[name] for name, of in raw if of.values_per_row is None])
    add_spec_columns(directory, inputs)
    add_defaults(directory, [inputs[name] for name in backbone.spec.optional_numbers])
    add_output_names(directory, model.output_names())
    add_request_ids(directory, inputs.values())
    write_card(directory, backbone, packages)
    write_warmup(directory, backbone.spec)
    save_parts(directory, backbone, packages)
    write_manifest(directory)
    return model


def check_sizes(columns: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Returns the number of rows [] of columns [B, ...] or [1, ...], and the columns.

    For columns of other sizes the graph fails, and its message lists all sizes.
    """
    names, tensors = list(columns), list(columns.values())
    sizes = list_sizes(tensors)
    rows = tf.reduce_max(sizes)
    fits = tf.reduce_all((sizes == rows) | (sizes == 1))
    message = f"each column should have a value per row, or one for all; sizes of {names}:"
    with tf.control_dependencies([tf.debugging.Assert(fits, [message, sizes], len(names))]):
        return tf.identity(rows), dict(zip(names, tf.identity_n(tensors), strict=True))
