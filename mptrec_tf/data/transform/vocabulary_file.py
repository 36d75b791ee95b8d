"""The file of a vocabulary of several features: how it is fitted, read and looked up.

Each line is `feature<TAB>value`, and its number is the id. A feature's lines are consecutive, the
most frequent value first; its last line has no value and is the id of all other values.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

_Counted = tuple[tuple[int, bytes], int]  # (feature, value), number of rows


def make_table(file: tf.Tensor | str) -> tf.lookup.StaticHashTable:
    """Returns the table from lines to their numbers, -1 for others; for a `lookup_fn`."""
    # A table that is created outside of the traced function is initialized once.
    eager = isinstance(file, str) or (tf.is_tensor(file) and hasattr(file, "numpy"))
    with tf.init_scope() if eager and tf.inside_function() else contextlib.nullcontext():
        lines = tf.lookup.TextFileInitializer(
            file,
            key_dtype=tf.string,
            key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
            value_dtype=tf.int64,
            value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        return tf.lookup.StaticHashTable(lines, default_value=-1)


def read_vocabulary(transform: tft.TFTransformOutput, name: str) -> dict[str, list[str]]:
    """Returns the values of each feature, by name, in the order of the ids; the last one is empty.

    Raises:
      ValueError: if the graph has no such vocabulary.
    """
    values: dict[str, list[str]] = {}
    for line in transform.vocabulary_by_name(name):
        feature, _, value = line.partition(b"\t")
        values.setdefault(feature.decode(), []).append(value.decode("utf-8", "replace"))
    return values


class FitVocabulary(tft_beam.experimental.PTransformAnalyzer):
    """Turns batches of values into the path of a vocabulary file, in one Beam stage.

    Args:
      name: The file's name.
      features: V features with a name and a `min_count`.
      count: Yields ((feature, value), count) of one batch, with features as numbers below V.
    """

    def __init__(
        self, name: str, features: Sequence[Any], count: Callable[[Any], Iterator[_Counted]]
    ):
        super().__init__()
        self._name = name
        self._features = features
        self._count = count

    def expand(self, pcoll):
        """Returns the path of the file, of batches of values."""
        return (
            pcoll
            | "CountInBatch" >> beam.FlatMap(self._count)
            | "Count" >> beam.CombinePerKey(sum)
            | "Frequent" >> beam.Filter(_has_id, self._features)
            | "Together" >> beam.combiners.ToList()  # an empty list, if there are none
            | "Write" >> beam.Map(_write, self.base_temp_dir, self._name, self._features)
        )


def _has_id(counted: _Counted, features: Sequence[Any]) -> bool:
    """Whether a value gets an id: it is frequent, not empty, and has no line ends."""
    (feature, value), count = counted
    return count >= features[feature].min_count and value != b"" and not {10, 13} & set(value)


def _write(
    frequent: Sequence[_Counted], directory: str, name: str, features: Sequence[Any]
) -> np.ndarray:
    values_of: list[list[tuple[int, bytes]]] = [[] for _ in features]
    for (feature, value), count in frequent:
        values_of[feature].append((-count, value))
    tf.io.gfile.makedirs(directory)
    path = os.path.join(directory, name)
    with tf.io.gfile.GFile(path, "wb") as file:
        for feature, counted in zip(features, values_of, strict=True):
            for value in (*(value for _, value in sorted(counted)), b""):
                file.write(feature.name.encode() + b"\t" + value + b"\n")
    return np.array(path)
