"""The vocabulary of features with several values in a row; its file is a `vocabulary_file`."""

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from mptrec_tf.data.features.lists import ListFeature
from mptrec_tf.data.transform.vocabulary_file import FitVocabulary, Lines


def apply_vocabulary(
    name: str, features: Sequence[ListFeature], values: tf.Tensor, feature_of: tf.Tensor
) -> tf.Tensor:
    """Fits the vocabulary on the training rows and looks values up; for a `preprocessing_fn`.

    Args:
      name: The name of the vocabulary's file.
      features: V features.
      values: [N] string, in canonical form.
      feature_of: [N] int32. The feature of each value, below V.

    Returns:
      [N] int64, each a line of the vocabulary file, counted from 0.
    """
    [file] = tft.experimental.ptransform_analyzer(
        [values, feature_of],
        FitVocabulary(name, features, _split),
        [tf.string],
        [[]],
        [b"not fitted yet"],
    )

    def look_up(values: tf.Tensor, file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        table = Lines(file)
        ids = table.look_up(feature_of, values)
        numbers = tf.range(len(features))
        unknown = table.look_up(numbers, tf.fill([len(features)], ""))
        return tf.where(ids < 0, tf.gather(unknown, feature_of), ids), table.size()

    return tft.apply_vocabulary(values, file, lookup_fn=look_up)


def _split(inputs: tuple[np.ndarray, np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each feature and its values in one batch."""
    values, feature_of = inputs
    for feature in np.unique(feature_of).tolist():
        yield feature, values[feature_of == feature]
