"""An exported model loaded in this process, called with raw columns like TF Serving."""

import functools
import json
import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from mptrec_tf.data.sources.block import Block
from mptrec_tf.data.spec import DatasetSpec
from mptrec_tf.errors import InputError
from mptrec_tf.export.versions import CARD, find_newest_version
from mptrec_tf.storage.plain import from_plain

__all__ = ["LoadedModel", "find_newest_version"]


class LoadedModel:
    """A version of an exported model.

    Args:
      path: A version's directory, or a base path, whose newest version is loaded.

    Attributes:
      path: str. The version's directory.
      spec: The features, and all tasks that the model predicts.
      card: The model card, see `export.model_card`.

    Raises:
      InputError: if it cannot be loaded.

    Example:
          model = LoadedModel("MODEL")  # its newest version
          for block in read_split(source, "test"):
              clicks = model.predict(block)["click"]
    """

    def __init__(self, path: str):
        self.path = find_newest_version(path)
        try:
            self._model = tf.saved_model.load(self.path)
            with tf.io.gfile.GFile(os.path.join(self.path, CARD)) as file:
                self.card = json.load(file)
            self.spec = from_plain(DatasetSpec, self.card["spec"])
            self._inputs: dict[str, str] = self.card["inputs"]
            self._columns = self._model.signatures["columns"]
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, tf.errors.OpError) as error:
            raise InputError(
                f"cannot load the model in {self.path}: a file of it is missing or damaged, or it "
                f"was not written by mptrec-export ({type(error).__name__}); export it again."
            ) from error

    @functools.cached_property
    def column_types(self) -> Mapping[str, tf.DType]:
        """The types of the raw columns that a request must hold, by name."""
        signature = self._columns.structured_input_signature[1]
        return {column: signature[name].dtype for column, name in self._inputs.items()}

    def predict(self, block: Block) -> dict[str, np.ndarray]:
        """Returns the predictions of every task for n raw rows.

        They are [n], or [n, outputs] of a task whose predictions have several numbers.

        Raises:
          InputError: for a column that is missing, or holds a value that is not a number where one
            is expected.
        """
        request = {}
        for name, dtype in self.column_types.items():
            values = self.spec.raw_columns[name].read_request(self.spec, block)
            request[self._inputs[name]] = tf.constant(values, dtype)
        outputs = self._columns(**request)
        return {name: predictions.numpy() for name, predictions in outputs.items()}

    def predict_examples(self, serialized: tf.Tensor) -> dict[str, np.ndarray]:
        """Returns the predictions of every task for serialized tf.Examples [n] of raw columns."""
        outputs = self._model.signatures["serving_default"](examples=serialized)
        return {name: predictions.numpy() for name, predictions in outputs.items()}
