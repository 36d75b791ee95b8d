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
import pyarrow.compute as pc
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

from mptrec_tf.data.transform.category_counts import CategoryCounts


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
      split: Yields a feature, as a number below V, and its values in a batch, an object array [n]
        of bytes; a feature may come more than once, or not.
    """

    def __init__(
        self,
        name: str,
        features: Sequence[Any],
        split: Callable[[Any], Iterator[tuple[int, np.ndarray]]],
    ):
        super().__init__()
        self._name = name
        self._features = features
        self._split = split

    def expand(self, pcoll):
        """Returns the path of the file, of batches of values."""
        return (
            pcoll
            | "ByFeature" >> beam.FlatMap(self._split)
            | "Count" >> beam.CombinePerKey(_Count())
            | "Lines" >> beam.Map(_make_lines, self._features)
            | "Together" >> beam.combiners.ToList()  # an empty list, if there are none
            | "Write" >> beam.Map(_write, self.base_temp_dir, self._name, self._features)
        )


class _Count(beam.CombineFn):
    """Counts the values of batches, object arrays [n] of bytes."""

    def create_accumulator(self):
        return CategoryCounts()

    def add_input(self, accumulator, values):
        accumulator.add(values)
        return accumulator

    def merge_accumulators(self, accumulators):
        merged, *others = accumulators
        for other in others:
            merged.merge(*other.counted())
        return merged

    def extract_output(self, accumulator):
        return accumulator


def _make_lines(counted: tuple[int, CategoryCounts], features: Sequence[Any]) -> tuple[int, bytes]:
    """Returns a feature and its lines, of values that are frequent, not empty, and of one line."""
    feature, counts = counted
    values, _ = counts.most_frequent(features[feature].min_count)
    has_line = pc.match_substring_regex(values, r"^[^\r\n]+$")
    name = features[feature].name.encode()
    return feature, b"".join(
        name + b"\t" + value.as_py() + b"\n" for value in values.filter(has_line)
    )


def _write(
    lines: Sequence[tuple[int, bytes]], directory: str, name: str, features: Sequence[Any]
) -> np.ndarray:
    tf.io.gfile.makedirs(directory)
    path = os.path.join(directory, name)
    lines_of = dict(lines)
    with tf.io.gfile.GFile(path, "wb") as file:
        for number, feature in enumerate(features):
            file.write(lines_of.get(number, b"") + feature.name.encode() + b"\t\n")
    return np.array(path)
